import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Output from "./output.ts"

/** The last lines of a terminal, which are redrawn, with plain lines that scroll above them. */
export interface LiveRegion {
  readonly isTerminal: boolean
  /** Prints lines above the region. */
  readonly print: (lines: ReadonlyArray<Output.Line>) => Effect.Effect<void>
  /** Replaces the lines at the bottom. */
  readonly draw: (lines: ReadonlyArray<Output.Line>) => Effect.Effect<void>
  /** Clears the region after an effect, however it ends. */
  readonly clearAfter: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Colours a text, unless the output is not a terminal or `NO_COLOR` is set. */
  readonly paint: (colour: Output.Painted["colour"], text: string) => string | Output.Painted
}

/** A live region on standard error. Without a terminal, `draw` does nothing. */
export const make = Effect.gen(function*() {
  const isTerminal = yield* (yield* Stdio.Stdio).stderrIsTerminal
  const noColour = yield* Effect.orElseSucceed(Config.option(Config.String("NO_COLOR")), () => Option.none())
  const coloured = isTerminal && Option.getOrElse(noColour, () => "") === ""
  let drawn: ReadonlyArray<Output.Line> = []

  const draw: LiveRegion["draw"] = (lines) =>
    isTerminal
      ? Effect.suspend(() => {
        const replaced = drawn.length
        drawn = lines
        return Output.print("stderr", lines, replaced)
      })
      : Effect.void
  const region: LiveRegion = {
    isTerminal,
    paint: (colour, text) => coloured ? { colour, text } : text,
    draw,
    print: (lines) => Effect.suspend(() => Output.print("stderr", [...lines, ...drawn], drawn.length)),
    clearAfter: Effect.ensuring(draw([]))
  }
  return region
})
