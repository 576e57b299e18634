import { Deadline, StreamTimeout, Timeout } from "@effect-resilience/deadline"
import * as Lease from "@effect-resilience/deadline/Lease"
import { NotAsked, Recovery, Repetition } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

const uncertain = "It may have been applied: check before repeating it."

/** What the effect fails with, a minute later, on a clock that is far from 0. */
const failureOf = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("3 days")
    const fiber = yield* Effect.forkChild(Effect.flip(self))
    yield* TestClock.adjust("1 minute")
    return yield* Fiber.join(fiber)
  })

describe("what reaches a limit", () => {
  it.effect("says how long it was allowed to last, and whether it may have been applied", () =>
    Effect.gen(function*() {
      const late = yield* failureOf(Timeout.withTimeout(Effect.never, "1500 millis"))
      assert.strictEqual(late.message, "did not finish within 1s 500ms")
      assert.deepStrictEqual(Recovery.of(late), Recovery.retry)
      const overdue = yield* failureOf(Deadline.withDeadline(Effect.never, "1500 millis"))
      assert.strictEqual(overdue.message, "not done by the deadline (1s 500ms)")
      assert.deepStrictEqual(
        [Recovery.of(overdue), NotAsked.isNotAsked(overdue), overdue.begun, overdue.inherited],
        [Recovery.giveUp, false, true, false]
      )
      for (const repetition of ["unlessApplied", "unlessBegun"] as const) {
        const once = Repetition.allow(repetition)
        const lateOnce = yield* failureOf(once(Timeout.withTimeout(Effect.never, "1 second")))
        assert.strictEqual(lateOnce.message, `did not finish within 1s. ${uncertain}`)
        const overdueOnce = yield* failureOf(once(Deadline.withDeadline(Effect.never, "1 second")))
        assert.strictEqual(overdueOnce.message, `not done by the deadline (1s). ${uncertain}`)
        assert.deepStrictEqual([lateOnce, overdueOnce].map(Recovery.of), [Recovery.verify, Recovery.verify])
      }
    }))

  it.effect("is not asked, and certainly not applied, if it did not begin", () =>
    Effect.gen(function*() {
      const once = Repetition.allow("unlessApplied")
      const tooLate = Effect.provideService(Deadline.withDeadline(Effect.die("began"), "1 hour"), Deadline.Current, {
        atMillis: -1
      })
      for (
        const [call, allowed] of [[tooLate, 0], [
          Deadline.withDeadline(Deadline.demand("5 seconds"), 4999),
          5000
        ]] as const
      ) {
        const error = yield* Effect.flip(once(call))
        assert.strictEqual(error.message, `not done by the deadline (${Duration.format(Duration.millis(allowed))})`)
        assert.deepInclude(error, { allowed: Duration.millis(allowed), begun: false, inherited: true })
        assert.deepStrictEqual([Recovery.of(error), NotAsked.isNotAsked(error)], [Recovery.giveUp, true])
      }
    }))

  it("says what did not come", () => {
    const message = (limit: StreamTimeout.StreamTimedOut["limit"]) =>
      new StreamTimeout.StreamTimedOut({ limit, timeout: Duration.seconds(2) }).message
    assert.strictEqual(message("first"), "nothing came within 2s")
    assert.strictEqual(message("idle"), "nothing came for 2s")
    assert.strictEqual(message("total"), "did not end within 2s")
  })

  it("names the store", () => {
    assert.strictEqual(new Lease.LeaseError({ store: "Redis" }).message, "The lease store (Redis) does not respond.")
  })
})
