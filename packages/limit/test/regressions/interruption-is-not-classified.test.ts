import { ConcurrencyLimit, LimitAlgorithm, Outcome, Throttle } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"

const classify = (exit: Exit.Exit<unknown, unknown>) => Exit.isSuccess(exit) ? Outcome.success : Outcome.failure()

const interrupted = <E>(call: Effect.Effect<never, E>) =>
  Effect.flatMap(Effect.forkChild(call, { startImmediately: true }), Fiber.interrupt)

describe("an interrupted call", () => {
  it.effect("does not lower an adaptive limit, whatever its classify says of failures", () =>
    Effect.gen(function*() {
      const algorithm = LimitAlgorithm.aimd({ initial: 20, window: 0 })
      const limit = yield* ConcurrencyLimit.make({ algorithm, classify })
      yield* interrupted(limit.execute(Effect.never))
      assert.deepStrictEqual(yield* limit.snapshot, { limit: 20, running: 0, waiting: 0, rejected: 0 })
    }))

  it.effect("is not counted by a throttle, whatever its classify says of failures", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make({ classify })
      yield* interrupted(throttle.execute(Effect.never))
      assert.deepStrictEqual(yield* throttle.snapshot, {
        requests: 0,
        accepts: 0,
        inFlight: 0,
        probability: 0,
        rejected: 0
      })
    }))
})
