import type { Timeout } from "@effect-resilience/deadline"
import { LibraryErrors, Recovery } from "@effect-resilience/errors"
import { Field, FieldCodec } from "@effect-resilience/kernel"
import { Attempt, AttemptBudget, Backoff, Preview, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import * as aws2026 from "./published/aws2026.ts"

class Failure extends Data.TaggedError("Failure")<{ readonly recovery: Recovery.Recovery }> {
  [Recovery.symbol]() {
    return this.recovery
  }
}

const failure = (kind: Recovery.Kind) =>
  new Failure({ recovery: kind === "expired" ? Recovery.reauthenticate : Recovery.retryAs(kind) })

/** Chance that draws its most, as AWS's tests do. */
const most: typeof Random.Random["Service"] = {
  nextIntUnsafe: () => Number.MAX_SAFE_INTEGER,
  nextDoubleUnsafe: () => 1 - Number.EPSILON
}

/** The quota of the SDKs, and what is withdrawn from it. */
const quota = Effect.fnUntraced(function*(tokens: number) {
  const budget = yield* AttemptBudget.make(AttemptBudget.quota())
  if (tokens < 500) yield* Effect.sync(() => budget.withdrawUnsafe(0, 500 - tokens))
  const left = Effect.map(budget.snapshot, ({ balance }) => balance)
  return { budget, left }
})

const untilDone = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.provideService(effect, Random.Random, most), {
      startImmediately: true
    })
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

const run = Effect.fnUntraced(function*(
  policy: RetryPolicy.RetryPolicy<Timeout.TimedOut>,
  errors: ReadonlyArray<unknown>,
  budget: AttemptBudget.AttemptBudget = AttemptBudget.noop
) {
  const events: Array<RetryEvent.RetryEvent> = []
  let calls = 0
  const call = Effect.suspend(() => calls < errors.length ? Effect.fail(errors[calls++]) : Effect.succeed(++calls))
  const retried = call.pipe(
    RetryPolicy.retry(policy, {
      classify: LibraryErrors.classify,
      onEvent: (event) => Effect.sync(() => events.push(event))
    }),
    AttemptBudget.withAttemptBudget(budget),
    Effect.exit
  )
  const exit = yield* untilDone(retried)
  const delays = events.flatMap((event) => event._tag === "Retrying" ? [Duration.toMillis(event.delay)] : [])
  const stopped = events.flatMap((event) => event._tag === "Stopped" ? [event.why] : [])[0]
  return { calls, delays, exit, stopped, events }
})

describe("the AWS SDKs' retries of 2026", () => {
  for (const { name, retries } of aws2026.timings) {
    it.effect(`wait and cost as published: ${name}`, () =>
      Effect.gen(function*() {
        const { budget, left } = yield* quota(500)
        const policy = RetryPolicy.make({ ...RetryPolicy.aws2026, times: retries.length })
        const failures = retries.map(([kind]) => failure(kind))
        // One more, so that nothing is given back.
        const { delays, stopped } = yield* run(policy, [...failures, failure("transient")], budget)
        assert.deepStrictEqual(delays, retries.map(([, , millis]) => millis))
        assert.strictEqual(yield* left, 500 - retries.reduce((sum, [, cost]) => sum + cost, 0))
        assert.strictEqual(stopped?._tag, "TimesUsedUp")
      }))
  }

  // As `ServiceException` of `@smithy/core` makes them.
  const failed = ({ code = "InternalError", retryAfterMillis, status }: aws2026.Step) =>
    Object.assign(new Error("x"), {
      name: code,
      $metadata: { httpStatusCode: status },
      $response: {
        headers: retryAfterMillis === undefined ? {} : { "x-amz-retry-after": String(retryAfterMillis) }
      }
    })

  for (const { maxAttempts = 3, name, steps, tokens = 500 } of aws2026.specification) {
    it.effect(`decide as the specification's tests, with the quota: ${name}`, () =>
      Effect.gen(function*() {
        const { budget, left } = yield* quota(tokens)
        const policy = RetryPolicy.make({ ...RetryPolicy.aws2026, times: maxAttempts - 1 })
        const seen: Array<aws2026.Step["outcome"]> = []
        const quotas: Array<number> = []
        const waits: Array<number> = []
        const note = (outcome: aws2026.Step["outcome"]) =>
          Effect.map(left, (balance) => {
            seen.push(outcome)
            quotas.push(balance)
          })
        let next = 0
        const call = Effect.suspend(() => {
          const step = steps[next++]
          return step === undefined || step.status === 200 ? Effect.void : Effect.fail(failed(step))
        }).pipe(
          RetryPolicy.retry(policy, {
            classify: LibraryErrors.classify,
            onEvent: (event) => {
              if (event._tag === "Stopped") {
                return note(event.why._tag === "TimesUsedUp" ? "timesUsedUp" : "quotaExceeded")
              }
              waits.push(Duration.toMillis(event.delay))
              return note("retry")
            }
          }),
          AttemptBudget.withAttemptBudget(budget),
          Effect.andThen(Effect.suspend(() => note("success"))),
          Effect.ignore
        )
        while (next < steps.length) yield* untilDone(call)
        assert.deepStrictEqual(seen, steps.map(({ outcome }) => outcome))
        assert.deepStrictEqual(waits, steps.flatMap(({ delayMillis }) => delayMillis ?? []))
        assert.deepStrictEqual(quotas, steps.map(({ quota }, index) => quota ?? quotas[index]))
      }))
  }

  it.effect("clamp a server's time to the delay and 5 seconds more, and add no jitter", () =>
    Effect.gen(function*() {
      for (const [asked, waited] of [[10, 50], [50, 50], [3000, 3000], [5050, 5050], [5051, 5050], [1e9, 5050]]) {
        const { delays } = yield* run(RetryPolicy.aws2026, [
          new Failure({ recovery: Recovery.retryAfter(asked ?? 0) })
        ])
        assert.deepStrictEqual(delays, [waited])
      }
      const throttled = new Failure({ recovery: Recovery.retryAs("throttled", "1 hour") })
      assert.deepStrictEqual((yield* run(RetryPolicy.aws2026, [throttled])).delays, [6000])
    }))

  it.effect("are quicker and one more for DynamoDB, but not after throttling", () =>
    Effect.gen(function*() {
      const transient = yield* run(RetryPolicy.dynamodb2026, Array(9).fill(failure("transient")))
      assert.deepStrictEqual(transient.delays, [25, 50, 100])
      assert.deepStrictEqual(transient.stopped, { _tag: "TimesUsedUp", times: 3 })
      const throttled = yield* run(RetryPolicy.dynamodb2026, Array(9).fill(failure("throttled")))
      assert.deepStrictEqual(throttled.delays, [1000, 2000, 4000])
    }))
})

describe("a policy of retries with kinds", () => {
  const constant = (millis: number) => Backoff.constant(millis)

  it.effect("treats failures of other kinds as it does all", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({
        times: 9,
        backoff: constant(1),
        cost: 2,
        kinds: { throttled: { backoff: constant(10) }, overloaded: { cost: 7 } }
      })
      const { budget, left } = yield* quota(500)
      const kinds = ["transient", "throttled", "overloaded", "throttled"] as const
      const { delays } = yield* run(policy, [...kinds, "expired" as const].map(failure), budget)
      assert.deepStrictEqual(delays, [1, 10, 1, 10])
      assert.strictEqual(yield* left, 500 - 2 - 2 - 7 - 2)
    }))

  it.effect("retries after a kind as often as that allows, within its times", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({
        times: 4,
        backoff: constant(1),
        kinds: { throttled: { times: 1 }, overloaded: { times: 99 } }
      })
      const { transient, throttled } = { transient: failure("transient"), throttled: failure("throttled") }
      const mixed = yield* run(policy, [throttled, transient, transient, throttled])
      assert.strictEqual(mixed.calls, 4)
      assert.deepStrictEqual(mixed.stopped, { _tag: "TimesUsedUp", times: 1, kind: "throttled" })
      assert.include(
        mixed.events.map(RetryEvent.describe).at(-1),
        "the one retry after throttled failures is used up"
      )
      const overloaded = yield* run(policy, Array(9).fill(failure("overloaded")))
      assert.deepStrictEqual(overloaded.stopped, { _tag: "TimesUsedUp", times: 4 })
    }))

  it.effect("repeats what failed for an expired token only where it names that kind, once and at once", () =>
    Effect.gen(function*() {
      const seen: Array<Recovery.Recovery | undefined> = []
      const call = Effect.flatMap(Attempt.Current, ({ previous }) => {
        seen.push(previous)
        return Effect.fail(failure("expired"))
      })
      const policy = { times: 5, backoff: constant(1000) }
      const plain = RetryPolicy.retry(call, RetryPolicy.make(policy))
      assert.strictEqual((yield* Effect.flip(plain)).recovery, Recovery.reauthenticate)
      assert.deepStrictEqual(seen.splice(0), [undefined])
      // Without a move of the clock: at once.
      yield* Effect.flip(RetryPolicy.retry(call, RetryPolicy.make({ ...policy, kinds: { expired: {} } })))
      assert.deepStrictEqual(seen, [undefined, Recovery.reauthenticate])
    }))

  it.effect("keeps what a jitter remembers apart for each backoff, and each within its bounds", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({
        times: 40,
        backoff: { base: 1, cap: 10, jitter: "decorrelated" },
        kinds: {
          throttled: { backoff: { base: 1000, cap: 5000, jitter: "decorrelated" } },
          overloaded: { backoff: { base: 100, cap: "1 hour", jitter: "polly" } }
        }
      })
      const bounds = [
        ["transient", 1, 10],
        ["throttled", 1000, 5000],
        ["overloaded", 1, 3_600_000]
      ] as const
      const turns = Array.from({ length: 39 }, (_, index) => bounds[index % 3] ?? bounds[0])
      const { delays } = yield* run(policy, turns.map(([kind]) => failure(kind)))
      assert.strictEqual(delays.length, 39)
      for (const [index, [kind, least, longest]] of turns.entries()) {
        assert.isAtLeast(delays[index] ?? -1, least, `${kind} ${index}`)
        assert.isAtMost(delays[index] ?? Infinity, longest, `${kind} ${index}`)
      }
      // The third retry is Polly's third, not the sum of three.
      assert.isBelow(delays[2] ?? Infinity, 900)
    }))

  it.effect("is data, in code and in JSON", () =>
    Effect.gen(function*() {
      const json = {
        times: 3,
        backoff: { list: ["100 millis", "1 second"] },
        cost: 2,
        kinds: {
          throttled: { backoff: { base: "1 second" }, cost: 5, times: 2 },
          overloaded: { backoff: { linear: { base: "2 seconds" } } },
          transient: { backoff: { custom: "mine" } },
          expired: {}
        },
        clampRetryAfter: "5 seconds"
      }
      const functions = { mine: () => 7 }
      const field = Field.struct(RetryPolicy.fields)
      const options = yield* FieldCodec.decode(field, json, functions)
      assert.strictEqual(options.kinds?.transient?.backoff !== undefined, true)
      assert.deepStrictEqual(yield* FieldCodec.encode(field, options, functions), json)
      const policy = RetryPolicy.make(options)
      assert.deepStrictEqual(RetryPolicy.make({ ...policy }), policy)
      assert.deepStrictEqual((yield* run(policy, [failure("transient"), failure("throttled")])).delays, [7, 2000])
    }))

  it("rejects kinds that make no sense", () => {
    const make = (kinds: unknown) => RetryPolicy.make({ kinds: kinds as never })
    assert.throws(() => make({ throttle: {} }), RangeError, "RetryPolicy.kinds has no option throttle")
    assert.throws(() => make({ throttled: { cost: -1 } }), RangeError, "RetryPolicy.kinds.throttled.cost")
    assert.throws(() => make({ throttled: { times: 1.5 } }), RangeError, "RetryPolicy.kinds.throttled.times")
    assert.throws(
      () => make({ throttled: { backoff: { cap: 1 } } }),
      RangeError,
      "RetryPolicy.kinds.throttled.backoff.cap"
    )
  })

  it("previews the waits after failures of a kind", () => {
    const upTo = (kind: Recovery.Kind) =>
      Preview.make(RetryPolicy.aws2026, { samples: 2000, kind }).retries.map(({ max }) =>
        Math.round(Duration.toMillis(max) / 10) * 10
      )
    assert.deepStrictEqual(upTo("transient"), [50, 100])
    assert.deepStrictEqual(upTo("overloaded"), [50, 100])
    assert.deepStrictEqual(upTo("throttled"), [1000, 2000])
    assert.deepStrictEqual(upTo("expired"), [])
    const policy = RetryPolicy.make({ kinds: { expired: {}, throttled: { times: 2 } } })
    assert.strictEqual(Preview.make(policy, { samples: 10, kind: "expired" }).retries.length, 1)
    assert.strictEqual(Preview.make(policy, { samples: 10, kind: "throttled" }).retries.length, 2)
  })
})
