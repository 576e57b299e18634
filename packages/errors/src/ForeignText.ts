/**
 * Makes text that somebody else wrote fit for a terminal or a log.
 *
 * **Why**
 *
 * A server's message, a file's name or a header's value can hold escape sequences that repaint a terminal, line breaks
 * that forge log lines, and invisible characters that make one name look like another. All foreign text passes through
 * here before it becomes a part of a message, a log line or a span, so that no package needs rules of its own.
 *
 * **Details**
 *
 * These characters never come out: control characters (C0 with ESC and BEL, DEL, C1), format characters (direction
 * overrides and isolates, zero-width characters, tags), other invisible ones, Unicode's line and paragraph separators,
 * and halves of surrogate pairs. Letters of every script, marks and emoji stay.
 *
 * **When to use**
 *
 * Use `oneLine` for prose, `name` for what must be recognised (a file, a table, an identifier), and `lines` for text
 * whose line breaks belong to the program, such as a rendered cause.
 *
 * **Gotchas**
 *
 * This hides no secrets: scrub a text first, since a secret that was cut or changed here is no longer recognised.
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
 * @since 0.1.0
 */

/**
 * The longest text that is kept, in characters: 2,000.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxLength = 2_000

/**
 * One line of prose: runs of white space and of characters that must not be printed become one space. At most
 * `maxLength` characters; the last of a longer text is `…`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const oneLine = (text: string, maxLength: number = defaultLength): string =>
  cut(text.replace(halves, "\ufffd").replace(blanks, " ").trim(), maxLength)

/**
 * A name, such that different names look different: a character that must not be printed is shown as its number,
 * `\u{202e}`. White space other than line breaks and tabs stays. At most `maxLength` characters, 200 by default.
 *
 * @category formatting
 * @since 0.1.0
 */
export const name = (text: string, maxLength: number = 200): string =>
  cut(text.replace(unprintable, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`), maxLength)

/**
 * Text of several lines: line feeds and tabs stay, `\r\n` becomes a line feed, whatever else must not be printed is left
 * out. It has no limit unless `maxLength` is given.
 *
 * @category formatting
 * @since 0.1.0
 */
export const lines = (text: string, maxLength: number = Infinity): string =>
  cut(text.replace(halves, "\ufffd").replace(breaks, "\n").replace(unprintableWithin, ""), maxLength)

const defaultLength = maxLength

// Variation selectors 15 and 16, which say whether a character is an emoji, are no danger.
const forbidden = String.raw`[[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]--[\ufe0e\ufe0f]]`
const unprintable = /* @__PURE__ */ new RegExp(forbidden, "gv")
const unprintableWithin = /* @__PURE__ */ new RegExp(`[${forbidden}--[\n\t]]`, "gv")
const blanks = /* @__PURE__ */ new RegExp(String.raw`[\s${forbidden}]+`, "gv")
const breaks = /\r\n?|[\u0085\u2028\u2029]/g
const halves = /\p{Cs}/gu

const cut = (text: string, maxLength: number): string =>
  text.length > maxLength ? `${text.slice(0, maxLength - 1).replace(halfCharacter, "")}…` : text

const halfCharacter = /[\ud800-\udbff]$/
