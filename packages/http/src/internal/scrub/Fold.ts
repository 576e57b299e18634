/**
 * What is compared of a text, so that a secret is found although its case and its spaces were changed. Each unit is a number
 * with many different bits.
 */
export interface Fold {
  /** By code of ASCII; 0 for what is not compared. */
  readonly ascii: Int32Array
  /** By code point beyond ASCII: one or more, or none. */
  readonly beyond: (point: number) => ReadonlyArray<number>
}

const make = (ascii: (code: number) => number, beyond: (character: string) => string): Fold => {
  const known = new Map<number, ReadonlyArray<number>>()
  const table = Int32Array.from({ length: 128 }, (_, code) => spread(ascii(code)))
  return {
    ascii: table,
    beyond: (point) => {
      const folded = known.get(point)
      if (folded !== undefined) return folded
      const made = Array.from(beyond(String.fromCodePoint(point)), (character) => {
        const code = character.codePointAt(0) ?? 0
        return code < 128 ? table[code] ?? 0 : spread(code)
      })
      if (known.size >= maxKnown) known.clear()
      known.set(point, made)
      return made
    }
  }
}

// The finalizer of MurmurHash3: different numbers for different codes, 0 for 0.
const spread = (code: number): number => {
  const first = Math.imul(code ^ code >>> 16, 0x85ebca6b)
  const second = Math.imul(first ^ first >>> 13, 0xc2b2ae35)
  return second ^ second >>> 16
}

const maxKnown = 4_096

const lower = (code: number): number => code >= 65 && code <= 90 ? code + 32 : code

// Lower-casing first and last, since each case has letters that the other has not.
const caseless = (character: string): string => character.toLowerCase().toUpperCase().toLowerCase()

// A secret may be wrapped or spaced out; a form writes a space as `+`, base64url a `+` as `-` and a `/` as `_`.
const isBlank = (code: number): boolean => code <= 32 || code === 127 || code === 43 || code === 45

/** Without case, white space, `+`, `-`, control characters and what is invisible. `_` and `/` are the same. */
export const loose: Fold = /* @__PURE__ */ make(
  (code) => isBlank(code) ? 0 : code === 95 ? 47 : lower(code),
  (character) => invisible.test(character) ? "" : caseless(character)
)

/** Without case. A space and `+` are the same. */
export const exact: Fold = /* @__PURE__ */ make((code) => code === 43 ? 33 : lower(code) + 1, caseless)

const invisible = /[\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/u
