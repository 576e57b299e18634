import { NotAsked, Recovery } from "@effect-resilience/errors"
import { AttemptBudget, RetryEvent } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Logger, References } from "effect"
import { TestClock } from "effect/testing"

class Unavailable extends Data.TaggedError("Unavailable") {}

const stopped = (why: RetryEvent.StopReason, recovery: Recovery.Recovery = Recovery.retry): RetryEvent.RetryEvent => ({
  _tag: "Stopped",
  attempt: 3,
  error: new Unavailable(),
  recovery,
  why
})

const retrying = (error: unknown): RetryEvent.RetryEvent => ({
  _tag: "Retrying",
  attempt: 2,
  error,
  recovery: Recovery.retry,
  delay: Duration.millis(1500)
})

describe("an event of a retry", () => {
  const end = "attempt 3 failed with Unavailable, no further attempt:"
  const described: ReadonlyArray<readonly [RetryEvent.RetryEvent, string]> = [
    [retrying(new Unavailable()), "attempt 2 failed with Unavailable, next in 1s 500ms"],
    [retrying(new RetryEvent.RetriedResult("pending")), "attempt 2 had a result to retry, next in 1s 500ms"],
    [stopped({ _tag: "NotRetryable" }), `${end} the caller declines`],
    [stopped({ _tag: "NotRetryable" }, Recovery.correct), `${end} correct the request`],
    [stopped({ _tag: "TimesUsedUp", times: 1 }), `${end} the one retry is used up`],
    [stopped({ _tag: "TimesUsedUp", times: 2 }), `${end} all 2 retries are used up`],
    [
      stopped({ _tag: "TimesUsedUp", times: 1, kind: "throttled" }),
      `${end} the one retry after throttled failures is used up`
    ],
    [
      stopped({ _tag: "TimesUsedUp", times: 0, kind: "expired" }),
      `${end} all 0 retries after expired failures are used up`
    ],
    [
      stopped({ _tag: "RetryAfterTooLong", after: Duration.seconds(61), max: Duration.minutes(1) }),
      `${end} the server asks for 1m 1s, more than 1m`
    ],
    [stopped({ _tag: "OutOfTime", limit: "deadline" }), `${end} the deadline is too near`],
    [stopped({ _tag: "OutOfTime", limit: "maxDuration" }), `${end} the time for retries is used up`],
    [stopped({ _tag: "BudgetExhausted", budget: "ledger" }), `${end} the budget "ledger" rejects`]
  ]

  it.each(described)("is described: %o", (event, text) => {
    assert.strictEqual(RetryEvent.describe(event), text)
  })

  it.effect("is logged at the level that is asked for, with what a search needs", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const capture = Logger.make(({ fiber, logLevel, message }) => {
        lines.push([logLevel, message, fiber.getRef(References.CurrentLogAnnotations)])
      })
      yield* Effect.gen(function*() {
        yield* RetryEvent.logger()(retrying(new Unavailable()))
        yield* RetryEvent.logger("Warn")(stopped({ _tag: "NotRetryable" }, Recovery.giveUp))
      }).pipe(Effect.provide(Logger.layer([capture])))
      assert.deepStrictEqual(lines, [
        ["Info", ["attempt 2 failed with Unavailable, next in 1s 500ms"], {
          "retry.attempt": 2,
          "retry.recovery": "Retry",
          "error.type": "Unavailable",
          "retry.delayMs": 1500
        }],
        ["Warn", [`${end} give up`], {
          "retry.attempt": 3,
          "retry.recovery": "GiveUp",
          "error.type": "Unavailable",
          "retry.stopped": "NotRetryable"
        }]
      ])
    }))
})

describe("an exhausted budget", () => {
  it.effect("names itself, and its attempt was not asked", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const budget = yield* AttemptBudget.make({ name: "ledger", ratio: 0, minPerSecond: 0, burst: 1 })
      yield* AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, budget)
      const error = yield* Effect.flip(AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, budget))
      assert.strictEqual(error.message, "The budget \"ledger\" rejects another attempt.")
      assert.deepStrictEqual([Recovery.of(error), NotAsked.isNotAsked(error)], [Recovery.giveUp, true])
      assert.deepStrictEqual(yield* AttemptBudget.empty.snapshot, { balance: 0, rejected: 0 })
      assert.strictEqual(AttemptBudget.empty.name, "empty")
      assert.deepStrictEqual(yield* AttemptBudget.noop.snapshot, { balance: Infinity, rejected: 0 })
    }))
})
