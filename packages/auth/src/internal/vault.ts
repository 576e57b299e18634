import * as Aead from "effect/crypto/Aead"
import * as Kdf from "effect/crypto/Kdf"
import * as Mac from "effect/crypto/Mac"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { Identity } from "./source.ts"

/**
 * - `nameOf`: the name of an identity's entry. Its hash has a key, so that readers of the store cannot test guesses of a secret.
 * - `randomName`: a new random name.
 * - `seal`, `open`: encrypt and decrypt. The text is bound to the name of its entry, so that it cannot be moved to another. `open`
 *   gives `undefined` for what it cannot decrypt.
 */
export interface Vault {
  readonly randomName: Effect.Effect<string>
  readonly nameOf: (identity: Identity) => Effect.Effect<string>
  readonly seal: (name: string, text: string) => Effect.Effect<string>
  readonly open: (name: string, sealed: string) => Effect.Effect<string | undefined>
}

/** AES-256-GCM and HMAC-SHA-256 under keys derived with HKDF-SHA-256 from one secret. */
export const make = /* @__PURE__ */ Effect.fnUntraced(function*(secret: Redacted.Redacted): Effect.fn.Return<Vault> {
  const { aead, kdf, mac, random } = yield* Effect.provide(services, layer)
  const derive = (purpose: string) =>
    kdf.derive(Kdf.hkdfSha256, bytes(Redacted.value(secret)), { salt: bytes(label), info: bytes(purpose), length: 32 })
  const key = yield* Effect.orDie(Effect.flatMap(derive("seal"), (raw) => Aead.key(Aead.aes256Gcm, raw)))
  const macKey = yield* Effect.orDie(Effect.flatMap(derive("place"), (raw) => Mac.key(Mac.hmacSha256, raw)))

  return {
    randomName: Effect.map(random.randomBytes(16), Base64Url.encode),
    nameOf: (identity) =>
      mac.sign(
        macKey,
        bytes(JSON.stringify(identity.map((part) => Redacted.isRedacted(part) ? [Redacted.value(part)] : part)))
      )
        .pipe(Effect.orDie, Effect.map(Base64Url.encode)),
    seal: Effect.fnUntraced(function*(name, text) {
      const nonce = yield* random.randomBytes(nonceLength)
      const sealed = yield* Effect.orDie(aead.encrypt(key, bytes(text), { nonce, aad: bytes(name) }))
      const joined = new Uint8Array(nonceLength + sealed.length)
      joined.set(nonce)
      joined.set(sealed, nonceLength)
      return Base64Url.encode(joined)
    }),
    open: (name, sealed) => {
      const decoded = Base64Url.decode(sealed)
      if (Result.isFailure(decoded) || decoded.success.length <= nonceLength) return Effect.succeed(undefined)
      const nonce = decoded.success.slice(0, nonceLength)
      return aead.decrypt(key, decoded.success.slice(nonceLength), { nonce, aad: bytes(name) }).pipe(
        Effect.map((text) => new TextDecoder().decode(text)),
        Effect.orElseSucceed(() => undefined)
      )
    }
  }
})

const label = "@effect-resilience/auth/1"
const nonceLength = 12

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const services = /* @__PURE__ */ Effect.all({
  aead: Aead.Aead,
  kdf: Kdf.Kdf,
  mac: Mac.Mac,
  random: SecureRandom.SecureRandom
})

const layer = /* @__PURE__ */ Layer.mergeAll(Aead.layerWebCrypto, Kdf.layerWebCrypto, Mac.layerWebCrypto).pipe(
  Layer.provideMerge(SecureRandom.layerWebCrypto)
)
