import { Recovery } from "@effect-resilience/errors"
import { type Policy, PolicyEvent } from "@effect-resilience/kernel"
import * as Limit from "@effect-resilience/limit"
import {
  Bulkhead,
  CircuitBreaker,
  ConcurrencyLimit,
  Endpoints,
  LimitAlgorithm,
  Throttle
} from "@effect-resilience/limit"
import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import * as Retry from "@effect-resilience/retry"
import { AttemptBudget, Backoff, Hedge, PolicyMetrics, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Metric, Queue } from "effect"
import type { Scope } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { CircuitBreaker as Store } from "effect/persistence"
import type { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"

type Needs =
  | Scope.Scope
  | RateLimiter.RateLimiter
  | Store.CircuitBreakerStore
  | HttpServerRequest.HttpServerRequest

/** A policy, and what makes it reject once. */
interface Rejecting {
  readonly policy: PolicyMetrics.Observed
  readonly reject: Effect.Effect<unknown, unknown, Needs>
}

interface Subject {
  readonly kind: string
  readonly reason: string
  readonly make: Effect.Effect<Rejecting, unknown, Needs>
}

const down = Effect.fail("no response")

/** Leaves a call in a policy while another one comes. */
const crowded = <E>(policy: { readonly execute: (self: Effect.Effect<never>) => Effect.Effect<never, E> }) =>
  Effect.gen(function*() {
    const first = yield* Effect.forkChild(policy.execute(Effect.never), { startImmediately: true })
    yield* Effect.exit(policy.execute(Effect.never))
    yield* Fiber.interrupt(first)
  })

/** A call that takes longer than a hedge waits. */
const hedged = (hedge: Hedge.Hedge) =>
  Effect.gen(function*() {
    const call = Hedge.withHedge(Hedge.idempotent(Effect.delay(Effect.void, "2 seconds")), hedge)
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(fiber)
  })

const subjects: { readonly [name: string]: Subject } = {
  "Bulkhead, full": {
    kind: "Bulkhead",
    reason: "QueueFull",
    make: Effect.map(Bulkhead.make({ name: "ledger", permits: 1 }), (policy) => ({ policy, reject: crowded(policy) }))
  },
  "Bulkhead, late": {
    kind: "Bulkhead",
    reason: "QueueTimeout",
    make: Effect.map(
      Bulkhead.make({ name: "ledger", permits: 1, queue: 1, queueTimeout: "1 second" }),
      (policy) => ({
        policy,
        reject: Effect.gen(function*() {
          const first = yield* Effect.forkChild(policy.execute(Effect.never), { startImmediately: true })
          const second = yield* Effect.forkChild(Effect.exit(policy.execute(Effect.never)), { startImmediately: true })
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(second)
          yield* Fiber.interrupt(first)
        })
      })
    )
  },
  "CircuitBreaker, open": {
    kind: "CircuitBreaker",
    reason: "Open",
    make: Effect.gen(function*() {
      const policy = yield* CircuitBreaker.make({ name: "ledger", tripPolicy: CircuitBreaker.consecutive(1) })
      yield* Effect.exit(policy.execute(down))
      return { policy, reject: policy.execute(Effect.void) }
    })
  },
  "CircuitBreaker, half-open": {
    kind: "CircuitBreaker",
    reason: "HalfOpen",
    make: Effect.gen(function*() {
      const policy = yield* CircuitBreaker.make({
        name: "ledger",
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second"
      })
      yield* Effect.exit(policy.execute(down))
      yield* TestClock.adjust("1 second")
      return { policy, reject: crowded(policy) }
    })
  },
  "CircuitBreaker, isolated": {
    kind: "CircuitBreaker",
    reason: "Isolated",
    make: Effect.gen(function*() {
      const policy = yield* CircuitBreaker.make({ name: "ledger" })
      yield* policy.isolate
      return { policy, reject: policy.execute(Effect.void) }
    })
  },
  SharedCircuitBreaker: {
    kind: "CircuitBreaker",
    reason: "Open",
    make: Effect.gen(function*() {
      const policy = yield* SharedCircuitBreaker.make({ name: "ledger", tripPolicy: CircuitBreaker.consecutive(1) })
      yield* Effect.exit(policy.execute(down))
      return { policy, reject: policy.execute(Effect.void) }
    })
  },
  ConcurrencyLimit: {
    kind: "ConcurrencyLimit",
    reason: "LimitReached",
    make: Effect.map(
      ConcurrencyLimit.make({ name: "ledger", algorithm: LimitAlgorithm.fixed(1) }),
      (policy) => ({ policy, reject: crowded(policy) })
    )
  },
  LoadShedding: {
    kind: "LoadShedding",
    reason: "DeadlinePassed",
    make: Effect.map(ConcurrencyLimit.make({ name: "ledger" }), (limit) => {
      const policy = LoadShedding.make({ limit })
      const app = policy.execute(Effect.succeed(HttpServerResponse.empty()))
      const late = HttpServerRequest.fromWeb(new Request("http://localhost/", { headers: { "grpc-timeout": "0m" } }))
      return { policy, reject: Effect.provideService(app, HttpServerRequest.HttpServerRequest, late) }
    })
  },
  "LoadShedding, by its limit": {
    kind: "ConcurrencyLimit",
    reason: "LimitReached",
    make: Effect.map(ConcurrencyLimit.make({ name: "ledger", algorithm: LimitAlgorithm.fixed(1) }), (limit) => {
      const policy = LoadShedding.make({ limit })
      const app = policy.execute(Effect.succeed(HttpServerResponse.empty()))
      return { policy, reject: limit.execute(app) }
    })
  },
  Throttle: {
    kind: "Throttle",
    reason: "Throttled",
    make: Effect.gen(function*() {
      const policy = yield* Throttle.make({ name: "ledger", maxProbability: 1, minimumCalls: 0, multiplier: 1 })
      const call = Effect.exit(policy.execute(down))
      // The one that is rejected is the one that is counted below.
      yield* call
      const rejected = Effect.map(policy.snapshot, (now) => now.rejected)
      return { policy, reject: Effect.repeat(call, { until: () => Effect.map(rejected, (count) => count > 0) }) }
    })
  },
  "Pacer, late": {
    kind: "Pacer",
    reason: "Wait",
    make: Effect.gen(function*() {
      const policy = yield* Pacer.make({ name: "ledger", limit: 1, window: "1 second", maxWait: 0 })
      yield* policy.execute(Effect.void)
      return { policy, reject: policy.execute(Effect.void) }
    })
  },
  "AttemptBudget, of a retry": {
    kind: "AttemptBudget",
    reason: "BudgetExhausted",
    make: Effect.gen(function*() {
      const policy = yield* AttemptBudget.make({ name: "ledger", ratio: 0, minPerSecond: 0, burst: 1 })
      yield* AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, policy)
      const retry = RetryPolicy.make({ backoff: Backoff.immediate })
      const call = RetryPolicy.retry(down, retry, { classify: () => Recovery.retry })
      return { policy, reject: AttemptBudget.withAttemptBudget(call, policy) }
    })
  },
  "AttemptBudget, of a withdrawal": {
    kind: "AttemptBudget",
    reason: "BudgetExhausted",
    make: Effect.gen(function*() {
      const policy = yield* AttemptBudget.make({ name: "ledger", ratio: 0, minPerSecond: 0, burst: 1 })
      const withdraw = AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, policy)
      yield* withdraw
      return { policy, reject: withdraw }
    })
  },
  Hedge: {
    kind: "Hedge",
    reason: "ShareUsedUp",
    make: Effect.map(Hedge.make({ name: "ledger", after: "1 second", share: 0 }), (policy) => ({
      policy,
      reject: hedged(policy)
    }))
  },
  Endpoints: {
    kind: "Endpoints",
    reason: "NoAddress",
    make: Effect.map(
      Endpoints.make({
        name: "ledger",
        addresses: ["https://a.example", "https://b.example"],
        each: (): Pick<Policy.Policy<"full">, "execute" | "~rejects"> => ({ execute: () => Effect.fail("full") })
      }),
      (policy) => ({ policy, reject: policy.use(() => Effect.void) })
    )
  },
  "AttemptBudget, of a hedge": {
    kind: "AttemptBudget",
    reason: "BudgetExhausted",
    make: Effect.gen(function*() {
      const policy = yield* AttemptBudget.make({ name: "ledger", ratio: 0, minPerSecond: 0, burst: 1 })
      yield* AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, policy)
      const hedge = yield* Hedge.make({ after: "1 second" })
      return { policy, reject: AttemptBudget.withAttemptBudget(hedged(hedge), policy) }
    })
  }
}

/** These reject nothing themselves: what they run does. */
const rejectNothing = ["Coalesce", "Fallback", "RetryPolicy"]

const surroundings = Layer.mergeAll(
  Pacer.layerLimiterMemory,
  Store.layerStoreMemory(),
  Layer.succeed(
    HttpServerRequest.HttpServerRequest,
    HttpServerRequest.fromWeb(new Request("http://localhost/"))
  )
)

const counted = Effect.map(
  Metric.snapshot,
  (series) =>
    series.filter(({ id }) => id === PolicyMetrics.policyRejections.id).map(({ attributes, state }) => [
      attributes?.["resilience.policy"],
      attributes?.["resilience.kind"],
      "count" in state ? state.count : undefined
    ])
)

describe("a rejection", () => {
  it("is looked at for every policy that can reject", () => {
    const policies = Object.entries<object>({ ...Limit, ...Retry }).filter(([, module]) => "noop" in module)
    const covered = [...Object.values(subjects).map(({ kind }) => kind), ...rejectNothing]
    assert.deepStrictEqual(policies.map(([name]) => name).filter((name) => !covered.includes(name)), [])
  })

  for (const [name, { kind, make, reason }] of Object.entries(subjects)) {
    it.effect(`is told once, counted in the snapshot and in the metrics (${name})`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 day")
        const { policy, reject } = yield* make
        const events = yield* Queue.unbounded<PolicyEvent.PolicyEvent>()
        yield* Effect.exit(PolicyEvent.observe(reject, (event) => Queue.offerUnsafe(events, event)))
        const told = (yield* Queue.clear(events)).filter(({ _tag }) => _tag === "Rejected")
        assert.deepStrictEqual(told, [{ _tag: "Rejected", policy: "ledger", kind, reason }])
        const before = yield* counted
        assert.deepStrictEqual(before, [])
        yield* PolicyMetrics.sample([policy])
        yield* PolicyMetrics.sample([policy])
        const [series, ...others] = yield* counted
        assert.deepStrictEqual(others, [])
        assert.strictEqual(series?.[0], "ledger")
        assert.strictEqual(series?.[1], policy.kind)
        const snapshot = yield* policy.snapshot
        assert.deepInclude(snapshot, { rejected: series?.[2] })
        assert.isAtLeast(Number(series?.[2]), 1)
      }).pipe(
        Effect.provide(surroundings),
        Effect.scoped,
        Effect.provideService(Metric.MetricRegistry, new Map())
      ))
  }

  it.effect("is not told where the call that waited is interrupted", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 1 })
      const events: Array<PolicyEvent.PolicyEvent> = []
      const calls = yield* Effect.forEach([1, 2], () =>
        Effect.forkChild(
          PolicyEvent.observe(bulkhead.execute(Effect.never), (event) => events.push(event)),
          {
            startImmediately: true
          }
        ))
      yield* Fiber.interruptAll(calls)
      assert.deepStrictEqual(events, [])
      assert.strictEqual((yield* bulkhead.snapshot).rejected, 0)
    }))

  it.effect("reaches the observers of all surroundings, the outer ones first", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "3 seconds"
      })
      const seen: Array<string> = []
      const exit = yield* breaker.execute(down).pipe(
        PolicyEvent.observe((event) => seen.push(`inner ${PolicyEvent.describe(event)}`)),
        PolicyEvent.observe((event) => seen.push(`outer ${PolicyEvent.describe(event)}`)),
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(exit))
      const line = "CircuitBreaker \"default\" goes from Closed to Open for 3s"
      assert.deepStrictEqual(seen, [`outer ${line}`, `inner ${line}`])
    }))
})
