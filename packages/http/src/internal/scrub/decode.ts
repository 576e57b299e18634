import { type Decoded, Edited, isWrap, type View } from "./View.ts"

/**
 * Resolves one layer of what stands for single characters: `%41`, `%u0041`, `\u0041`, `\x41`, `\n`, `\"`, `&#65;`,
 * `&#x41;`, `&quot;`. Skips a line break within one. `undefined` if there is none.
 */
export const unescape = (view: View): View | undefined => {
  const codes = view.codes.length === view.length ? view.codes : view.codes.subarray(0, view.length)
  const marks = new Marks(codes)
  let edited: Edited | undefined
  let copied = 0
  for (let i = marks.from(0); i < view.length;) {
    const next = read(view, i)
    if (next === i) {
      i = marks.from(i + 1)
      continue
    }
    edited ??= new Edited(view)
    edited.copy(copied, i)
    if (isByte) edited.pushByte(value, i, next)
    else if (value >= 0) edited.push(value, i, next)
    copied = next
    i = marks.from(next)
  }
  edited?.copy(copied, view.length)
  return edited
}

/**
 * Resolves quoted-printable: `=3D`, and `=` at the end of a line. A reading of its own, since `key=ab` is more often a key
 * and its value. Letters and digits are resolved only beside another code. Returns two readings if a line ends within what
 * may be a code, none if nothing looks like one.
 */
export const unquote = (view: View): ReadonlyArray<View> => {
  const codes = view.codes.length === view.length ? view.codes : view.codes.subarray(0, view.length)
  if (!looksQuoted(view, codes)) return []
  const broken = unquoted(view, codes, true)
  return ambiguous ? [broken, unquoted(view, codes, false)] : [broken]
}

let ambiguous = false

const unquoted = (view: View, codes: Uint16Array, splitsCodes: boolean): View => {
  const edited = new Edited(view)
  let copied = 0
  ambiguous = false
  for (let i = codes.indexOf(equals); i >= 0; i = codes.indexOf(equals, i)) {
    let soft = lineEnd(view, i + 1)
    const byte = hex(view, i + 1, 2)
    if (soft >= 0 && byte >= 0) {
      ambiguous = true
      if (splitsCodes) soft = -1
    }
    const besides = byte >= 0 && ((copied === i && i > 0) || (codes[cursor] === equals && hexAhead(view, cursor + 1)))
    if (soft < 0 && (byte < 0 || (!besides && isAlphanumeric(byte)))) {
      i++
      continue
    }
    const next = soft < 0 ? cursor : soft
    edited.copy(copied, i)
    if (soft < 0) edited.pushByte(byte, i, next)
    copied = i = next
  }
  edited.copy(copied, view.length)
  return edited
}

/**
 * Writes what runs of base64, base64url and hex stand for, if that is text of at least `shortest` units. A run may be
 * wrapped over lines of eight digits or more, and may begin anywhere in one, so each is read from every position at
 * which a byte can begin.
 */
export const unarmour = (view: View, shortest: number, decoded: Decoded): void => {
  decoded.reset(view)
  const { codes, length } = view
  const leastLine = Math.min(8, leastRun(shortest) >> 1)
  let done = 0
  // No line that is long enough lies between two places this far apart without covering the second.
  for (let i = leastLine - 1; i < length;) {
    let first = i
    while (first > i - leastLine && digitOf(base64, codes[first] ?? 0) >= 0) first--
    if (first > i - leastLine) {
      i = first + leastLine
      continue
    }
    done = run(view, beginOf(view, i, done), shortest, decoded)
    i = done + leastLine
  }
  if (places.length > 65_536) places = new Int32Array(1_024)
}

/** Where the run begins that `i` is in the middle of, also in an earlier line, but not before `least`. */
const beginOf = (view: View, i: number, least: number): number => {
  const { codes } = view
  for (;;) {
    while (i > least && digitOf(base64, codes[i - 1] ?? 0) >= 0) i--
    let j = i
    while (j > least && isWrap(codes[j - 1] ?? 0)) j--
    if (j === i || j === least || digitOf(base64, codes[j - 1] ?? 0) < 0 || pastWrap(view, j) === j) return i
    i = j - 1
  }
}

/** How many digits of base64 hold at least that many bytes. */
const leastRun = (bytes: number): number => Math.floor(bytes * 4 / 3)

const percent = 37
const ampersand = 38
const semicolon = 59
const equals = 61
const backslash = 92
const space = 32

/** Finds where something encoded may begin. */
class Marks {
  readonly #codes: Uint16Array
  #percent = -1
  #backslash = -1
  #ampersand = -1

  constructor(codes: Uint16Array) {
    this.#codes = codes
  }

  from(i: number): number {
    if (this.#percent < i) this.#percent = this.#find(percent, i)
    if (this.#backslash < i) this.#backslash = this.#find(backslash, i)
    if (this.#ampersand < i) this.#ampersand = this.#find(ampersand, i)
    return Math.min(this.#percent, this.#backslash, this.#ampersand)
  }

  #find(mark: number, i: number): number {
    const at = this.#codes.indexOf(mark, i)
    return at < 0 ? Infinity : at
  }
}

/** Whether there is an encoded `=` or line break, an `=` at the end of a line, two codes in a row, or the mark of RFC 2047. */
const looksQuoted = (view: View, codes: Uint16Array): boolean => {
  for (let i = codes.indexOf(equals); i >= 0; i = codes.indexOf(equals, i + 1)) {
    if (lineEnd(view, i + 1) >= 0) return true
    const byte = hex(view, i + 1, 2)
    if (
      byte === equals || byte === 10 || byte === 13 ||
      (byte >= 0 && codes[cursor] === equals && hexAhead(view, cursor + 1))
    ) return true
    if (codes[i + 1] === 63) { // ?
      const mark = codes.subarray(i + 1, i + 40).indexOf(63, 1)
      if (mark > 0 && ((codes[i + 2 + mark] ?? 0) | 32) === 113 && codes[i + 3 + mark] === 63) return true // ?Q?
    }
  }
  return false
}

const isAlphanumeric = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)

const tableOf = (digits: string): Int8Array => {
  const table = new Int8Array(128).fill(-1)
  for (let i = 0; i < digits.length; i++) table[digits.charCodeAt(i)] = i
  return table
}

const base64 = /* @__PURE__ */ (() => {
  const table = tableOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  table[45] = 62
  table[95] = 63
  return table
})()

const hexDigits = /* @__PURE__ */ (() => {
  const table = tableOf("0123456789abcdef")
  for (let i = 0; i < 6; i++) table[65 + i] = 10 + i
  return table
})()

const digitOf = (table: Int8Array, code: number): number => code < 128 ? table[code] ?? -1 : -1

/** Where the last read ended, and what it read: further results of the functions below. A line break has no value. */
let cursor = 0
let value = 0
let isByte = false

/** Behind a line break at `i` and the indentation that follows; otherwise `i`. */
const pastBreak = ({ codes, length }: View, i: number): number => {
  if (codes[i] !== 10 && codes[i] !== 13) return i
  while (i < length && (codes[i] === 10 || codes[i] === 13 || codes[i] === 32 || codes[i] === 9)) i++
  return i
}

/** Behind the line break that comes next after spaces; -1 if something else comes. */
const lineEnd = ({ codes, length }: View, i: number): number => {
  while (i < length && (codes[i] === 32 || codes[i] === 9)) i++
  if (i >= length) return -1
  if (codes[i] === 13 && codes[i + 1] === 10) return i + 2
  return codes[i] === 10 || codes[i] === 13 ? i + 1 : -1
}

const hex = (view: View, i: number, digits: number): number => {
  let result = 0
  for (let n = 0; n < digits; n++) {
    i = pastBreak(view, i)
    const digit = i < view.length ? digitOf(hexDigits, view.codes[i] ?? 0) : -1
    if (digit < 0) return -1
    result = result * 16 + digit
    i++
  }
  cursor = i
  return result
}

const hexAhead = ({ codes, length }: View, i: number): boolean =>
  i + 1 < length && digitOf(hexDigits, codes[i] ?? 0) >= 0 && digitOf(hexDigits, codes[i + 1] ?? 0) >= 0

/** Digits of any number. -1 for none, and for what is no code point. */
const number = (view: View, i: number, base: 10 | 16): number => {
  let result = -1
  for (;;) {
    i = pastBreak(view, i)
    const digit = i < view.length ? digitOf(hexDigits, view.codes[i] ?? 0) : -1
    if (digit < 0 || digit >= base) break
    result = Math.min(Math.max(result, 0) * base + digit, 0x110000)
    i++
  }
  cursor = i
  return result > 0x10ffff ? -1 : result
}

/** Reads the code at `i` into `value`. Returns where it ends; `i` if there is none. */
const read = (view: View, i: number): number => {
  isByte = false
  const mark = view.codes[i]
  return mark === percent ? percentCode(view, i) : mark === backslash ? backslashCode(view, i) : entity(view, i)
}

const percentCode = (view: View, i: number): number => {
  const j = pastBreak(view, i + 1)
  const wide = ((view.codes[j] ?? 0) | 32) === 117 // u
  value = wide ? hex(view, j + 1, 4) : hex(view, j, 2)
  isByte = !wide
  return value < 0 ? i : cursor
}

const backslashCode = (view: View, i: number): number => {
  const { codes, length } = view
  const j = pastBreak(view, i + 1)
  const code = j < length ? codes[j] ?? 0 : 0
  if ((code | 32) === 117) { // u
    if (codes[j + 1] === 123) { // {
      value = number(view, j + 2, 16)
      if (value >= 0 && cursor < length && codes[cursor] === 125) return cursor + 1
    }
    // Python's `\U0001f600`
    value = code === 85 ? hex(view, j + 1, 8) : -1
    if (value >= 0 && value <= 0x10ffff) return cursor
    value = hex(view, j + 1, 4)
    if (value >= 0) return cursor
  }
  if ((code | 32) === 120) { // x
    value = hex(view, j + 1, 2)
    isByte = value >= 0
    if (isByte) return cursor
  }
  value = -1
  if (j > i + 1) return j
  if (isAlphanumeric(code)) value = controls[code | 32] ?? -1
  else if (code >= space && code < 127) value = code
  return value < 0 ? i : j + 1
}

/** What a letter behind a backslash stands for, in either case. */
const controls: { readonly [code: number]: number } = { 98: 8, 102: 12, 110: 10, 114: 13, 116: 9, 118: 11 }

const entity = (view: View, i: number): number => {
  const { codes, length } = view
  let j = pastBreak(view, i + 1)
  if (codes[j] === 35) { // #
    j = pastBreak(view, j + 1)
    value = ((codes[j] ?? 0) | 32) === 120 ? number(view, j + 1, 16) : number(view, j, 10)
    const end = pastBreak(view, cursor)
    return value >= 0 && end < length && codes[end] === semicolon ? end + 1 : i
  }
  let name = ""
  while (j < length && name.length < longestName && isAlphanumeric(codes[j] ?? 0)) {
    name += String.fromCharCode(codes[j] ?? 0)
    j = pastBreak(view, j + 1)
  }
  value = (j < length && codes[j] === semicolon ? entities.get(name.toLowerCase()) : undefined) ?? -1
  return value < 0 ? i : j + 1
}

/** HTML's names for the characters of ASCII, in lower case. */
const entities: ReadonlyMap<string, number> = /* @__PURE__ */ new Map(
  ([
    ["\t", "tab"],
    ["\n", "newline"],
    [" ", "nbsp"],
    ["!", "excl"],
    ["\"", "quot"],
    ["#", "num"],
    ["$", "dollar"],
    ["%", "percnt"],
    ["&", "amp"],
    ["'", "apos"],
    ["(", "lpar"],
    [")", "rpar"],
    ["*", "ast", "midast"],
    ["+", "plus"],
    [",", "comma"],
    [".", "period"],
    ["/", "sol"],
    [":", "colon"],
    [";", "semi"],
    ["<", "lt"],
    ["=", "equals"],
    [">", "gt"],
    ["?", "quest"],
    ["@", "commat"],
    ["[", "lsqb", "lbrack"],
    ["\\", "bsol"],
    ["]", "rsqb", "rbrack"],
    ["^", "hat"],
    ["_", "lowbar", "underbar"],
    ["`", "grave"],
    ["{", "lcub", "lbrace"],
    ["|", "verbar", "vert"],
    ["}", "rcub", "rbrace"]
  ] as const).flatMap(([character, ...names]) => names.map((name) => [name, character.charCodeAt(0)] as const))
)

const longestName = 8

/** The places of a run's digits, kept from call to call. */
let places = new Int32Array(1_024)

/** Reads the whole run that begins at `i`. Returns where it ends. */
const run = (view: View, i: number, shortest: number, decoded: Decoded): number => {
  const { codes, length } = view
  let digits = places
  let size = 0
  // Where the hex digits begin that stand last.
  let hexes = 0
  while (i < length) {
    const code = codes[i] ?? 0
    const digit = code < 128 ? base64[code] ?? -1 : -1
    if (digit < 0) {
      const next = pastWrap(view, i)
      if (next === i || next >= length || digitOf(base64, codes[next] ?? 0) < 0) break
      i = next
      continue
    }
    if (size === digits.length) digits = places = enlarged(digits)
    digits[size++] = i++
    if ((hexDigits[code] ?? -1) >= 0) continue
    if (size - 1 - hexes >= 2 * shortest) decode(view, hexDigits, 4, hexes, size - 1, shortest, decoded)
    hexes = size
  }
  if (size - hexes >= 2 * shortest) decode(view, hexDigits, 4, hexes, size, shortest, decoded)
  if (size >= leastRun(shortest)) decode(view, base64, 6, 0, size, shortest, decoded)
  return i
}

const enlarged = (array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> => {
  const larger = new Int32Array(2 * array.length)
  larger.set(array)
  return larger
}

/** Behind white space that holds a line break, and behind invisible characters. */
const pastWrap = ({ codes, length }: View, i: number): number => {
  let j = i
  let wraps = false
  for (; j < length && isWrap(codes[j] ?? 0); j++) wraps ||= codes[j] !== space && codes[j] !== 9
  return wraps ? j : i
}

/** Decodes `places`, from every digit with which a byte can begin. */
const decode = (
  view: View,
  table: Int8Array,
  bits: 4 | 6,
  from: number,
  to: number,
  shortest: number,
  decoded: Decoded
): void => {
  const { codes } = view
  const digits = places
  // What an earlier pass read is not read again.
  if (view.isOld(digits[from] ?? 0, digits[to - 1] ?? 0)) return
  for (let phase = 0; phase < (bits === 4 ? 2 : 4); phase++) {
    let held = 0
    let holds = 0
    for (let i = from + phase; i < to; i++) {
      const place = digits[i] ?? 0
      held = held << bits | (table[codes[place] ?? 0] ?? 0)
      holds += bits
      if (holds < 8) continue
      holds -= 8
      decoded.push(held >>> holds & 0xff, digits[i - 1] ?? 0, place, shortest)
    }
    decoded.end(shortest)
  }
}
