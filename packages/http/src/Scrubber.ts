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
 * A secret is found as it is, URL-encoded (twice too), form-encoded, JSON-escaped, with HTML entities, in any mixture of
 * these, and as base64 or base64url, also when it is only a part of what was encoded (as the password in Basic
 * credentials is).
 *
 * **Gotchas**
 *
 * A secret shorter than four characters is ignored: removing it would garble every text without hiding anything. At most
 * 1,024 secrets are remembered; those that were not registered again for longest go first, so register a key each time
 * it is used. A part of a secret is not found: scrub a text before it is cut.
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
  const patterns = new Map<string, string>()
  let regExp: RegExp | undefined
  return {
    register: (redacted) => {
      const secret = Redacted.value(redacted)
      if (secret.length < minLength) return
      const known = patterns.get(secret)
      patterns.delete(secret)
      patterns.set(secret, known ?? patternOf(secret))
      if (known !== undefined) return
      regExp = undefined
      if (patterns.size > maxSecrets) {
        const [oldest] = patterns.keys()
        if (oldest !== undefined) patterns.delete(oldest)
      }
    },
    scrub: (text) => {
      if (patterns.size === 0) return text
      // A secret that contains another one must be tried before it.
      regExp ??= new RegExp(
        [...patterns].sort(([a], [b]) => b.length - a.length).map(([_, pattern]) => pattern).join("|"),
        "g"
      )
      return text.replace(regExp, placeholder)
    }
  }
}

const processWide = make()

const minLength = 4
const maxSecrets = 1_024

const patternOf = (secret: string): string =>
  [
    [...secret].map(characterPattern).join(""),
    ...base64Fragments(new TextEncoder().encode(secret)).map((text) =>
      text.replace(/[+/]/g, (c) => base64Pattern[c] ?? c)
    )
  ].join("|")

/** One character in every form in which it may come back. The plainest stands last: it begins some of the others. */
const characterPattern = (character: string): string => {
  if (/[A-Za-z0-9]/.test(character)) return character
  const units = character.split("").map((unit) => `\\\\+u${anyCase(unit.charCodeAt(0).toString(16).padStart(4, "0"))}`)
  const bytes = [...new TextEncoder().encode(character)].map((byte) =>
    `%(?:25)*${anyCase(byte.toString(16).padStart(2, "0"))}`
  )
  const point = character.codePointAt(0) ?? 0
  return `(?:${
    [
      bytes.join(""),
      units.join(""),
      `&#(?:0*${point}|[xX]0*${anyCase(point.toString(16))});`,
      ...(named[character] ?? []).map(escape),
      escape(JSON.stringify(character).slice(1, -1)).replace(/^\\\\/, "\\\\+"),
      escape(character)
    ].join("|")
  })`
}

const named: { readonly [character: string]: ReadonlyArray<string> } = {
  " ": ["+"],
  "/": ["\\/", "\\\\/"],
  "&": ["&amp;"],
  "<": ["&lt;"],
  ">": ["&gt;"],
  "\"": ["&quot;"],
  "'": ["&apos;"]
}

const base64Pattern: { readonly [character: string]: string } = {
  "+": "(?:\\+|-|%2[bB])",
  "/": "(?:/|_|%2[fF]|\\\\/)"
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
const anyCase = (hex: string): string => hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)

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
