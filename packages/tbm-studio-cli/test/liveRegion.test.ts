import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber, Layer } from "effect"
import * as LiveRegion from "../src/internal/liveRegion.ts"
import * as Output from "../src/internal/output.ts"
import { screen } from "./screen.ts"

/** A terminal of this size, which may change. */
const terminal = (columns: number, rows: number, env: Record<string, string> = {}) => {
  const window = { columns, rows }
  let written = ""
  const layer = Layer.mergeAll(
    Layer.succeed(Output.WindowOf, () => window),
    Layer.succeed(Output.Behind, (_, text) => {
      written += text
    }),
    ConfigProvider.layer(ConfigProvider.fromEnv({ env }))
  )
  return { layer, window, written: () => written, shown: () => screen(written) }
}

describe("LiveRegion", () => {
  it.effect("keeps its lines below what is printed, with the cursor at their start", () => {
    const { layer, shown } = terminal(80, 24)
    return Effect.gen(function*() {
      const { clearAfter, draw, print } = yield* LiveRegion.make
      yield* clearAfter(Effect.gen(function*() {
        yield* draw(() => ["a", "b"])
        assert.deepStrictEqual(shown(), { lines: ["a", "b"], row: 0 })
        yield* print(["done"])
        assert.deepStrictEqual(shown(), { lines: ["done", "a", "b"], row: 1 })
        yield* draw(() => ["c"])
        assert.deepStrictEqual(shown(), { lines: ["done", "c"], row: 1 })
      }))
      assert.deepStrictEqual(shown(), { lines: ["done"], row: 1 })
    }).pipe(Effect.provide(layer))
  })

  it.effect("clears what an interrupted effect has drawn", () => {
    const { layer, shown } = terminal(80, 24)
    return Effect.gen(function*() {
      const { clearAfter, draw } = yield* LiveRegion.make
      const fiber = yield* Effect.forkChild(clearAfter(Effect.andThen(draw(() => ["half done"]), Effect.never)))
      yield* Effect.yieldNow
      assert.deepStrictEqual(shown(), { lines: ["half done"], row: 0 })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(shown(), { lines: [], row: 0 })
    }).pipe(Effect.provide(layer))
  })

  it.effect("asks for the window at each drawing, and breaks what it prints between words", () => {
    const { layer, shown, window } = terminal(80, 24)
    return Effect.gen(function*() {
      const { clearAfter, draw, print } = yield* LiveRegion.make
      yield* clearAfter(Effect.gen(function*() {
        yield* draw(({ columns, rows }) => [`${columns} × ${rows}`])
        window.columns = 20
        window.rows = 5
        yield* draw(({ columns, rows }) => [`${columns} × ${rows}`])
        yield* print(["The service was unavailable for 40 s"])
        assert.deepStrictEqual(shown().lines, ["The service was", "  unavailable for", "  40 s", "20 × 5"])
      }))
    }).pipe(Effect.provide(layer))
  })

  it.effect("moves no cursor and paints nothing where TERM is dumb", () => {
    const { layer, written } = terminal(80, 24, { TERM: "dumb" })
    return Effect.gen(function*() {
      const { clearAfter, draw, isTerminal, paint, print } = yield* LiveRegion.make
      yield* clearAfter(Effect.andThen(draw(() => ["progress"]), print([["x ", paint("red", "failed")]])))
      assert.deepStrictEqual([isTerminal, written()], [false, "x failed\n"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("paints nothing where NO_COLOR is set, and still draws", () => {
    const { layer, shown, written } = terminal(80, 24, { NO_COLOR: "1" })
    return Effect.gen(function*() {
      const { clearAfter, draw, paint } = yield* LiveRegion.make
      yield* clearAfter(Effect.gen(function*() {
        yield* draw(() => [[paint("red", "failed")]])
        assert.deepStrictEqual(shown().lines, ["failed"])
        assert.notInclude(written(), "\u001b[31m")
      }))
    }).pipe(Effect.provide(layer))
  })
})
