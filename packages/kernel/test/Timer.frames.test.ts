import { Timer } from "@effect-resilience/kernel"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

it.live("a loop of waits keeps no frame of those that have ended", () =>
  Effect.gen(function*() {
    const depth = Effect.withFiber((fiber) => {
      const stack: unknown = Reflect.get(fiber, "_stack")
      return Effect.succeed(Array.isArray(stack) ? stack.length : Infinity)
    })
    const loop = (left: number): Effect.Effect<number> =>
      left === 0 ? depth : Timer.delay(Effect.suspend(() => loop(left - 1)), 1)
    const few = yield* loop(2)
    assert.strictEqual(yield* loop(50), few)
  }))
