import { Bulkhead, CircuitBreaker, ConcurrencyLimit } from "@effect-resilience/limit"
import { AttemptBudget, PolicyMetrics } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric } from "effect"
import { TestClock } from "effect/testing"

const gauges = Effect.map(Metric.snapshot, (series) =>
  Object.fromEntries(
    series.filter(({ id }) => id.startsWith("resilience.")).map(({ attributes, id, state }) => [
      [id, attributes?.["resilience.policy"], attributes?.["resilience.state"], attributes?.["resilience.outcome"]]
        .filter((part) => part !== undefined).join(" "),
      "value" in state ? state.value : "count" in state ? state.count : undefined
    ])
  ))

describe("PolicyMetrics", () => {
  it.effect("shows what the policies of the limit package are doing, and keeps looking", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ name: "uploads", permits: 1, queue: 5 })
      const circuit = yield* CircuitBreaker.make({ name: "api" })
      const limit = yield* ConcurrencyLimit.make({ name: "adaptive" })
      yield* Effect.gen(function*() {
        const call = Bulkhead.withBulkhead(Effect.never, bulkhead)
        const fibers = yield* Effect.all([Effect.forkChild(call), Effect.forkChild(call)])
        yield* circuit.isolate
        yield* TestClock.adjust("5 seconds")
        const busy = yield* gauges
        assert.deepInclude(busy, {
          "resilience.permits uploads": 1,
          "resilience.running uploads": 1,
          "resilience.waiting uploads": 1,
          "resilience.circuit.state api Isolated": 1,
          "resilience.circuit.state api Closed": 0,
          "resilience.running adaptive": 0
        })
        yield* Fiber.interruptAll(fibers)
        yield* circuit.reset
        yield* TestClock.adjust("5 seconds")
        assert.deepInclude(yield* gauges, {
          "resilience.running uploads": 0,
          "resilience.circuit.state api Isolated": 0,
          "resilience.circuit.state api Closed": 1
        })
      }).pipe(
        Effect.provide(PolicyMetrics.layer([bulkhead, circuit, limit])),
        Effect.scoped
      )
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("shows what a budget has left, and nothing of one without limit", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ name: "ledger", minPerSecond: 0.1, burst: 3 })
      const budgets = [budget, AttemptBudget.noop]
      yield* AttemptBudget.withAttemptBudget(AttemptBudget.withdraw, budget)
      yield* PolicyMetrics.sample(budgets)
      const rejections = { "resilience.policy.rejections ledger": 0, "resilience.policy.rejections noop": 0 }
      assert.deepStrictEqual(yield* gauges, { "resilience.budget.balance ledger": 2, ...rejections })
      yield* TestClock.adjust("5 seconds")
      yield* PolicyMetrics.sample(budgets)
      assert.deepStrictEqual(yield* gauges, { "resilience.budget.balance ledger": 2.5, ...rejections })
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("looks at the parts of a pipeline, as they are when it looks", () =>
    Effect.gen(function*() {
      let rejected = 1
      const part = { name: "ledger", kind: "Bulkhead", snapshot: Effect.sync(() => ({ rejected })) }
      const pipeline = {
        name: "ledger",
        snapshot: Effect.void,
        policies: Effect.sync(() => ({ bulkhead: part, throttle: undefined }))
      }
      yield* Effect.gen(function*() {
        rejected = 3
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* gauges, { "resilience.policy.rejections ledger": 3 })
      }).pipe(Effect.provide(PolicyMetrics.layer(Effect.sync(() => [pipeline]))), Effect.scoped)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("counts each login of a token cache once, however often it looks", () =>
    Effect.gen(function*() {
      let now = { logins: 1, failures: 0 }
      const policies = [{ name: "api", snapshot: Effect.sync(() => now) }]
      yield* PolicyMetrics.sample(policies)
      yield* PolicyMetrics.sample(policies)
      now = { logins: 3, failures: 2 }
      yield* PolicyMetrics.sample(policies)
      assert.deepStrictEqual(yield* gauges, {
        "resilience.logins api success": 3,
        "resilience.logins api failure": 2
      })
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
})
