import { Deadline } from "@effect-resilience/deadline"
import { NotAsked, Recovery } from "@effect-resilience/errors"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Time from "@effect-resilience/kernel/Time"
import {
  Bulkhead,
  CircuitBreaker,
  ConcurrencyLimit,
  Endpoints,
  LimitAlgorithm,
  Priority,
  Rejection,
  Throttle
} from "@effect-resilience/limit"
import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as StaleIfError from "@effect-resilience/limit/StaleIfError"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Random, Schema } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import type { RateLimiter } from "effect/persistence"
import { Persistence } from "effect/persistence"
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

const captured = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const lines: Array<unknown> = []
    const capture = Logger.make(({ logLevel, message }) => {
      lines.push([logLevel, ...(Array.isArray(message) ? message.slice(0, 1) : [message])])
    })
    yield* Effect.provide(self, Logger.layer([capture]))
    return lines
  })

describe("stale values", () => {
  it.effect("are a warning in the log, and so is a store that fails", () =>
    Effect.gen(function*() {
      const options = { storeId: "rates", schema: Schema.Number, when: () => true }
      const lines = yield* captured(
        Effect.gen(function*() {
          const rates = yield* StaleIfError.make(options)
          yield* rates.execute(Effect.succeed(1), "EURUSD")
          yield* rates.execute(Effect.fail("down"), "EURUSD")
        }).pipe(Effect.provide(Persistence.layerMemory), Effect.scoped)
      )
      assert.deepStrictEqual(lines, [["Warn", "Gave the last good value of rates"]])
      const broken = yield* captured(
        Effect.gen(function*() {
          const rates = yield* StaleIfError.make(options)
          yield* rates.execute(Effect.succeed(1), "EURUSD")
          yield* Effect.exit(rates.execute(Effect.fail("down"), "EURUSD"))
        }).pipe(Effect.provide(Layer.provide(Persistence.layer, failing)), Effect.scoped)
      )
      assert.deepStrictEqual(broken, [
        ["Warn", "Could not keep the last good value of rates"],
        ["Warn", "Could not read the last good value of rates"]
      ])
    }))

  const down = Effect.fail(new Persistence.PersistenceError({ message: "down" }))
  const failing = Layer.mock(Persistence.BackingPersistence)({
    make: () =>
      Effect.succeed({
        get: () => down,
        getMany: () => down,
        set: () => down,
        setMany: () => down,
        remove: () => down,
        clear: down
      })
  })
})

const name = "ledger"

/** What a policy rejects with, twice in a row. */
const twice = <P, E>(
  make: Effect.Effect<P, never, RateLimiter.RateLimiter>,
  reject: (policy: P) => Effect.Effect<unknown, E>
) => Effect.flatMap(make, (policy) => Effect.all([Effect.flip(reject(policy)), Effect.flip(reject(policy))]))

/** Whatever chance could spare, it does not. */
const never = { nextDoubleUnsafe: () => 0, nextIntUnsafe: () => 0 }

interface Executes<out E> {
  execute<A, E2>(self: Effect.Effect<A, E2>): Effect.Effect<A, E | E2>
}

const nested = <E>(policy: Executes<E>) => policy.execute(policy.execute(Effect.void))

const afterFailure = <E>(policy: Executes<E>) =>
  Effect.andThen(Effect.exit(policy.execute(Effect.fail("down"))), policy.execute(Effect.void))

const rejecting = {
  Bulkhead: {
    makes: twice(Bulkhead.make({ name, permits: 1 }), nested),
    told: ["Bulkhead \"ledger\" rejects: QueueFull"]
  },
  CircuitBreaker: {
    makes: twice(
      CircuitBreaker.make({ name, tripPolicy: CircuitBreaker.consecutive(1), openDuration: "90 seconds" }),
      afterFailure
    ),
    told: [
      "CircuitBreaker \"ledger\" goes from Closed to Open for 1m 30s",
      "CircuitBreaker \"ledger\" rejects: Open"
    ]
  },
  ConcurrencyLimit: {
    makes: twice(ConcurrencyLimit.make({ name, algorithm: LimitAlgorithm.fixed(1) }), nested),
    told: ["ConcurrencyLimit \"ledger\" rejects: LimitReached"]
  },
  Throttle: {
    makes: twice(Throttle.make({ name, minimumCalls: 1 }), afterFailure),
    told: ["Throttle \"ledger\" rejects: Throttled"]
  },
  Pacer: {
    makes: twice(Pacer.make({ name, limit: 1, window: "1 minute", maxWait: 0 }), nested),
    told: ["Pacer \"ledger\" rejects: Wait"]
  }
}

// Those of a pacer have the rest of a wait.
const sharing = Object.entries(rejecting).filter(([kind]) => kind !== "Pacer")

describe("what rejects", () => {
  it.effect("counts by names that stay, which say what they count", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        name: "ledger",
        algorithm: LimitAlgorithm.fixed(1),
        priorities: ["live"]
      })
      const breaker = yield* CircuitBreaker.make({ name: "api", tripPolicy: CircuitBreaker.consecutive(1) })
      yield* Effect.exit(limit.execute(limit.execute(Effect.void)))
      yield* Effect.exit(breaker.execute(Effect.fail("down")))
      assert.deepStrictEqual(
        (yield* Metric.snapshot).map(({ description, id, type }) => [type, id, description]).toSorted(),
        [
          ["Counter", "resilience.circuit.transitions", "Changes of state of circuit breakers"],
          ["Counter", "resilience.limit.refusals", "Calls that an adaptive limit rejected"],
          ["Gauge", "resilience.limit", "How many calls an adaptive limit lets run at once"]
        ]
      )
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("says so to observers, with the reason", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const shedding = LoadShedding.make({ limit: ConcurrencyLimit.noop, retryAfter: "1500 millis" })
      const limit = yield* ConcurrencyLimit.make({ name: "ledger", algorithm: LimitAlgorithm.fixed(1) })
      const busy = LoadShedding.make({ limit, retryAfter: "1500 millis" })
      const request = (headers: Record<string, string> = {}) =>
        Effect.provideService(
          HttpServerRequest.HttpServerRequest,
          HttpServerRequest.fromWeb(new Request("http://localhost/", { headers }))
        )
      const app = Effect.succeed(HttpServerResponse.text("served"))
      yield* PolicyEvent.observe(
        Effect.gen(function*() {
          const late = yield* request({ "grpc-timeout": "0m" })(shedding.execute(app))
          assert.strictEqual(late.status, 504)
          // A deadline that passes now, on a clock that is far from 0.
          yield* TestClock.adjust("3 days")
          const passing = Effect.provideService(shedding.execute(app), Deadline.Current, { atMillis: yield* Time.now })
          assert.strictEqual((yield* request()(passing)).status, 504)
          const shed = yield* limit.execute(request()(busy.execute(app)))
          assert.deepStrictEqual([shed.status, shed.headers["retry-after"]], [503, "2"])
          assert.strictEqual((yield* shedding.snapshot).rejected, 2)
        }),
        (event) => "reason" in event && events.push(event.reason)
      )
      assert.deepStrictEqual(events, ["DeadlinePassed", "DeadlinePassed", "LimitReached"])
    }))

  it.effect.each(Object.entries(rejecting))(
    "tells what it does by its kind and name: %s",
    ([, { makes, told }]) =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const events = new Set<string>()
        yield* PolicyEvent.observe(makes, (event) => events.add(PolicyEvent.describe(event)))
        assert.deepStrictEqual([...events], told)
      }).pipe(Effect.provide(Pacer.layerLimiterMemory), Effect.provideService(Random.Random, never))
  )

  it.effect.each(sharing)(
    "makes no second error that says the same: %s",
    ([, { makes }]) =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const [one, another] = yield* makes
        assert.strictEqual(one, another)
      }).pipe(Effect.provide(Pacer.layerLimiterMemory), Effect.provideService(Random.Random, never))
  )
})

describe("a circuit", () => {
  it.effect("logs that it would have opened, where it only counts", () =>
    Effect.gen(function*() {
      const lines = yield* captured(Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.make({
          name: "ledger",
          tripPolicy: CircuitBreaker.consecutive(1),
          mode: "metricsOnly"
        })
        yield* Effect.exit(breaker.execute(Effect.fail("down")))
      }))
      assert.deepStrictEqual(lines, [["Warn", "Circuit \"ledger\" would have opened, and is MetricsOnly"]])
    }))

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

it("a call that has not begun says what it is", () => {
  const policies = [Effect.runSync(Bulkhead.make({ permits: 1 })), Effect.runSync(CircuitBreaker.make())]
  for (const policy of policies) {
    const call = policy.execute(Effect.void)
    assert.deepInclude(JSON.parse(JSON.stringify(call)), { _id: "Effect", op: "Gated" })
  }
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
  assert.strictEqual(Rejection.symbol, "~@effect-resilience/limit/Rejection")
})
