import { Recovery } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

const description = {
  name: "ledger",
  bulkhead: { permits: 1 },
  retry: { times: 3, backoff: { base: 0, jitter: "none" } },
  circuitBreaker: { tripPolicy: { consecutive: 100 } },
  concurrencyLimit: { algorithm: { fixed: 1 } },
  attemptTimeout: "1 minute"
} as const

/** Stands innermost and does nothing, so that the pipeline puts its parts around each other one by one. */
const plain = Pipeline.around("attempt", "plain", (self) => self)

const make = (oneByOne: boolean) =>
  Pipeline.make(description, { classify: () => Recovery.retry, around: oneByOne ? [plain] : [] })

/** A caller that its own attempt number `at` interrupts, which then does as `then` says. */
const interruptedBy = (at: number, oneByOne: boolean, then: Effect.Effect<void, string>) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("3 days")
    const pipeline = yield* make(oneByOne)
    let attempts = 0
    const attempt = Effect.suspend(() => {
      if (++attempts < at) return Effect.fail("unwell")
      caller.interruptUnsafe()
      return then
    })
    const caller: Fiber.Fiber<unknown, unknown> = yield* Effect.forkChild(
      Effect.onExit(pipeline.execute(attempt), () => Effect.orDie(pipeline.execute(Effect.void)))
    )
    return { caller, pipeline, attempts: () => attempts }
  })

describe("a call whose caller is interrupted by an attempt of it", () => {
  for (const oneByOne of [false, true]) {
    const how = oneByOne ? "one by one" : "in one step"
    for (const at of [1, 2, 3]) {
      it.effect(`has given its permits back before finalizers of the caller run (attempt ${at}, ${how})`, () =>
        Effect.gen(function*() {
          const { attempts, caller } = yield* interruptedBy(at, oneByOne, Effect.fail("unwell"))
          const exit = yield* Fiber.await(caller)
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
          assert.strictEqual(attempts(), at)
        }))

      it.effect(`ends when that attempt has cleaned up (attempt ${at}, ${how})`, () =>
        Effect.gen(function*() {
          const cleaning = Effect.onInterrupt(Effect.never, () => Effect.sleep("1 second"))
          const { caller, pipeline } = yield* interruptedBy(at, oneByOne, cleaning)
          yield* TestClock.adjust("999 millis")
          assert.isUndefined(caller.pollUnsafe())
          assert.strictEqual((yield* pipeline.snapshot).bulkhead?.running, 1)
          yield* TestClock.adjust("1 millis")
          const exit = yield* Fiber.await(caller)
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        }))
    }
  }
})
