import { Bulkhead } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

describe("the queue timeout of a bulkhead", () => {
  it.effect("ends every wait at once where it is zero, not the first only", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 5, queueTimeout: 0 })
      yield* Effect.forkChild(bulkhead.execute(Effect.never), { startImmediately: true })
      for (let call = 0; call < 3; call++) {
        const waiting = yield* Effect.forkChild(Effect.flip(bulkhead.execute(Effect.void)), { startImmediately: true })
        yield* Effect.yieldNow
        const exit = waiting.pollUnsafe()
        assert.isDefined(exit)
        assert.strictEqual((yield* Fiber.join(waiting)).reason, "QueueTimeout")
      }
    }))

  it.effect("does not follow a wall clock that is set back by an hour", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 5, queueTimeout: "1 second" })
      const clock = yield* Clock.Clock
      let setBack = 0
      const wall = () => clock.currentTimeMillisUnsafe() - setBack
      const adjusted: Clock.Clock = {
        currentTimeMillisUnsafe: wall,
        currentTimeMillis: Effect.sync(wall),
        currentTimeNanosUnsafe: () => BigInt(wall()) * 1_000_000n,
        currentTimeNanos: Effect.sync(() => BigInt(wall()) * 1_000_000n),
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      yield* Effect.forkChild(bulkhead.execute(Effect.never), { startImmediately: true })
      const waiting = yield* Effect.flip(bulkhead.execute(Effect.void)).pipe(
        Effect.provideService(Clock.Clock, adjusted),
        Effect.forkChild({ startImmediately: true })
      )
      setBack = Duration.toMillis("1 hour")
      yield* TestClock.adjust("1 second")
      assert.isDefined(waiting.pollUnsafe())
    }))
})
