import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stdio } from "effect"
import * as LiveRegion from "../src/internal/liveRegion.ts"
import * as Output from "../src/internal/output.ts"

const terminal = () => {
  let written = ""
  const layer = Layer.mergeAll(
    Stdio.layerTest({ stderrIsTerminal: Effect.succeed(true) }),
    Layer.succeed(Output.Behind, (_, text) => {
      written += text
    })
  )
  return { layer, written: () => written }
}

const up = (lines: number) => `\u001b[${lines}F\u001b[0J`

describe("LiveRegion", () => {
  it.effect("keeps its lines below what is printed", () => {
    const { layer, written } = terminal()
    return Effect.gen(function*() {
      const { draw, print } = yield* LiveRegion.make
      yield* draw(["a", "b"])
      yield* print(["done"])
      yield* draw(["c"])
      assert.strictEqual(written(), `a\nb\n${up(2)}done\na\nb\n${up(2)}c\n`)
    }).pipe(Effect.provide(layer))
  })

  it.effect("clears what an interrupted effect has drawn", () => {
    const { layer, written } = terminal()
    return Effect.gen(function*() {
      const { clearAfter, draw } = yield* LiveRegion.make
      const fiber = yield* Effect.forkChild(clearAfter(Effect.andThen(draw(["half done"]), Effect.never)))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(written(), `half done\n${up(1)}`)
    }).pipe(Effect.provide(layer))
  })
})
