import { Deadline } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { Attempt, AttemptBudget, Backoff, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

interface Job {
  readonly state: "pending" | "done"
  readonly look: number
}

/** Gives each of these in turn, the last one from then on, and notes when each attempt began. */
const script = (steps: ReadonlyArray<Job["state"] | Error>) => {
  const starts: Array<number> = []
  const effect: Effect.Effect<Job, Error> = Effect.gen(function*() {
    starts.push(yield* Clock.currentTimeMillis)
    const step = steps[Math.min(starts.length, steps.length) - 1] ?? "done"
    return typeof step === "string" ? { state: step, look: starts.length } : yield* Effect.fail(step)
  })
  return { starts, effect }
}

const isPending = ({ state }: Job) => state === "pending"

const untilDone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

const policy = RetryPolicy.make({ times: 3, backoff: Backoff.constant("1 second") })

describe("retryWhen", () => {
  it.effect("takes a result of which it says nothing", () =>
    Effect.gen(function*() {
      for (const nothing of [undefined, false]) {
        const { effect, starts } = script(["pending"])
        const exit = yield* untilDone(effect.pipe(RetryPolicy.retryWhen(policy, () => nothing)))
        assert.deepStrictEqual(exit, Exit.succeed({ state: "pending", look: 1 }))
        assert.lengthOf(starts, 1)
      }
    }))

  it.effect("retries after a result until one is accepted, in the policy's delays", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(500)
      const { effect, starts } = script(["pending", "pending", "done"])
      const exit = yield* untilDone(effect.pipe(RetryPolicy.retryWhen(policy, isPending)))
      assert.deepStrictEqual(exit, Exit.succeed({ state: "done", look: 3 }))
      assert.deepStrictEqual(starts, [500, 1500, 2500])
    }))

  it.effect("gives the last result as it is when the attempts end, with its history", () =>
    Effect.gen(function*() {
      const { effect, starts } = script(["pending"])
      const exit = yield* untilDone(RetryPolicy.retryWhen(effect, policy, isPending))
      const last = Exit.isSuccess(exit) ? exit.value : undefined
      assert.deepStrictEqual(last, { state: "pending", look: 4 })
      assert.strictEqual(starts.length, 4)
      const history = RetryPolicy.history(last)
      assert.deepStrictEqual(history?.why, { _tag: "TimesUsedUp", times: 3 })
      assert.strictEqual(history?.attempts.length, 4)
      const texts = history?.attempts.map(RetryEvent.describe)
      assert.deepStrictEqual([texts?.[0], texts?.[3]], [
        "attempt 1 had a result to retry, next in 1s",
        "attempt 4 had a result to retry, no further attempt: all 3 retries are used up"
      ])
    }))

  it.effect("counts failures and results in one run", () =>
    Effect.gen(function*() {
      const down = new Error("down")
      const { effect, starts } = script(["pending", down, "pending", "done"])
      const seen: Array<unknown> = []
      const attempts: Array<number> = []
      const exit = yield* untilDone(RetryPolicy.retry(
        Effect.tap(Attempt.Current, ({ attempt }) => Effect.sync(() => attempts.push(attempt))).pipe(
          Effect.andThen(effect)
        ),
        policy,
        {
          classify: () => Recovery.retry,
          retryWhen: isPending,
          onEvent: ({ error }) =>
            Effect.sync(() => seen.push(error instanceof RetryEvent.RetriedResult ? error.result.look : error))
        }
      ))
      assert.deepStrictEqual(exit, Exit.succeed({ state: "done", look: 4 }))
      assert.deepStrictEqual(seen, [1, down, 3])
      assert.deepStrictEqual(attempts, [1, 2, 3, 4])
      assert.strictEqual(starts.length, 4)
    }))

  it.effect("fails as the last attempt did, where that failed", () =>
    Effect.gen(function*() {
      const down = new Error("down")
      const { effect } = script(["pending", down])
      const exit = yield* untilDone(RetryPolicy.retryWhen(effect, policy, isPending))
      assert.deepStrictEqual(exit, Exit.fail(down))
      assert.deepStrictEqual(RetryPolicy.history(down)?.attempts.map(({ attempt }) => attempt), [1, 2])
    }))

  it.effect("takes a Recovery: a time, a kind, or that nothing passes", () =>
    Effect.gen(function*() {
      const kinds = RetryPolicy.make({ ...policy, kinds: { throttled: { backoff: Backoff.constant("5 seconds") } } })
      const timed = script(["pending", "done"])
      yield* untilDone(RetryPolicy.retryWhen(timed.effect, policy, (job) =>
        isPending(job) ? Recovery.retryAfter("7 seconds") : undefined))
      assert.deepStrictEqual(timed.starts, [0, 7000])
      const start = yield* Clock.currentTimeMillis
      const throttled = script(["pending", "done"])
      yield* untilDone(RetryPolicy.retryWhen(throttled.effect, kinds, (job) =>
        isPending(job) && Recovery.retryAs("throttled")))
      assert.deepStrictEqual(
        throttled.starts.map((at) =>
          at - start
        ),
        [0, 5000]
      )
      const final = script(["pending"])
      const exit = yield* untilDone(RetryPolicy.retryWhen(final.effect, policy, () =>
        Recovery.giveUp))
      assert.deepStrictEqual(exit, Exit.succeed({ state: "pending", look: 1 }))
    }))

  it.effect("is paid for by the budget, and ends at a deadline", () =>
    Effect.gen(function*() {
      const { effect, starts } = script(["pending"])
      const budget = yield* AttemptBudget.make({ name: "jobs", ratio: 0, minPerSecond: 0, burst: 2 })
      const exit = yield* untilDone(
        effect.pipe(RetryPolicy.retryWhen(policy, isPending), AttemptBudget.withAttemptBudget(budget))
      )
      assert.strictEqual(starts.length, 3)
      const last = Exit.isSuccess(exit) ? exit.value : undefined
      assert.deepStrictEqual(RetryPolicy.history(last)?.why, { _tag: "BudgetExhausted", budget: "jobs" })
      const limited = script(["pending"])
      const inTime = yield* untilDone(
        limited.effect.pipe(RetryPolicy.retryWhen(policy, isPending), Deadline.withDeadline("1500 millis"))
      )
      assert.deepStrictEqual(inTime, Exit.succeed({ state: "pending", look: 2 }))
    }))

  it.effect("is not asked of a failure, and a bug in it is a defect", () =>
    Effect.gen(function*() {
      const { effect } = script([new Error("down")])
      const never = () => {
        throw new Error("asked")
      }
      const exit = yield* untilDone(RetryPolicy.retryWhen(effect, policy, never))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasFails(exit.cause))
      const broken = yield* untilDone(RetryPolicy.retryWhen(script(["done"]).effect, policy, never))
      assert.isTrue(Exit.isFailure(broken) && Cause.hasDies(broken.cause))
    }))

  it.effect("makes no further attempt where it is interrupted meanwhile", () =>
    Effect.gen(function*() {
      const { effect, starts } = script(["pending"])
      const fiber = yield* Effect.forkChild(RetryPolicy.retryWhen(effect, policy, isPending), {
        startImmediately: true
      })
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(starts.length, 2)
    }))
})

describe("when", () => {
  const down = new Error("down")
  const failing = () => {
    let calls = 0
    return { calls: () => calls, effect: Effect.suspend(() => (calls++, Effect.fail(down))) }
  }
  const classify = () => Recovery.retry

  it.effect("may be an effect, which is asked before each retry", () =>
    Effect.gen(function*() {
      const asked: Array<readonly [Error, number]> = []
      const { calls, effect } = failing()
      const exit = yield* untilDone(RetryPolicy.retry(effect, policy, {
        classify,
        when: (error, attempt) =>
          Effect.as(
            Effect.tap(Effect.sleep("10 seconds"), () => Effect.sync(() => asked.push([error, attempt]))),
            attempt < 3
          )
      }))
      assert.deepStrictEqual(exit, Exit.fail(down))
      assert.deepStrictEqual(asked, [[down, 1], [down, 2], [down, 3]])
      assert.strictEqual(calls(), 3)
      assert.deepStrictEqual(RetryPolicy.history(down)?.why, { _tag: "NotRetryable" })
    }))

  it.effect("counts the time that such an effect takes", () =>
    Effect.gen(function*() {
      const { calls, effect } = failing()
      const limited = RetryPolicy.make({ ...policy, maxDuration: "9 seconds" })
      yield* untilDone(RetryPolicy.retry(effect, limited, {
        classify,
        when: () => Effect.as(Effect.sleep("5 seconds"), true)
      }))
      assert.strictEqual(calls(), 2)
      assert.deepStrictEqual(RetryPolicy.history(down)?.why, { _tag: "OutOfTime", limit: "maxDuration" })
    }))

  it.effect("takes nothing from the budget while it is asked, and nothing where it says no or is interrupted", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ ratio: 0, minPerSecond: 0, burst: 5 })
      const balance = Effect.map(budget.snapshot, ({ balance }) => balance)
      const asked = yield* Deferred.make<boolean>()
      const call = (when: RetryPolicy.When<Error>) =>
        RetryPolicy.retry(failing().effect, policy, { classify, when }).pipe(
          AttemptBudget.withAttemptBudget(budget),
          Effect.ignore
        )
      yield* call(() => Effect.succeed(false))
      const fiber = yield* Effect.forkChild(call(() => Deferred.await(asked)), { startImmediately: true })
      assert.strictEqual(yield* balance, 5)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* balance, 5)
    }))

  it.effect("may be an effect in a Schedule too", () =>
    Effect.gen(function*() {
      const { calls, effect } = failing()
      const schedule = RetryPolicy.toSchedule<Error>(policy, {
        classify,
        when: (_, attempt) => Effect.succeed(attempt < 2)
      })
      yield* untilDone(Effect.retry(effect, schedule))
      assert.strictEqual(calls(), 2)
    }))

  it.effect("waits as long as before where it is a plain function", () =>
    Effect.gen(function*() {
      const { calls, effect } = failing()
      const start = yield* Clock.currentTimeMillis
      const waits: Array<number> = []
      yield* untilDone(RetryPolicy.retry(effect, policy, {
        classify,
        when: () => true,
        onEvent: (event) => Effect.sync(() => event._tag === "Retrying" && waits.push(Duration.toMillis(event.delay)))
      }))
      assert.strictEqual(calls(), 4)
      assert.deepStrictEqual(waits, [1000, 1000, 1000])
      assert.isAtLeast((yield* Clock.currentTimeMillis) - start, 3000)
    }))
})
