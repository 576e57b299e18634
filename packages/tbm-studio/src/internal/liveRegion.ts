import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"

/** The last lines of a terminal, drawn over and over, with plain lines scrolling away above them. */
export interface LiveRegion {
  /** Lines that stay. */
  readonly print: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  /** Replaces the lines at the bottom. */
  readonly draw: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  /** Clears what an effect has drawn, however it ends. */
  readonly clearAfter: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Colours a text, unless the output is no terminal or `NO_COLOR` is set. */
  readonly paint: (colour: keyof typeof colours, text: string) => string
}

const colours = { green: 32, yellow: 33, red: 31 } as const

/** A live region on standard error. Without a terminal, `draw` does nothing. */
export const make = Effect.gen(function*() {
  const stdio = yield* Stdio.Stdio
  const isTerminal = yield* stdio.stderrIsTerminal
  const noColour = yield* Effect.orElseSucceed(Config.option(Config.String("NO_COLOR")), () => Option.none())
  const coloured = isTerminal && Option.getOrElse(noColour, () => "") === ""
  const write = (text: string) => Effect.ignore(Stream.run(Stream.make(text), stdio.stderr()))
  let drawn: ReadonlyArray<string> = []

  const erase = () => drawn.length === 0 ? "" : `\u001b[${drawn.length}F\u001b[0J`
  const text = (lines: ReadonlyArray<string>) => lines.map((line) => `${line}\n`).join("")

  const paint: LiveRegion["paint"] = (colour, text) => coloured ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text
  const draw: LiveRegion["draw"] = (lines) =>
    isTerminal
      ? Effect.suspend(() => {
        const before = erase()
        drawn = lines
        return write(before + text(lines))
      })
      : Effect.void
  const region: LiveRegion = {
    paint,
    draw,
    print: (lines) => Effect.suspend(() => write(erase() + text(lines) + text(drawn))),
    clearAfter: Effect.ensuring(draw([]))
  }
  return { ...region, isTerminal }
})
