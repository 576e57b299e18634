import { NotAsked, Recovery } from "@effect-resilience/errors"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { Attempt, AttemptBudget, Backoff, Hedge, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import * as SharedAttemptBudget from "@effect-resilience/retry/SharedAttemptBudget"
import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Exit, Logger, References } from "effect"
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
      const events: Array<PolicyEvent.PolicyEvent> = []
      const error = yield* Effect.flip(AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, budget)).pipe(
        PolicyEvent.observe((event) => events.push(event))
      )
      assert.deepStrictEqual(events, [
        { _tag: "Rejected", policy: "ledger", kind: "AttemptBudget", reason: "BudgetExhausted" }
      ])
      AttemptBudget.endUnsafe(yield* Effect.context<never>(), Exit.void)
      assert.strictEqual(error.message, "The budget \"ledger\" rejects another attempt.")
      assert.deepStrictEqual([Recovery.of(error), NotAsked.isNotAsked(error)], [Recovery.giveUp, true])
      assert.deepStrictEqual(yield* AttemptBudget.empty.snapshot, { balance: 0, rejected: 0 })
      assert.strictEqual(AttemptBudget.empty.name, "empty")
      assert.deepStrictEqual(yield* AttemptBudget.noop.snapshot, { balance: Infinity, rejected: 0 })
    }))
})

describe("options that make no sense", () => {
  const rules: ReadonlyArray<readonly [() => unknown, string]> = [
    [() => Backoff.exponential({ base: 2, cap: 1 }), "Backoff.cap must be at least the base, 2 millis, not 1 millis"],
    [
      () => Backoff.delays(Backoff.linear({ base: 2, cap: 1 })),
      "cap must be at least the base, 2 millis, not 1 millis"
    ],
    [
      () => Backoff.delays(Backoff.linear({ jitter: "decorrelated" })),
      "jitter must be one that keeps these delays, not decorrelated"
    ],
    [
      () => Backoff.exponential({ jitter: "polly", factor: 3 }),
      "Backoff.factor must be 1 or 2 with the jitter polly, not 3"
    ],
    [() => AttemptBudget.make({ name: 5 as never }), "AttemptBudget.name"],
    [() => AttemptBudget.makeAccount({ name: 5 as never }), "AttemptBudget.name"],
    [
      () => Hedge.make({ after: { percentile: 0.5, min: 2, max: 1 } }),
      "Hedge.after.max must be at least min, 2 millis, not 1 millis"
    ],
    [() => AttemptBudget.quota({ capacity: -1 }), "AttemptBudget.quota.capacity"],
    [() => AttemptBudget.expiring({ ratio: -1 }), "AttemptBudget.expiring.ratio"],
    [() => AttemptBudget.inFlight({ ratio: -1 }), "AttemptBudget.inFlight.ratio"],
    [() => AttemptBudget.retryThrottling({ tokenRatio: 0 }), "AttemptBudget.retryThrottling.tokenRatio"],
    [() => Backoff.linear({ base: -1 }), "Backoff.linear.base"],
    [() => Backoff.list([-1]), "Backoff.list"],
    [() => Backoff.custom(5 as never), "Backoff.custom"],
    [() => Hedge.make({ after: { percentile: 0 } }), "Hedge.after.percentile"],
    [() => Hedge.make({ after: { percentile: 1 } }), "Hedge.after.percentile"],
    [() => Hedge.make({ after: { percentile: 0.5, samples: 3 } }), "Hedge.after.samples"],
    [() => Hedge.make({ times: 11 }), "Hedge.times"],
    [() => Hedge.make({ times: -1 }), "Hedge.times"],
    [() => Hedge.make({ share: 1.1 }), "Hedge.share"],
    [() => Hedge.make({ share: -0.1 }), "Hedge.share"],
    [() => AttemptBudget.make({ processes: 0.5 }), "AttemptBudget.processes"],
    [() => AttemptBudget.make({ burst: 0.5 }), "AttemptBudget.burst"],
    [() => AttemptBudget.make({ expiring: { ttl: 999 } }), "AttemptBudget.expiring.ttl"],
    [() => AttemptBudget.make({ expiring: { ttl: Infinity } }), "AttemptBudget.expiring.ttl"],
    [() => AttemptBudget.make({ inFlight: { ratio: 1.1 } }), "AttemptBudget.inFlight.ratio"],
    [() => AttemptBudget.make({ inFlight: { min: 0.5 } }), "AttemptBudget.inFlight.min"],
    [() => AttemptBudget.make({ quota: { capacity: -1 } }), "AttemptBudget.quota.capacity"],
    [() => AttemptBudget.make({ quota: { perSuccess: -1 } }), "AttemptBudget.quota.perSuccess"],
    [() => AttemptBudget.make({ retryThrottling: { maxTokens: 0 } }), "AttemptBudget.retryThrottling.maxTokens"],
    [() => AttemptBudget.make({ retryThrottling: { maxTokens: 1001 } }), "AttemptBudget.retryThrottling.maxTokens"],
    [() => AttemptBudget.make({ retryThrottling: { tokenRatio: 0 } }), "AttemptBudget.retryThrottling.tokenRatio"]
  ]

  it.each(rules)("are told the rule: %#", (make, message) => {
    assert.throws(make, RangeError, message)
  })

  it("begin right after these", () => {
    Backoff.exponential({ base: 1, cap: 1 })
    Backoff.delays(Backoff.linear({ base: 1, cap: 1 }))
    Hedge.make({ after: { percentile: 0.5, min: 1, max: 1, samples: 4 }, times: 10, share: 1 })
    Hedge.make({ times: 0, share: 0 })
    for (
      const options of [
        { processes: 1, burst: 1, ratio: 0, minPerSecond: 0 },
        { expiring: { ttl: 1000, ratio: 0, minPerSecond: 0, processes: 1 } },
        { inFlight: { ratio: 1, min: 0, processes: 1 } },
        { quota: { capacity: 0, perSuccess: 0 } },
        { retryThrottling: { maxTokens: 1000, tokenRatio: 0.001 } }
      ]
    ) assert.isTrue(Effect.isEffect(AttemptBudget.make(options)))
    assert.isTrue(Effect.isEffect(AttemptBudget.make({ ratio: undefined, burst: undefined, inFlight: {} })))
  })
})

it("services and marks are one in all copies of this package that a program may have", () => {
  const services = {
    "Attempt/Current": Attempt.Current,
    "Attempt/Call": Attempt.Call,
    "AttemptBudget/Current": AttemptBudget.Current,
    "Hedge": Hedge.Hedge,
    "RetryEvent/CurrentObserver": RetryEvent.CurrentObserver,
    "RetryPolicy": RetryPolicy.RetryPolicy,
    "SharedAttemptBudget/Store": SharedAttemptBudget.Store
  }
  for (const [name, service] of Object.entries(services)) {
    assert.strictEqual(service.key, `@effect-resilience/retry/${name}`)
  }
})

describe("a hedge", () => {
  it.effect("logs what its call did not need, for those who look closely, and says why it leaves an attempt out", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const events: Array<PolicyEvent.PolicyEvent> = []
      const capture = Logger.make(({ logLevel, message }) => {
        lines.push([logLevel, Array.isArray(message) ? message[0] : message])
      })
      const failing = Object.assign(new Error("down"), { [Recovery.symbol]: () => Recovery.retry })
      const hedge = yield* Hedge.make({ name: "ledger", after: Infinity })
      const call = Effect.flatMap(
        Attempt.Current,
        ({ attempt }) => attempt === 1 ? Effect.fail(failing) : Effect.succeed(attempt)
      )
      yield* Hedge.withHedge(Hedge.idempotent(call), hedge).pipe(
        Effect.provide(Logger.layer([capture])),
        Effect.provideService(References.MinimumLogLevel, "Debug")
      )
      yield* Effect.yieldNow
      assert.deepStrictEqual(lines, [["Debug", "An attempt failed that the hedge \"ledger\" did not need."]])
      const none = yield* Hedge.make({ name: "ledger", after: Infinity, share: 0 })
      yield* Effect.exit(Hedge.withHedge(Hedge.idempotent(call), none)).pipe(
        PolicyEvent.observe((event) => events.push(event))
      )
      assert.deepStrictEqual(
        events.map((event) => ("reason" in event ? [event._tag, event.policy, event.reason] : [])),
        [["Rejected", "ledger", "ShareUsedUp"]]
      )
    }))
})
