import type { Timeout } from "@effect-resilience/deadline"
import { Deadline } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { Attempt, Backoff, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  Data,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Logger,
  Option,
  Random,
  References,
  Schema
} from "effect"
import { TestClock } from "effect/testing"
import * as v8 from "node:v8"
import * as vm from "node:vm"

v8.setFlagsFromString("--expose-gc")
const collectGarbage: () => void = vm.runInNewContext("gc")

class Failure extends Data.TaggedError("Failure")<{ readonly recovery: Recovery.Recovery }> {
  [Recovery.symbol]() {
    return this.recovery
  }
}

const transient = new Failure({ recovery: Recovery.retry })

/** Fails with each of `errors` in turn, then succeeds with the number of the call; notes when each call began. */
const script = (errors: ReadonlyArray<Failure>) => {
  const calls: Array<number> = []
  const effect = Effect.gen(function*() {
    calls.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
    const error = errors[calls.length - 1]
    return error === undefined ? calls.length : yield* error
  })
  return { calls, effect }
}

const untilDone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

describe("RetryPolicy", () => {
  it.effect("waits 1 s and 2 s with the basic policy", () =>
    Effect.gen(function*() {
      const { calls, effect } = script([transient, transient])
      assert.deepStrictEqual(yield* untilDone(RetryPolicy.retry(effect, RetryPolicy.basic)), Exit.succeed(3))
      assert.deepStrictEqual(calls, [0, 1000, 3000])
    }))

  it.effect("passes the last error on as it was, with its history", () =>
    Effect.gen(function*() {
      const errors = [1, 2, 3].map(() => new Failure({ recovery: Recovery.retry }))
      const { effect } = script(errors)
      const exit = yield* untilDone(RetryPolicy.retry(effect, RetryPolicy.basic))
      assert.deepStrictEqual(Exit.findErrorOption(exit)._tag, "Some")
      const history = RetryPolicy.history(errors[2])
      assert.deepStrictEqual(history?.attempts.map(({ attempt, error }) => [attempt, error]), [
        [1, errors[0]],
        [2, errors[1]],
        [3, errors[2]]
      ])
      assert.deepStrictEqual(
        history?.attempts.map((event) => event._tag === "Retrying" ? Duration.toMillis(event.delay) : undefined),
        [1000, 2000, undefined]
      )
      assert.deepStrictEqual(history?.why, { _tag: "TimesUsedUp", times: 2 })
    }))

  for (
    const recovery of [Recovery.correct, Recovery.authorize, Recovery.reauthenticate, Recovery.verify, Recovery.giveUp]
  ) {
    it.effect(`does not retry ${recovery._tag}`, () =>
      Effect.gen(function*() {
        const { calls, effect } = script([new Failure({ recovery })])
        assert.isTrue(Exit.isFailure(yield* untilDone(RetryPolicy.retry(effect, RetryPolicy.basic))))
        assert.strictEqual(calls.length, 1)
      }))
  }

  it.effect("retries neither defects nor a failure beside a defect", () =>
    Effect.gen(function*() {
      let calls = 0
      const cause = Cause.fromReasons([Cause.makeFailReason(transient), Cause.makeDieReason("bug")])
      const exit = yield* untilDone(
        Effect.suspend(() => (calls++, Effect.failCause(cause))).pipe(RetryPolicy.retry(RetryPolicy.basic))
      )
      assert.strictEqual(calls, 1)
      assert.deepStrictEqual(exit, Exit.failCause(cause))
    }))

  it.effect("asks the first of two failures, as a handler would be given it", () =>
    Effect.gen(function*() {
      const final = new Failure({ recovery: Recovery.giveUp })
      for (const [errors, calls] of [[[transient, final], 3], [[final, transient], 1]] as const) {
        let made = 0
        const cause = Cause.fromReasons(errors.map(Cause.makeFailReason))
        const failing = Effect.suspend(() => (made++, Effect.failCause(cause)))
        assert.deepStrictEqual(
          yield* untilDone(RetryPolicy.retry(failing, RetryPolicy.basic)),
          Exit.failCause(cause)
        )
        assert.strictEqual(made, calls)
      }
    }))

  it.effect("stops during the wait when interrupted, without another attempt", () =>
    Effect.gen(function*() {
      const { calls, effect } = script([transient, transient])
      const fiber = yield* Effect.forkChild(RetryPolicy.retry(effect, RetryPolicy.basic), { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(calls.length, 1)
    }))

  it.effect("waits for the server's time when it is longer", () =>
    Effect.gen(function*() {
      const { calls, effect } = script([new Failure({ recovery: Recovery.retryAfter("7 seconds") }), transient])
      yield* untilDone(RetryPolicy.retry(effect, RetryPolicy.basic))
      assert.deepStrictEqual(calls, [0, 7000, 9000])
    }))

  it.effect("stops at once when the server's time is beyond the cap, and says so", () =>
    Effect.gen(function*() {
      const error = new Failure({ recovery: Recovery.retryAfter("61 seconds") })
      const { calls, effect } = script([error])
      yield* RetryPolicy.retry(effect, RetryPolicy.basic).pipe(Effect.ignore)
      assert.strictEqual(calls.length, 1)
      assert.deepStrictEqual(RetryPolicy.history(error)?.why, {
        _tag: "RetryAfterTooLong",
        after: Duration.seconds(61),
        max: Duration.minutes(1)
      })
    }))

  it.effect("starts no attempt after maxDuration", () =>
    Effect.gen(function*() {
      const { calls, effect } = script(Array.from({ length: 100 }, () => transient))
      const policy = RetryPolicy.make({
        times: Infinity,
        backoff: Backoff.constant("1 second"),
        maxDuration: "3500 millis"
      })
      yield* untilDone(RetryPolicy.retry(effect, policy))
      assert.deepStrictEqual(calls, [0, 1000, 2000, 3000])
      assert.deepStrictEqual(RetryPolicy.history(transient)?.why, { _tag: "OutOfTime", limit: "maxDuration" })
    }))

  it.effect("tells each attempt its number and what came before", () =>
    Effect.gen(function*() {
      const seen: Array<Attempt.Attempt> = []
      const effect = Effect.gen(function*() {
        const attempt = yield* Attempt.Current
        seen.push(attempt)
        if (attempt.attempt < 3) return yield* transient
      })
      yield* untilDone(RetryPolicy.retry(effect, RetryPolicy.basic))
      assert.deepStrictEqual(seen, [
        { attempt: 1, previous: undefined, hedge: 0 },
        { attempt: 2, previous: Recovery.retry, hedge: 0 },
        { attempt: 3, previous: Recovery.retry, hedge: 0 }
      ])
    }))

  it.effect("begins at attempt 1 again in a retry inside a retry", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const inner = Effect.gen(function*() {
        seen.push((yield* Attempt.Current).attempt)
        return yield* transient
      })
      const policy = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
      yield* inner.pipe(RetryPolicy.retry(policy), RetryPolicy.retry(policy), Effect.ignore)
      assert.deepStrictEqual(seen, [1, 2, 1, 2])
    }))

  it.effect("tells its own hook first, then the observers from the outside in", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const note = (who: string) => (event: RetryEvent.RetryEvent) =>
        Effect.sync(() => seen.push(`${who} ${event._tag}`))
      const policy = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
      yield* Effect.fail(transient).pipe(
        RetryPolicy.retry(policy, { onEvent: note("own") }),
        RetryEvent.observe(note("inner")),
        RetryEvent.observe(note("outer")),
        Effect.ignore
      )
      assert.deepStrictEqual(seen, [
        "own Retrying",
        "outer Retrying",
        "inner Retrying",
        "own Stopped",
        "outer Stopped",
        "inner Stopped"
      ])
    }))

  it.effect("lets `when` stop and `classify` decide", () =>
    Effect.gen(function*() {
      const rejected = script([transient])
      yield* Effect.ignore(RetryPolicy.retry(rejected.effect, RetryPolicy.basic, { when: () => false }))
      assert.strictEqual(rejected.calls.length, 1)
      const widened = script([new Failure({ recovery: Recovery.giveUp })])
      const exit = yield* untilDone(
        RetryPolicy.retry(widened.effect, RetryPolicy.basic, { classify: () => Recovery.retry })
      )
      assert.deepStrictEqual(exit, Exit.succeed(2))
    }))

  it.effect("retries the same way as a Schedule", () =>
    Effect.gen(function*() {
      const last = new Failure({ recovery: Recovery.correct })
      const { calls, effect } = script([transient, new Failure({ recovery: Recovery.retryAfter("5 seconds") }), last])
      const exit = yield* untilDone(Effect.retry(
        effect,
        RetryPolicy.toSchedule(RetryPolicy.make({
          ...RetryPolicy.basic,
          times: 9
        }))
      ))
      assert.deepStrictEqual(exit, Exit.fail(last))
      assert.deepStrictEqual(calls, [0, 1000, 6000])
    }))

  it.effect("draws jitter from Effect's Random", () =>
    Effect.gen(function*() {
      const run = Effect.gen(function*() {
        const { calls, effect } = script([transient, transient])
        const start = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        yield* untilDone(RetryPolicy.retry(effect, RetryPolicy.standard)).pipe(Random.withSeed("seed"))
        return calls.map((at) => at - start)
      })
      assert.deepStrictEqual(yield* run, yield* run)
    }))

  it.effect("limits each attempt and retries those that took too long", () =>
    Effect.gen(function*() {
      const started: Array<number> = []
      const hanging = Effect.gen(function*() {
        started.push(yield* Clock.currentTimeMillis)
        if (started.length < 3) yield* Effect.never
        return started.length
      })
      const policy = RetryPolicy.make({ ...RetryPolicy.basic, attemptTimeout: "10 seconds" })
      assert.deepStrictEqual(yield* untilDone(RetryPolicy.retry(hanging, policy)), Exit.succeed(3))
      assert.deepStrictEqual(started, [0, 11_000, 23_000])
    }))

  it.effect("fails with TimedOut where all attempts take too long, and the type says so", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({ ...RetryPolicy.basic, attemptTimeout: "10 seconds" })
      const limited: Effect.Effect<never, Timeout.TimedOut> = Effect.never.pipe(RetryPolicy.retry(policy))
      const unlimited: Effect.Effect<never> = Effect.never.pipe(RetryPolicy.retry(RetryPolicy.basic))
      assert.isTrue(Effect.isEffect(unlimited))
      const exit = yield* untilDone(limited)
      assert.strictEqual(Option.getOrUndefined(Exit.findErrorOption(exit))?._tag, "TimedOut")
    }))

  it.effect("starts no attempt that the deadline would not let begin", () =>
    Effect.gen(function*() {
      const { calls, effect } = script([transient, transient, transient])
      const exit = yield* untilDone(
        RetryPolicy.retry(effect, RetryPolicy.basic).pipe(Deadline.withDeadline("2500 millis"))
      )
      assert.deepStrictEqual(calls, [0, 1000])
      assert.deepStrictEqual(exit, Exit.fail(transient))
      assert.deepStrictEqual(RetryPolicy.history(transient)?.why, { _tag: "OutOfTime", limit: "deadline" })
    }))

  it.effect("ends at the deadline in the middle of an attempt", () =>
    Effect.gen(function*() {
      const attempt = Effect.sleep("2 seconds").pipe(Effect.andThen(transient))
      const fiber = yield* Effect.forkChild(
        Effect.flip(attempt.pipe(RetryPolicy.retry(RetryPolicy.basic), Deadline.withDeadline("4 seconds")))
      )
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
    }))

  it.effect.prop(
    "waits at least as long as the server asked, and spreads callers that were asked the same",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 })), Schema.Int],
    ([millis, seed]) =>
      Effect.gen(function*() {
        const start = yield* Clock.currentTimeMillis
        const { calls, effect } = script([new Failure({ recovery: Recovery.retryAfter(millis) })])
        const policy = RetryPolicy.make({ backoff: Backoff.exponential({ base: "1 second" }) })
        yield* untilDone(RetryPolicy.retry(effect, policy).pipe(Random.withSeed(seed)))
        const waited = (calls[1] ?? Number.NaN) - start
        assert.isAtLeast(waited, millis)
        assert.isAtMost(waited, millis + 1000)
      })
  )

  it.effect("resumes 100 callers after one common Retry-After without a burst", () =>
    Effect.gen(function*() {
      const resumed: Array<number> = []
      const call = Effect.suspend(() => {
        let calls = 0
        return Effect.gen(function*() {
          if (calls++ === 0) return yield* new Failure({ recovery: Recovery.retryAfter("5 seconds") })
          resumed.push(yield* Clock.currentTimeMillis)
        }).pipe(RetryPolicy.retry(RetryPolicy.aws))
      })
      yield* untilDone(Effect.all(Array.from({ length: 100 }, () => call), { concurrency: "unbounded" })).pipe(
        Random.withSeed(1)
      )
      assert.isAtLeast(Math.min(...resumed), 5000)
      const busiest = Math.max(...Array.from({ length: 10 }, (_, tenth) =>
        resumed.filter((at) =>
          Math.floor((at - 5000) / 100) === tenth
        ).length))
      assert.isAtMost(busiest, 25)
    }))

  it.effect("logs an event without the contents of the error", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const capture = Logger.make(({ fiber, message }) => {
        lines.push([message, fiber.getRef(References.CurrentLogAnnotations)])
      })
      class Leaky extends Data.TaggedError("Leaky")<{ readonly token: string }> {
        [Recovery.symbol]() {
          return Recovery.retry
        }
        override get message() {
          return `token ${this.token}`
        }
      }
      yield* Effect.fail(new Leaky({ token: "s3cret" })).pipe(
        RetryPolicy.retry(RetryPolicy.make({ times: 1, backoff: Backoff.immediate })),
        RetryEvent.observe(RetryEvent.logger()),
        Effect.ignore,
        Effect.provide(Logger.layer([capture]))
      )
      const text = JSON.stringify(lines)
      assert.include(text, "attempt 1 failed with Leaky, next in 0")
      assert.include(text, "attempt 2 failed with Leaky, no further attempt: the one retry is used up")
      assert.include(text, "\"retry.attempt\":2")
      assert.notInclude(text, "s3cret")
    }))

  it.effect("keeps its state to each run of the same effect", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const shared = Effect.gen(function*() {
        seen.push((yield* Attempt.Current).attempt)
        yield* Effect.sleep(10)
        return yield* transient
      }).pipe(RetryPolicy.retry(RetryPolicy.make({ times: 2, backoff: Backoff.constant(5) })), Effect.ignore)
      yield* untilDone(Effect.all([shared, shared, Effect.andThen(shared, shared)], { concurrency: "unbounded" }))
      assert.deepStrictEqual(seen.toSorted(), [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
    }))

  it.effect("keeps the last 100 events of a retry without end, and says how many came before", () =>
    Effect.gen(function*() {
      for (const failures of [1, 99, 100, 101, 250, 1001]) {
        let calls = 0
        const policy = RetryPolicy.make({ times: failures - 1, backoff: Backoff.immediate })
        const error = yield* Effect.flip(
          RetryPolicy.retry(Effect.suspend(() => Effect.fail(new Error(`${++calls}`))), policy, {
            classify: () => Recovery.retry
          })
        )
        const history = RetryPolicy.history(error)
        const first = Math.max(1, failures - 99)
        assert.deepStrictEqual(
          history?.attempts.map(({ attempt, error }) => [attempt, error instanceof Error && error.message]),
          Array.from({ length: failures - first + 1 }, (_, index) => [first + index, `${first + index}`])
        )
        assert.strictEqual(history?.dropped, first - 1)
      }
    }))

  it.effect("holds no more than the last 200 failures meanwhile", () =>
    Effect.gen(function*() {
      const reached = yield* Deferred.make<void>()
      const seen: Array<WeakRef<Error>> = []
      const call = Effect.suspend(() => {
        const error = new Error("down")
        seen.push(new WeakRef(error))
        return seen.length < 2000 ? Effect.fail(error) : Effect.void
      })
      const policy = RetryPolicy.make({ times: Infinity, backoff: Backoff.immediate })
      const retried = RetryPolicy.retry(call, policy, {
        classify: () => Recovery.retry,
        onEvent: ({ attempt }) =>
          attempt < 1999 ? Effect.void : Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      })
      const fiber = yield* Effect.forkChild(retried, { startImmediately: true })
      yield* Deferred.await(reached)
      collectGarbage()
      const held = seen.filter((error) => error.deref() !== undefined).length
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(seen.length, 1999)
      assert.isAtMost(held, 200)
    }))

  it.effect("retries as before once it has been stored as JSON, made anew or used as it was read", () =>
    Effect.gen(function*() {
      const { aws, basic, google, grpc, noop, polly, standard } = RetryPolicy
      const { backoff } = standard
      const limited = RetryPolicy.make({
        times: Infinity,
        backoff,
        maxRetryAfter: Duration.infinity,
        attemptTimeout: 7
      })
      for (const policy of [aws, basic, google, grpc, noop, polly, standard, limited]) {
        const stored = JSON.parse(JSON.stringify(policy))
        assert.strictEqual(JSON.stringify(RetryPolicy.make(stored)), JSON.stringify(policy))
        const calls = yield* Effect.forEach([policy, RetryPolicy.make(stored), stored], (policy) => {
          const { calls, effect } = script([transient, transient])
          return Effect.map(untilDone(RetryPolicy.retry(effect, policy)), () => calls.length)
        })
        assert.deepStrictEqual(calls, Array(3).fill(policy.times === 0 ? 1 : 3))
      }
    }))

  it.effect("has no history for what it did not fail with", () =>
    Effect.gen(function*() {
      assert.isUndefined(RetryPolicy.history(new Failure({ recovery: Recovery.retry })))
      const error = yield* Effect.flip(RetryPolicy.retry(Effect.fail("text"), RetryPolicy.standard))
      assert.isUndefined(RetryPolicy.history(error))
    }))

  it("rejects options that make no sense", () => {
    assert.throws(() => RetryPolicy.make({ times: -1 }), RangeError)
    assert.throws(() => RetryPolicy.make({ times: 1.5 }), RangeError)
    assert.throws(() => RetryPolicy.make({ maxDuration: "-1 second" }), RangeError)
  })
})
