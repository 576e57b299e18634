import { NotAsked, Recovery } from "@effect-resilience/errors"
import {
  Bulkhead,
  CircuitBreaker,
  ConcurrencyLimit,
  Endpoints,
  Priority,
  Rejection,
  Throttle
} from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger } from "effect"
import { TestClock } from "effect/testing"

const policy = "ledger"
const retryAfter = Duration.millis(1500)
const overloaded = Recovery.retryAs("overloaded")
const { giveUp, retry } = Recovery

const bulkhead = (reason: Bulkhead.BulkheadFull["reason"], queueTimeout?: Duration.Duration) =>
  new Bulkhead.BulkheadFull({ policy, reason, permits: 3, queue: 5, queueTimeout })
const circuit = (state: CircuitBreaker.CircuitOpen["state"], retryAfter?: Duration.Duration) =>
  new CircuitBreaker.CircuitOpen({ policy, state, retryAfter })
const limit = (reason: ConcurrencyLimit.LimitReached["reason"]) =>
  new ConcurrencyLimit.LimitReached({ policy, reason, limit: 7, priority: "live" })
const pacer = (reason: Pacer.PaceExceeded["reason"], rate?: string, retryAfter?: Duration.Duration) =>
  new Pacer.PaceExceeded({ policy, reason, rate, retryAfter })

/** All rejections of this package: what they say, and what to do. */
const rejections: ReadonlyArray<readonly [Rejection.Rejection & Error, Recovery.Recovery, string]> = [
  [
    bulkhead("QueueFull"),
    overloaded,
    "The bulkhead \"ledger\" is full: 3 calls run and 5 may wait. Try again later."
  ],
  [
    bulkhead("QueueTimeout", retryAfter),
    overloaded,
    "The bulkhead \"ledger\" had no room within 1s 500ms. Try again later."
  ],
  [bulkhead("QueueTimeout"), overloaded, "The bulkhead \"ledger\" had no room in time. Try again later."],
  [
    bulkhead("Deadline"),
    giveUp,
    "The bulkhead \"ledger\" has no room before the deadline of the call. Allow more time, or call less."
  ],
  [bulkhead("TooHeavy"), giveUp, "The bulkhead \"ledger\" has 3 permits, and the call takes more. Split it."],
  [
    circuit("Open", retryAfter),
    Recovery.retryAfter(retryAfter),
    "The circuit \"ledger\" is open. Try again in 1s 500ms."
  ],
  [circuit("Open"), retry, "The circuit \"ledger\" is open. Try again in 0."],
  [
    circuit("HalfOpen"),
    retry,
    "The circuit \"ledger\" is half-open and its probes are under way. Try again later."
  ],
  [
    circuit("Partial"),
    retry,
    "The circuit \"ledger\" lets a share of the calls through, and not this one. Try again later."
  ],
  [circuit("Isolated"), giveUp, "The circuit \"ledger\" is isolated by hand. Wait for its reset."],
  [circuit("Unknown"), retry, "The state of the circuit \"ledger\" cannot be read. Try again later."],
  [
    limit("LimitReached"),
    overloaded,
    "The limit \"ledger\" of 7 calls at once is used up. Try again later."
  ],
  [
    limit("QueueTimeout"),
    overloaded,
    "The limit \"ledger\" of 7 calls at once had no room in time. Try again later."
  ],
  [
    limit("Deadline"),
    giveUp,
    "The limit \"ledger\" of 7 calls at once has no room before the deadline of the call. Allow more time, or call less."
  ],
  [
    limit("TooHeavy"),
    overloaded,
    "The limit \"ledger\" is 7 calls at once, and the call takes more permits. Split it, or try again later."
  ],
  [
    pacer("Store"),
    retry,
    "The rate of \"ledger\" cannot be checked: its store does not respond. Try again later."
  ],
  [
    pacer("Cost", "tokens"),
    Recovery.correct,
    "This call to \"ledger\" (tokens) costs more than the pacer ever lets go at once. Make it smaller, or raise the burst."
  ],
  [
    pacer("Wait", "tokens", retryAfter),
    Recovery.retryAs("throttled", retryAfter),
    "The turn of this call to \"ledger\" (tokens) would come too late, in 1s 500ms. Try again later."
  ],
  [
    pacer("Wait"),
    Recovery.retryAs("throttled"),
    "The turn of this call to \"ledger\" would come too late, in 0. Try again later."
  ],
  [
    new Throttle.Throttled({ policy }),
    overloaded,
    "The server behind \"ledger\" rejects too much; this call was not sent. Try again later."
  ]
]

describe("a rejection", () => {
  it.each(rejections)(
    "says what happened and what helps, and that nothing was asked: %s",
    (error, recovery, message) => {
      assert.strictEqual(error.message, message)
      assert.deepStrictEqual(Recovery.of(error), recovery)
      assert.deepStrictEqual([Rejection.isRejection(error), NotAsked.isNotAsked(error), error.policy], [
        true,
        true,
        policy
      ])
    }
  )

  it("is nothing else", () => {
    for (const other of [undefined, new Error("x"), { policy }]) assert.isFalse(Rejection.isRejection(other))
  })
})

describe("a circuit", () => {
  it.effect("logs what it does, and for how long it stays open", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const capture = Logger.make(({ logLevel, message }) => {
        lines.push([logLevel, ...(Array.isArray(message) ? message : [message])])
      })
      yield* TestClock.adjust("3 days")
      yield* Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({
          name: "ledger",
          tripPolicy: CircuitBreaker.consecutive(1),
          openDuration: "90 seconds"
        })
        yield* Effect.exit(breaker.execute(Effect.fail("down")))
        yield* TestClock.adjust("90 seconds")
        yield* breaker.execute(Effect.void)
      }).pipe(Effect.provide(Logger.layer([capture])))
      assert.deepStrictEqual(lines, [
        ["Warn", "Circuit \"ledger\": Closed to Open for 1m 30s"],
        ["Info", "Circuit \"ledger\": Open to HalfOpen"],
        ["Info", "Circuit \"ledger\": HalfOpen to Closed"]
      ])
    }))
})

it("the services are one in all copies of this package that a program may have", () => {
  const services = {
    "Bulkhead": Bulkhead.Bulkhead,
    "CircuitBreaker": CircuitBreaker.CircuitBreaker,
    "ConcurrencyLimit": ConcurrencyLimit.ConcurrencyLimit,
    "Endpoints": Endpoints.Endpoints,
    "Endpoints/Current": Endpoints.Current,
    "Pacer": Pacer.Pacer,
    "Priority/Current": Priority.Current,
    "Throttle": Throttle.Throttle
  }
  for (const [name, service] of Object.entries(services)) {
    assert.strictEqual(service.key, `@effect-resilience/limit/${name}`)
  }
})
