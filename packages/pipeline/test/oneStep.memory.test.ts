import { Recovery } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** Stands innermost and does nothing, so that the pipeline puts its parts around each other one by one. */
const plain = Pipeline.around("attempt", "plain", (self) => self)

/** How many frames a fiber keeps. */
const depth = (fiber: Fiber.Fiber<unknown, unknown>): number => {
  const stack: unknown = Reflect.get(fiber, "_stack")
  if (!Array.isArray(stack)) throw new Error("a fiber has no _stack")
  return stack.length
}

describe("a call that is retried for ever", () => {
  for (const oneByOne of [false, true]) {
    for (
      const [what, attempt] of [["at once", Effect.fail("down")], [
        "later",
        Effect.andThen(Effect.sleep(1), Effect.fail("down"))
      ]] as const
    ) {
      it.effect(`keeps no frame of attempts that fail ${what}${oneByOne ? ", one by one" : ""}`, () =>
        Effect.gen(function*() {
          let attempts = 0
          const pipeline = yield* Pipeline.make({
            name: "ledger",
            retry: { times: Infinity, backoff: { base: 10, cap: 10, jitter: "none" } },
            attemptTimeout: "1 second"
          }, { classify: () => Recovery.retry, around: oneByOne ? [plain] : [] })
          const counted = Effect.suspend(() => (attempts++, attempt))
          const caller = yield* Effect.forkChild(pipeline.execute(counted), { startImmediately: true })
          yield* TestClock.adjust("105 millis")
          const few = depth(caller)
          yield* TestClock.adjust("10 seconds")
          assert.isAbove(attempts, 800)
          assert.isAtMost(depth(caller), few + 1)
          yield* Fiber.interrupt(caller)
        }))
    }
  }
})
