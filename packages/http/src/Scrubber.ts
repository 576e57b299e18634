/**
 * Removes known secrets from text that is about to leave: a log line, an error message, a recorded exchange.
 *
 * **Why**
 *
 * Allow-lists keep our own secrets out of what we write. They cannot help when a server echoes a key in its error
 * message. So whoever holds a secret registers it, and whoever takes text from outside scrubs it.
 *
 * **Details**
 *
 * A secret is found as it is, URL-encoded, form-encoded, JSON-escaped, and as base64 or base64url, also when it is only a
 * part of what was encoded (as the password in Basic credentials is).
 *
 * **Gotchas**
 *
 * A secret shorter than four characters is ignored: removing it would garble every text without hiding anything. At most
 * 1,024 secrets are remembered; the oldest go first.
 *
 * **Example** (A server that echoes a key)
 *
 * ```ts import.meta.vitest
 * import { Scrubber } from "@effect-resilience/http"
 * import { Redacted } from "effect"
 *
 * const scrubber = Scrubber.make()
 * scrubber.register(Redacted.make("s3cr3t/key"))
 *
 * scrubber.scrub("unknown key s3cr3t/key (s3cr3t%2Fkey)") // => "unknown key <redacted> (<redacted>)"
 * scrubber.scrub(`Basic ${btoa("user:s3cr3t/key")}`).includes("<redacted>") // => true
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Base64 from "effect/encoding/Base64"
import * as Redacted from "effect/Redacted"

/**
 * Knows secrets and removes them from text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scrubber {
  readonly register: (secret: Redacted.Redacted) => void
  readonly scrub: (text: string) => string
}

/**
 * The scrubber of the current fiber. By default one for the whole process, so that a secret registered anywhere is
 * removed everywhere.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Scrubber> = Context.Reference<Scrubber>(
  "@effect-resilience/http/Scrubber/Current",
  { defaultValue: () => processWide }
)

/**
 * What stands in the place of a secret.
 *
 * @category constants
 * @since 0.1.0
 */
export const placeholder = "<redacted>"

/**
 * A scrubber that knows nothing yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Scrubber => {
  const variantsBySecret = new Map<string, ReadonlyArray<string>>()
  let pattern: RegExp | undefined
  return {
    register: (redacted) => {
      const secret = Redacted.value(redacted)
      if (secret.length < minLength || variantsBySecret.has(secret)) return
      variantsBySecret.set(secret, variantsOf(secret))
      if (variantsBySecret.size > maxSecrets) {
        const oldest = variantsBySecret.keys().next()
        if (oldest.done !== true) variantsBySecret.delete(oldest.value)
      }
      pattern = undefined
    },
    scrub: (text) => {
      if (variantsBySecret.size === 0) return text
      pattern ??= patternOf([...variantsBySecret.values()].flat())
      return text.replace(pattern, placeholder)
    }
  }
}

const processWide = make()

const minLength = 4
const maxSecrets = 1_024

const variantsOf = (secret: string): ReadonlyArray<string> => {
  const percent = encodeURIComponent(secret)
  const json = JSON.stringify(secret).slice(1, -1)
  const base64 = base64Fragments(new TextEncoder().encode(secret))
  return [
    secret,
    percent,
    percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    new URLSearchParams([["", secret]]).toString().slice(1),
    json,
    json.replaceAll("/", "\\/"),
    ...base64,
    ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    ...base64.map((text) => encodeURIComponent(text))
  ]
}

// Inside a longer text a secret starts at any of three positions of base64's 3-byte groups. Only the characters that are
// wholly made of the secret's own bits are the same whatever surrounds it.
const base64Fragments = (bytes: Uint8Array): ReadonlyArray<string> =>
  [0, 1, 2].flatMap((offset) => {
    const padded = new Uint8Array(offset + bytes.length)
    padded.set(bytes, offset)
    const start = Math.ceil(offset * 8 / 6)
    const end = Math.floor((offset + bytes.length) * 8 / 6)
    const fragment = Base64.encode(padded).slice(start, end)
    return fragment.length < minLength ? [] : [fragment]
  })

const patternOf = (variants: ReadonlyArray<string>): RegExp =>
  new RegExp(
    [...new Set(variants)]
      .sort((a, b) => b.length - a.length)
      .map((variant) => variant.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
      .join("|"),
    "g"
  )
