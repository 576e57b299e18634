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
import { wrap } from "./textWidth.ts"

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

/** The size of a window in characters. */
export interface Window {
  readonly columns: number
  readonly rows: number
}

const processWindow = (to: Stream): Window | undefined => {
  const { columns, isTTY, rows } = process[to]
  // A terminal that does not know its size says 0.
  return isTTY ? { columns: columns > 0 ? columns : 80, rows: rows > 0 ? rows : 24 } : undefined
}

/** The window that shows a stream now. A file or a pipe has none. */
export const WindowOf: Context.Reference<(to: Stream) => Window | undefined> = Context.Reference(
  "@effect-resilience/tbm-studio-cli/Output/WindowOf",
  { defaultValue: () => processWindow }
)

/** The columns that lines may fill. The last one stays empty, since some terminals begin a new line after it. */
export const widthOf = (to: Stream): Effect.Effect<number> =>
  Effect.map(WindowOf, (windowOf) => (windowOf(to)?.columns ?? Infinity) - 1)

/** Prints lines. A terminal gets them broken between words. */
export const print = (to: Stream, lines: ReadonlyArray<Line>): Effect.Effect<void> =>
  Effect.gen(function*() {
    if (lines.length === 0) return
    const write = yield* Behind
    const width = yield* widthOf(to)
    const text = lines.flatMap((line) => wrap(shown(line), width)).map((line) => `${line}\n`).join("")
    write(to, abovePinned(text, width !== Infinity))
  })

/**
 * The lines at the bottom of the terminal. The cursor is at the start of the first: it stays there if a resized window breaks
 * lines in other places, and everything from the cursor on belongs to these lines.
 */
let pinned: ReadonlyArray<string> = []

// A window that has just become narrower cuts a line off rather than continuing it in the next row.
const drawn = (lines: ReadonlyArray<string>): string =>
  lines.length === 0
    ? ""
    : `${escape}[?7l${lines.map((line) => `${line}${escape}[K`).join("\n")}${escape}[J${escape}[?7h\r${
      lines.length === 1 ? "" : `${escape}[${lines.length - 1}A`
    }`

// Not from the first column on: tmux would take that for the clearing of a whole screen, which it keeps in its history.
const erased = (): string => pinned.length === 0 ? "" : `\r${escape}[K${escape}[C${escape}[J\r`

const abovePinned = (text: string, onTerminal: boolean): string =>
  onTerminal ? `${erased()}${text}${drawn(pinned)}` : text

/** Keeps lines at the bottom of the terminal of standard error, in place of the previous ones. None removes them. */
export const pin = (lines: ReadonlyArray<Line>): Effect.Effect<void> =>
  Effect.map(Behind, (write) => {
    if (lines.length === 0 && pinned.length === 0) return
    const erase = lines.length === 0 ? erased() : ""
    pinned = lines.map(shown)
    write("stderr", erase + drawn(pinned))
  })

/** Prints lines that end as those of CSV do, and that no window breaks. */
export const printRows = (to: Stream, lines: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.map(Behind, (write) => write(to, lines.map((line) => `${plain(scrub(line))}\r\n`).join("")))

/** Prints one JSON document. It escapes control characters in its strings, which does not change their values. */
export const printJson = (to: Stream, document: object): Effect.Effect<void> =>
  Effect.map(Behind, (write) => write(to, jsonText(document)))

/** The text of a JSON document as it is printed. */
export const jsonText = (document: object): string => `${escaped(withoutSecrets(document))}\n`

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
      const text = parts.map((part, i) => i % 2 === 1 ? part : ForeignText.lines(part)).join("")
      processSink(to, abovePinned(text, processWindow(to) !== undefined))
      done()
    }
  })

/** Replaces the global console, which Effect's help, its loggers and `effect/Console` use. */
export const install = (): void => {
  globalThis.console = new Console({ stdout: text("stdout"), stderr: text("stderr"), colorMode: false })
  // The callback of a write reports errors. An error event without a listener would end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined)
  // Whatever ends or stops the process, it leaves none of its pinned lines behind.
  const unpin = () => Effect.runSync(pin([]))
  process.once("exit", unpin)
  if (process.stderr.isTTY) {
    process.on("SIGTSTP", () => {
      unpin()
      process.kill(process.pid, "SIGSTOP")
    })
  }
}
