/**
 * Makes foreign text safe for a terminal or a log.
 *
 * **Why**
 *
 * A server's message, a file's name or a header's value can contain escape sequences that repaint a terminal, line breaks
 * that forge log lines, and invisible characters that make one name look like another. All foreign text passes through
 * this module before it becomes part of a message, a log line or a span, so no package needs rules of its own.
 *
 * **Details**
 *
 * The result contains no control characters (C0 with ESC and BEL, DEL, C1), format characters (direction overrides and
 * isolates, zero-width characters, tags), other invisible characters, Unicode line and paragraph separators, or halves of
 * surrogate pairs. Letters of all scripts, marks and emoji stay.
 *
 * **When to use**
 *
 * Use `oneLine` for prose, `name` for what people must recognise (a file, a table, an identifier), and `lines` for text
 * with line breaks of the program's own, such as a rendered cause.
 *
 * **Gotchas**
 *
 * This hides no secrets. Scrub a text first: a scrubber does not recognise a secret that was cut or changed here.
 *
 * **Example** (Three ways to print)
 *
 * ```ts import.meta.vitest
 * import { ForeignText } from "@effect-resilience/errors"
 *
 * ForeignText.oneLine("disk full\r\n2026-01-01 all is well\u001b[8m") // => "disk full 2026-01-01 all is well [8m"
 * ForeignText.name("invoice\u202Efdp.exe") // => "invoice\\u{202e}fdp.exe"
 * ForeignText.lines("a\r\nb\u0007") // => "a\nb"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */

/**
 * The longest text, in characters: 2,000.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxLength = 2_000

/**
 * One line of prose: a run of white space and unprintable characters becomes one space. At most `maxLength` characters; a
 * longer text ends in `…`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const oneLine = (text: string, maxLength: number = defaultLength): string =>
  cut(text.replace(halves, "\ufffd").replace(blanks, " ").trim(), maxLength)

/**
 * A name, such that different names look different: an unprintable character becomes its number, `\u{202e}`. White space
 * other than line breaks and tabs stays. At most `maxLength` characters, 200 by default.
 *
 * @category formatting
 * @since 0.1.0
 */
export const name = (text: string, maxLength: number = 200): string =>
  cut(text.replace(unprintable, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`), maxLength)

/**
 * Text of several lines: line feeds and tabs stay, `\r\n` becomes a line feed, other unprintable characters are removed.
 * Unlimited without `maxLength`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const lines = (text: string, maxLength: number = Infinity): string =>
  cut(text.replace(halves, "\ufffd").replace(breaks, "\n").replace(unprintableWithin, ""), maxLength)

const defaultLength = maxLength

// Variation selectors 15 and 16, which say whether a character is an emoji, are harmless.
const forbidden = String.raw`[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]--[\ufe0e\ufe0f]]`
const unprintable = /* @__PURE__ */ new RegExp(forbidden, "gv")
const unprintableWithin = /* @__PURE__ */ new RegExp(/* @__PURE__ */ "[".concat(forbidden, "--[\n\t]]"), "gv")
const blanks = /* @__PURE__ */ new RegExp(String.raw`[\s${forbidden}]+`, "gv")
const breaks = /\r\n?|[\u0085\u2028\u2029]/g
const halves = /\p{Cs}/gu

const cut = (text: string, maxLength: number): string =>
  text.length > maxLength ? `${text.slice(0, maxLength - 1).replace(halfCharacter, "")}…` : text

const halfCharacter = /[\ud800-\udbff]$/
