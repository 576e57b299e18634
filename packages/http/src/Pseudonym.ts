/**
 * Stable placeholders for personal data: a person always gets the same placeholder, which does not reveal who it is.
 *
 * **Why**
 *
 * A log must not contain names or addresses, yet it should show that the same user failed five times. A plain hash hides
 * nothing: all addresses of a company are hashed in a second. A keyed hash hides them while its key is secret.
 *
 * **Details**
 *
 * HMAC-SHA-256 of the text's UTF-8 bytes, cut to 64 bits: among a million texts, two collide with a probability of about
 * 3 in 100 million. With another key the same text gets another placeholder, so throwing a key away makes a log anonymous.
 *
 * **Gotchas**
 *
 * The text is hashed as it is. If case or spaces do not matter, normalize them first.
 *
 * **Example** (A user in a log)
 *
 * ```ts import.meta.vitest
 * import { Pseudonym } from "@effect-resilience/http"
 * import { Effect, Layer, Redacted } from "effect"
 * import { Mac, SecureRandom } from "effect/crypto"
 *
 * const Crypto = Layer.provide(Mac.layerWebCrypto, SecureRandom.layerWebCrypto)
 * const Pseudonyms = Layer.provide(Pseudonym.layer(Redacted.make("a key of at least 16 bytes")), Crypto)
 *
 * const program = Pseudonym.of("jo@example.com")
 * await Effect.runPromise(Effect.provide(program, Pseudonyms)) // => "pii_f22a05e0dabafaea"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Context from "effect/Context"
import type * as CryptoError from "effect/crypto/CryptoError"
import * as Mac from "effect/crypto/Mac"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/**
 * Makes placeholders.
 *
 * - `of`: the placeholder of a text: the same for the same text and key.
 *
 * @category services
 * @since 0.1.0
 */
export class Pseudonym extends Context.Service<Pseudonym, {
  readonly of: (text: string) => Effect.Effect<string>
}>()("@effect-resilience/http/Pseudonym") {}

/**
 * The placeholder of a text.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (text: string): Effect.Effect<string, never, Pseudonym> =>
  Effect.flatMap(Pseudonym, (pseudonym) => pseudonym.of(text))

/**
 * Placeholders under a key of at least 16 bytes; a shorter one throws `RangeError`.
 *
 * @category layers
 * @stability rests on effect/crypto
 * @since 0.1.0
 */
export const layer = (key: Redacted.Redacted): Layer.Layer<Pseudonym, CryptoError.CryptoError, Mac.Mac> => {
  const bytes = new TextEncoder().encode(Redacted.value(key))
  requireArgument(bytes.length >= 16, "Pseudonym.key", "at least 16 bytes long", `${bytes.length} bytes`)
  return Layer.effect(
    Pseudonym,
    Effect.gen(function*() {
      const mac = yield* Mac.Mac
      const hmacKey = yield* Mac.key(Mac.hmacSha256, bytes)
      const encoder = new TextEncoder()
      return Pseudonym.of({
        of: (text) =>
          mac.sign(hmacKey, encoder.encode(text)).pipe(
            // With a valid key, signing fails only if the runtime has no cryptography at all.
            Effect.orDie,
            Effect.map((tag) => `pii_${Hex.encode(tag.subarray(0, 8))}`)
          )
      })
    })
  )
}

/**
 * Hides texts without distinguishing them: every placeholder is `pii_`. For tests, and if no key is configured.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConstant: Layer.Layer<Pseudonym> = /* @__PURE__ */ Layer.succeed(Pseudonym, {
  of: () => Effect.succeed("pii_")
})
