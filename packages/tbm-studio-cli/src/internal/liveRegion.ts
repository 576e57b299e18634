import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Output from "./output.ts"

/** The last lines of a terminal, which are redrawn, with plain lines that scroll above them. */
export interface LiveRegion {
  /** Whether lines can be redrawn. */
  readonly isTerminal: boolean
  /** Prints lines above the region. */
  readonly print: (lines: ReadonlyArray<Output.Line>) => Effect.Effect<void>
  /** Replaces the lines at the bottom by those that fit the window as it is now. */
  readonly draw: (lines: (window: Output.Window) => ReadonlyArray<Output.Line>) => Effect.Effect<void>
  /** Draws lines. Where that does nothing, it prints one line instead, if that differs from the previous one. */
  readonly follow: (
    lines: (window: Output.Window) => ReadonlyArray<Output.Line>,
    line: string
  ) => Effect.Effect<void>
  /** Clears the region after an effect, however it ends. */
  readonly clearAfter: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Colours a text, unless the output is not a terminal, cannot show colours, or `NO_COLOR` is set. */
  readonly paint: (colour: Output.Painted["colour"], text: string) => string | Output.Painted
}

/** A live region on standard error. Without a terminal that can move its cursor, `draw` does nothing. */
export const make = Effect.gen(function*() {
  const windowOf = yield* Output.WindowOf
  const isTerminal = windowOf("stderr") !== undefined && (yield* setting("TERM")) !== "dumb"
  const coloured = isTerminal && (yield* setting("NO_COLOR")) === ""

  let followed = ""
  const region: LiveRegion = {
    isTerminal,
    follow: (lines, line) =>
      Effect.suspend(() => {
        if (isTerminal) return region.draw(lines)
        if (line === followed) return Effect.void
        followed = line
        return region.print([line])
      }),
    paint: (colour, text) => coloured ? { colour, text } : text,
    draw: (lines) =>
      Effect.suspend(() => {
        const window = windowOf("stderr")
        return isTerminal && window !== undefined ? Output.pin(lines(window)) : Effect.void
      }),
    print: (lines) => Output.print("stderr", lines),
    clearAfter: Effect.ensuring(Output.pin([]))
  }
  return region
})

const setting = (name: string): Effect.Effect<string> =>
  Effect.map(
    Effect.orElseSucceed(Config.option(Config.String(name)), () => Option.none()),
    Option.getOrElse(() => "")
  )
