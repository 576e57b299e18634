import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"

/** The last lines of a terminal, drawn over and over, with plain lines scrolling away above them. */
export interface LiveRegion {
  /** Lines that stay. */
  readonly print: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  /** Replaces the lines at the bottom. */
  readonly draw: (lines: ReadonlyArray<string>) => Effect.Effect<void>
}

/** A live region on standard error. Without a terminal, `draw` does nothing. */
export const make = Effect.gen(function*() {
  const stdio = yield* Stdio.Stdio
  const isTerminal = yield* stdio.stderrIsTerminal
  const write = (text: string) => Effect.ignore(Stream.run(Stream.make(text), stdio.stderr()))
  let drawn: ReadonlyArray<string> = []

  const erase = () => drawn.length === 0 ? "" : `\u001b[${drawn.length}F\u001b[0J`
  const text = (lines: ReadonlyArray<string>) => lines.map((line) => `${line}\n`).join("")

  const region: LiveRegion = isTerminal
    ? {
      print: (lines) => Effect.suspend(() => write(erase() + text(lines) + text(drawn))),
      draw: (lines) =>
        Effect.suspend(() => {
          const before = erase()
          drawn = lines
          return write(before + text(lines))
        })
    }
    : { print: (lines) => write(text(lines)), draw: () => Effect.void }
  return { ...region, isTerminal }
})
