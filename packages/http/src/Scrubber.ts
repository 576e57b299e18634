/**
 * Removes known secrets from text that is about to leave: a log line, an error message, a recorded exchange.
 *
 * **Why**
 *
 * Allow-lists keep our own secrets out of what we write. They cannot help when a server echoes a key in its error
 * message. So the holder of a secret registers it, and every text from outside is scrubbed.
 *
 * **Details**
 *
 * A scrubber finds a secret as it is, and under up to three of these encodings, one within the other:
 *
 * - percent-encoding, of some or all characters, also `%u0041` and with `+` for a space;
 * - JSON's and other backslash escapes: `\u0041`, `\u{41}`, `\x41`, `\n`, `\"`, `\/`;
 * - HTML and XML entities, by number or by name;
 * - quoted-printable;
 * - hex; base64 and base64url, also as a part of a longer encoded text (as the password in Basic credentials is), and
 *   wrapped over lines of eight digits or more.
 *
 * It ignores case, and within a secret also white space, line breaks, invisible characters, `+` and `-`. In a secret with
 * fewer than eight other characters it ignores only case. Base64 whose case was changed cannot be decoded; it is found if it
 * encodes the secret itself, or the secret's base64 or hex.
 *
 * A scrubber does not find: a part of a secret (scrub a text before you cut it), a secret of more than 128 KiB in a text of
 * more than 1 MiB, a secret that is reversed, compressed, encrypted, hashed or spelled with other characters in between, and
 * other encodings, such as base32, UTF-7 or octal escapes.
 *
 * The time of a scrub is linear in the text and does not depend on the number of secrets or their content. If secrets and a
 * text were made to cost more (many secrets that end alike, at every place of the text), the whole text is removed, a MiB at
 * a time. A scrub never throws.
 *
 * **Gotchas**
 *
 * A secret shorter than four characters is ignored: removing it would garble every text without hiding anything. A secret
 * that is registered with its end is forgotten an hour after it. At most `capacity` secrets are remembered. Of more secrets,
 * those with an end are forgotten first, then those whose last registration is the oldest; so register a key each time it is
 * used.
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
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import type * as Context from "effect/Context"
import * as Redacted from "effect/Redacted"
import * as current from "./internal/scrub/current.ts"
import type { Lifetime, Scrubber } from "./internal/scrub/current.ts"
import { unarmour, unescape, unquote } from "./internal/scrub/decode.ts"
import { exact, loose } from "./internal/scrub/Fold.ts"
import { type Pattern, SecretIndex } from "./internal/scrub/SecretIndex.ts"
import { Decoded, fromText, type View } from "./internal/scrub/View.ts"

export type { Lifetime, Scrubber } from "./internal/scrub/current.ts"

/**
 * The scrubber of the current fiber. By default one for the whole process, so that a secret registered anywhere is
 * removed everywhere.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Scrubber> = /* @__PURE__ */ current.madeBy(() => make())

/**
 * What stands in the place of a secret.
 *
 * @category constants
 * @since 0.1.0
 */
export const placeholder = "<redacted>"

/**
 * How many secrets a scrubber knows at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many secrets are remembered at most; 1,024 by default. */
  readonly capacity?: number | undefined
}

/**
 * A scrubber that knows nothing yet. Throws `RangeError` for a capacity that is not a positive integer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Scrubber => {
  const capacity = options.capacity ?? 1_024
  requireArgument(
    Number.isSafeInteger(capacity) && capacity > 0,
    "Scrubber.capacity",
    "an integer of at least 1",
    capacity
  )
  const entries = new Map<string, Entry>()
  const mortals = new Set<Entry>()
  const spaced = new SecretIndex<Entry>(loose, 8)
  const short = new SecretIndex<Entry>(exact, 4)
  /** The least `shortest` of all entries. */
  let shortest = Infinity
  let sinceSweep = 0

  const add = (secret: string): Entry => {
    const entry: Entry = { secret, lifetime: undefined, spaced: [], short: [], shortest: secret.length }
    const keep = (pattern: Pattern<Entry> | undefined, patterns: Array<Pattern<Entry>>) => {
      if (pattern === undefined) return false
      entry.shortest = Math.min(entry.shortest, pattern.length)
      return patterns.push(pattern) > 0
    }
    for (const view of readingsOf(secret)) {
      if (!keep(spaced.add(view, entry), entry.spaced)) keep(short.add(view, entry), entry.short)
    }
    for (const text of base64Of(secret)) keep(spaced.add(fromText(text, room), entry), entry.spaced)
    shortest = Math.min(shortest, entry.shortest)
    return entry
  }
  const forget = (entry: Entry) => {
    entries.delete(entry.secret)
    mortals.delete(entry)
    for (const pattern of entry.spaced) spaced.remove(pattern)
    for (const pattern of entry.short) short.remove(pattern)
    if (entry.shortest > shortest) return
    shortest = Infinity
    for (const other of entries.values()) shortest = Math.min(shortest, other.shortest)
  }
  const makeRoom = () => {
    if (++sinceSweep >= 64 || entries.size > capacity) {
      sinceSweep = 0
      for (const entry of mortals) if (isOver(entry)) forget(entry)
    }
    while (entries.size > capacity) {
      const [oldest] = mortals.size > 0 ? mortals : entries.values()
      if (oldest === undefined) return
      forget(oldest)
    }
  }

  const rangesIn = (text: string): Ranges => {
    const ranges = new Ranges()
    const over: Array<Entry> = []
    const found = (entry: Entry, start: number, end: number) => {
      if (entry.lifetime !== undefined && isOver(entry)) over.push(entry)
      else ranges.add(start, end)
    }
    const search = (view: View, depth: number) => {
      // A search that is given up may have missed a secret anywhere.
      if (!spaced.find(view, found) || !short.find(view, found)) ranges.add(0, text.length)
      if (depth === layers) return
      const unescaped = unescape(view)
      if (unescaped !== undefined) search(unescaped, depth + 1)
      for (const unquoted of unquote(view)) search(unquoted, depth + 1)
      const decoded = decodings[depth] ??= new Decoded()
      unarmour(view, shortest, decoded)
      if (decoded.length > 0) search(decoded, depth + 1)
      decoded.reset(nothing)
    }
    search(fromText(text, room), 0)
    for (const entry of over) forget(entry)
    return ranges
  }

  return {
    register: (redacted, lifetime) => {
      const secret = Redacted.value(redacted)
      if (secret.length < minLength) return
      const known = entries.get(secret)
      const entry = known ?? add(secret)
      entry.lifetime = lifetime
      // Entries stand in the order of their last registration.
      entries.delete(secret)
      entries.set(secret, entry)
      mortals.delete(entry)
      if (lifetime !== undefined) mortals.add(entry)
      if (known === undefined) makeRoom()
    },
    scrub: (text) => {
      if (text.length < shortest) return text
      if (text.length <= piece) return rangesIn(text).cutFrom(text)
      const ranges = new Ranges()
      for (let start = 0; start < text.length - overlap; start += piece - overlap) {
        ranges.addAll(rangesIn(text.slice(start, start + piece)), start)
      }
      return ranges.cutFrom(text)
    }
  }
}

interface Entry {
  readonly secret: string
  lifetime: Lifetime | undefined
  readonly spaced: Array<Pattern<Entry>>
  readonly short: Array<Pattern<Entry>>
  /** The length of the shortest text that can contain it: less than its own, if not all of it is compared. */
  shortest: number
}

const minLength = 4

/** How many encodings may lie one within the other. */
const layers = 3

/** How long a secret is still removed after its end, in milliseconds: messages about it may come late. */
const afterlife = 3_600_000

/** A longer text is searched in pieces, so that the memory for it is bounded. A secret that fits into an overlap is found. */
const piece = 1_048_576
const overlap = 131_072

// Kept from scrub to scrub: memory for a short text, and for what each depth decodes.
const room = /* @__PURE__ */ new Uint16Array(1_024)
const decodings: Array<Decoded> = []
const nothing = /* @__PURE__ */ fromText("")

const isOver = ({ lifetime }: Entry): boolean =>
  lifetime !== undefined && lifetime.clock.currentTimeMillisUnsafe() >= lifetime.end + afterlife

/** A secret may itself look encoded. When the text around it is decoded, so is the secret. */
const readingsOf = (secret: string): ReadonlyArray<View> => {
  const readings = [fromText(secret)]
  for (let view = unescape(readings[0] ?? fromText("")); view !== undefined && readings.length <= layers;) {
    readings.push(view)
    view = unescape(view)
  }
  return readings
}

/** What to look for in base64 that cannot be decoded, since its case was changed. */
const base64Of = (secret: string): ReadonlyArray<string> => {
  const bytes = bytesOf(secret)
  const once = fragments(bytes)
  const hex = hexOf(bytes)
  const contents = new Set([bytesOf(secret.toLowerCase()), bytesOf(secret.toUpperCase()), hex, hex.toUpperCase()])
  contents.delete(bytes)
  const urlSafe = once.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))
  return [...once, ...[...new Set([...contents, ...once, ...urlSafe])].flatMap(fragments)]
}

/** The UTF-8 of a text, with a character for each byte. */
const bytesOf = (text: string): string =>
  isAscii.test(text) ? text : Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("")

const hexOf = (bytes: string): string => {
  let hex = ""
  for (let i = 0; i < bytes.length; i++) hex += bytes.charCodeAt(i).toString(16).padStart(2, "0")
  return hex
}

// oxlint-disable-next-line no-control-regex
const isAscii = /^[\x00-\x7f]*$/

// Inside a longer text a secret starts at any of three positions of base64's 3-byte groups. Only the characters that are
// wholly made of the secret's own bits are the same whatever surrounds it.
const fragments = (bytes: string): ReadonlyArray<string> =>
  [0, 1, 2].map((offset) =>
    btoa(" ".repeat(offset) + bytes).slice(Math.ceil(offset * 8 / 6), Math.floor((offset + bytes.length) * 8 / 6))
  )

/** Parts of a text, in any order, which may overlap. */
class Ranges {
  readonly #starts: Array<number> = []
  readonly #ends: Array<number> = []

  add(start: number, end: number): void {
    const last = this.#starts.length - 1
    const lastStart = this.#starts[last]
    const lastEnd = this.#ends[last]
    // Mostly they come in order: a text that repeats a secret's beginning over and over has a match at each place.
    if (lastStart !== undefined && lastEnd !== undefined && start >= lastStart && start < lastEnd) {
      if (end > lastEnd) this.#ends[last] = end
      return
    }
    this.#starts.push(start)
    this.#ends.push(end)
  }

  addAll(other: Ranges, offset: number): void {
    for (const [i, start] of other.#starts.entries()) this.add(start + offset, (other.#ends[i] ?? 0) + offset)
  }

  /** The text with a placeholder for each part; one for parts that overlap. */
  cutFrom(text: string): string {
    if (this.#starts.length === 0) return text
    const order = this.#starts.map((_, i) => i).sort((a, b) => (this.#starts[a] ?? 0) - (this.#starts[b] ?? 0))
    let result = ""
    let kept = 0
    let open = -1
    for (const i of order) {
      const start = this.#starts[i] ?? 0
      if (start >= open) {
        if (open >= 0) kept = open
        result += text.slice(kept, start) + placeholder
      }
      open = Math.max(open, this.#ends[i] ?? 0)
    }
    return result + text.slice(open)
  }
}
