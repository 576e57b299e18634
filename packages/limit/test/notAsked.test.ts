import { AuthError } from "@effect-resilience/auth"
import { Deadline } from "@effect-resilience/deadline"
import { CircuitBreaker, ConcurrencyLimit, Fallback, LimitAlgorithm, Outcome, Throttle } from "@effect-resilience/limit"
import { AttemptBudget } from "@effect-resilience/retry"
import { UploadError } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

const never = Effect.die("the dependency was asked")

const rejectedLogin = new AuthError.AuthError({ reason: new AuthError.Rejected({}) })

const notAsked: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
  [
    "a deadline that has passed",
    Effect.provideService(Deadline.withDeadline(never, "1 second"), Deadline.Current, { atMillis: -1 })
  ],
  [
    "a deadline that is too near",
    Deadline.demand("2 seconds").pipe(Effect.andThen(never), Deadline.withDeadline("1 second"))
  ],
  [
    "a spent budget",
    Effect.provideService(Effect.andThen(AttemptBudget.withdraw, never), AttemptBudget.Current, AttemptBudget.empty)
  ],
  ["a rejected login", Effect.fail(rejectedLogin)],
  [
    "a login that is not configured",
    Effect.fail(new AuthError.AuthError({ reason: new AuthError.NotConfigured({ detail: "x" }) }))
  ],
  [
    "a file that cannot be read",
    Effect.fail(
      new UploadError.UploadError({
        source: "gl.csv",
        reason: new UploadError.SourceUnreadable({ problem: "missing", description: "it does not exist" })
      })
    )
  ],
  ["no handle being left", Effect.fail(Object.assign(new Error("EMFILE"), { code: "EMFILE" }))],
  [
    "another breaker's rejection",
    Effect.fail(new CircuitBreaker.CircuitOpen({ policy: "b", state: "Open", retryAfter: undefined }))
  ]
]

describe.each(notAsked)("after %s", (_, call) => {
  it.effect("a circuit stays closed", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      assert.isTrue(Exit.hasFails(yield* Effect.exit(breaker.execute(call))))
      assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
    }))

  it.effect("a half-open circuit neither closes nor opens, and its probe is free again", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second"
      })
      yield* Effect.exit(breaker.execute(Effect.fail("down")))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.hasFails(yield* Effect.exit(breaker.execute(call))))
      const { probing, ...state } = yield* Effect.map(breaker.snapshot, (state) => ({ probing: -1, ...state }))
      assert.deepStrictEqual([state._tag, probing], ["HalfOpen", 0])
      yield* breaker.execute(Effect.void)
      assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
    }))

  it.effect("an adaptive limit and a throttle have learned nothing", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.aimd({ initial: 20 }) })
      const throttle = yield* Throttle.make()
      for (let n = 0; n < 40; n++) {
        yield* Effect.exit(throttle.execute(limit.execute(call)))
        yield* TestClock.adjust(10)
      }
      assert.deepStrictEqual(yield* limit.snapshot, { limit: 20, running: 0, waiting: 0, rejected: 0 })
      assert.deepStrictEqual(yield* throttle.snapshot, {
        requests: 0,
        accepts: 0,
        inFlight: 0,
        probability: 0,
        rejected: 0
      })
    }))
})

describe("a deadline that is reached under way", () => {
  it.effect("says nothing where it was the caller's, nearer than the call's own", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      yield* TestClock.adjust(123)
      for (let n = 0; n < 5; n++) {
        const call = breaker.execute(Deadline.withDeadline(Effect.never, "1 second"))
        const fiber = yield* Effect.forkChild(Effect.exit(Deadline.withDeadline(call, "100 millis")), {
          startImmediately: true
        })
        yield* TestClock.adjust("100 millis")
        yield* Fiber.await(fiber)
      }
      assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
    }))

  it.effect("counts as the dependency's failure", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      const fiber = yield* Effect.forkChild(
        Effect.exit(breaker.execute(Deadline.withDeadline(Effect.never, "1 second"))),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.await(fiber)
      assert.strictEqual((yield* breaker.snapshot)._tag, "Open")
    }))
})

describe("a fallback", () => {
  it("steps in where the dependency was not asked, but not for what the caller has to mend", () => {
    const exceeded = Effect.runSync(Effect.flip(Deadline.withDeadline(never, 0)))
    assert.strictEqual(Outcome.of(Exit.fail(exceeded))._tag, "Ignored")
    assert.isTrue(Fallback.applies(exceeded))
    assert.isFalse(Fallback.applies(rejectedLogin))
  })
})
