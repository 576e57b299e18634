/**
 * The only access to standard output and standard error. Everything that the command prints passes here, so that no secret
 * is printed, no foreign text moves a cursor or forges a line, and a failed write is noticed.
 */
import * as ForeignText from "@effect-resilience/errors/ForeignText"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { Console } from "node:console"
import { Writable } from "node:stream"

export type Stream = "stdout" | "stderr"

const colours = { green: 32, yellow: 33, red: 31 } as const

/** A part of a line in a colour. */
export interface Painted {
  readonly colour: keyof typeof colours
  readonly text: string
}

/** One line, plain or of parts. A line break within it is printed as its number. */
export type Line = string | ReadonlyArray<string | Painted>

/** Writes texts that are safe to print. */
export type Sink = (to: Stream, text: string) => void

let failure: Error | undefined

const processSink: Sink = (to, text) => {
  process[to].write(text, (error) => {
    if (to === "stdout") failure ??= error ?? undefined
  })
}

/** Where the output goes: the streams of the process, or another sink in a test. */
export const Behind: Context.Reference<Sink> = Context.Reference("@effect-resilience/tbm-studio-cli/Output", {
  defaultValue: () => processSink
})

/** Prints lines, and replaces the last `replaced` lines of a terminal. */
export const print = (to: Stream, lines: ReadonlyArray<Line>, replaced = 0): Effect.Effect<void> =>
  Effect.map(Behind, (write) => {
    const above = replaced === 0 ? "" : `${escape}[${replaced}F${escape}[0J`
    if (above !== "" || lines.length > 0) write(to, above + lines.map((line) => `${shown(line)}\n`).join(""))
  })

/** Prints one JSON document. It escapes control characters in its strings, which does not change their values. */
export const printJson = (to: Stream, document: object): Effect.Effect<void> =>
  Effect.map(Behind, (write) => write(to, `${escaped(withoutSecrets(document))}\n`))

/** Waits until standard output has accepted everything, and reports why it could not. */
export const flushed = (onFlushed: (failure: Error | undefined) => void): void => {
  process.stdout.write("", () => onFlushed(failure))
}

const scrub = (text: string): string => Scrubber.Current.defaultValue().scrub(text)

const withoutSecrets = (document: object): string => {
  const json = JSON.stringify(document, undefined, 2)
  // A secret such as `12345678` or `true` may also occur as a number or a name in the document, which must not change.
  return scrub(json) === json
    ? json
    : JSON.stringify(document, (_, value: unknown) => typeof value === "string" ? scrub(value) : value, 2)
}

/** A text as one printable line. */
export const plain = (text: string): string => printable.test(text) ? text : ForeignText.name(text, Infinity)

const shown = (line: Line): string => typeof line === "string" ? plain(scrub(line)) : line.map(part).join("")

const part = (part: string | Painted): string =>
  typeof part === "string" ? shown(part) : `${escape}[${colours[part.colour]}m${shown(part.text)}${escape}[0m`

const printable = /^[ -~]*$/

/** JSON without the characters that a terminal obeys or hides. */
export const escaped = (json: string): string =>
  json.replace(/[^\n -~]/gu, (character) => plain(character) === character ? character : codeUnits(character))

const codeUnits = (character: string): string =>
  Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`)
    .join("")

// Help uses colours, and no other escape sequences.
const escape = "\u001b"
const colour = new RegExp(`(${escape}\\[[\\d;]*m)`)

const text = (to: Stream) =>
  new Writable({
    decodeStrings: false,
    write: (chunk, _, done) => {
      const parts = scrub(String(chunk)).split(colour)
      processSink(to, parts.map((part, i) => i % 2 === 1 ? part : ForeignText.lines(part)).join(""))
      done()
    }
  })

/** Replaces the global console, which Effect's help, its loggers and `effect/Console` use. */
export const install = (): void => {
  globalThis.console = new Console({ stdout: text("stdout"), stderr: text("stderr"), colorMode: false })
  // The callback of a write reports errors. An error event without a listener would end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined)
}
