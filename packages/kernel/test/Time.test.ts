import { Time } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"

describe("Time", () => {
  it.effect("reads the same instant of a fiber, its context and its clock, in milliseconds", () =>
    Effect.gen(function*() {
      const began = yield* Time.now
      yield* TestClock.adjust("1500 millis")
      assert.strictEqual((yield* Time.now) - began, 1500)
      const { context, clock } = yield* Effect.all({ context: Effect.context<never>(), clock: Clock.Clock })
      assert.strictEqual(Time.nowUnsafe(context), yield* Time.now)
      assert.strictEqual(Time.monotonicMillis(clock), yield* Time.now)
    }))

  it.live("keeps fractions of a millisecond", () =>
    Effect.gen(function*() {
      const nanos = yield* Clock.monotonicTimeNanos
      const now = yield* Time.now
      assert.isAtLeast(now, Number(nanos) / 1_000_000)
      assert.isBelow(now - Number(nanos) / 1_000_000, 60_000)
      assert.isFalse(Number.isInteger(now) && Number.isInteger(yield* Time.now) && Number.isInteger(yield* Time.now))
    }))
})
