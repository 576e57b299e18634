import { Bulkhead, CircuitBreaker, ConcurrencyLimit } from "@effect-resilience/limit"
import { AttemptBudget, PolicyMetrics } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric } from "effect"
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
  it.effect("has a metric for each number that a policy shows", () =>
    Effect.gen(function*() {
      const shown: ReadonlyArray<readonly [field: string, id: string, description: string, attributes?: object]> = [
        ["limit", "permits", "Calls that may run at once"],
        ["running", "running", "Calls that run"],
        ["waiting", "waiting", "Calls that wait for a permit"],
        ["inFlight", "in_flight", "Requests that are under way"],
        ["balance", "budget.balance", "Extra attempts that the budget would allow"],
        ["failureRate", "failure_rate", "Share of failures among the outcomes that count"],
        ["slowRate", "slow_rate", "Share of slow calls among the outcomes that count"],
        ["probability", "rejection.probability", "Probability that the next call is rejected"],
        [
          "healthy",
          "endpoints",
          "Endpoints by whether they get calls",
          { "resilience.endpoint.state": "healthy" }
        ],
        [
          "ejected",
          "endpoints",
          "Endpoints by whether they get calls",
          { "resilience.endpoint.state": "ejected" }
        ],
        ["rejected", "policy.rejections", "Calls that the policy rejected"],
        ["hedges", "hedges", "Attempts that began beside those under way"],
        ["winners", "hedges.won", "Hedges whose result the caller got"],
        ["agreed", "shadow.decisions", "Decisions of a shadow", { "resilience.decision": "agreed" }],
        [
          "wouldHaveRejected",
          "shadow.decisions",
          "Decisions of a shadow",
          { "resilience.decision": "wouldHaveRejected" }
        ],
        [
          "wouldHaveAdmitted",
          "shadow.decisions",
          "Decisions of a shadow",
          { "resilience.decision": "wouldHaveAdmitted" }
        ],
        ["logins", "logins", "Logins for a new token", { "resilience.outcome": "success" }],
        ["failures", "logins", "Logins for a new token", { "resilience.outcome": "failure" }]
      ]
      const states = ["Closed", "Partial", "Open", "HalfOpen", "Isolated", "MetricsOnly", "ForcedClosed"]
      const numbers = Object.fromEntries(shown.map(([field], index) => [field, index + 1]))
      yield* PolicyMetrics.sample([
        { name: "ledger", kind: "Some", snapshot: Effect.succeed({ ...numbers, _tag: "Open" }) }
      ])
      const policy = { "resilience.policy": "ledger", "resilience.kind": "Some" }
      assert.deepStrictEqual(
        (yield* Metric.snapshot).map(({ attributes, description, id, state, type }) => ({
          id,
          type,
          description,
          attributes,
          value: "value" in state ? state.value : "count" in state ? state.count : undefined,
          grows: "incremental" in state && state.incremental
        })),
        [
          ...shown.map(([, id, description, attributes], index) => ({
            id: `resilience.${id}`,
            type: index < 10 ? "Gauge" as const : "Counter" as const,
            description,
            attributes: { ...policy, ...attributes },
            value: index + 1,
            grows: index >= 10
          })),
          ...states.map((state) => ({
            id: "resilience.circuit.state",
            type: "Gauge" as const,
            description: "1 for the state that the circuit is in",
            attributes: { ...policy, "resilience.state": state },
            value: state === "Open" ? 1 : 0,
            grows: false
          }))
        ]
      )
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("has no metric for what is no number, and never counts down", () =>
    Effect.gen(function*() {
      for (const snapshot of [undefined, { permits: "5", limit: Infinity, rejected: Number.NaN, _tag: "Other" }]) {
        yield* PolicyMetrics.sample([{ name: "odd", snapshot: Effect.succeed(snapshot) }])
      }
      assert.deepStrictEqual(yield* gauges, {})
      yield* PolicyMetrics.sample([{ name: "plain", snapshot: Effect.succeed({ running: 1 }) }])
      const [plain] = yield* Metric.snapshot
      assert.deepStrictEqual(plain?.attributes, { "resilience.policy": "plain" })
      for (const rejected of [5, 2, 6]) {
        yield* PolicyMetrics.sample([{ name: "anew", snapshot: Effect.succeed({ rejected }) }])
      }
      assert.deepStrictEqual(yield* gauges, { "resilience.running plain": 1, "resilience.policy.rejections anew": 6 })
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("looks at once, and as often as it is told", () =>
    Effect.gen(function*() {
      let looks = 0
      const policies = [{ name: "api", snapshot: Effect.sync(() => looks++) }]
      yield* Effect.gen(function*() {
        assert.strictEqual(looks, 1)
        yield* TestClock.adjust("999 millis")
        assert.strictEqual(looks, 1)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(looks, 2)
      }).pipe(Effect.provide(PolicyMetrics.layer(policies, { every: "1 second" })), Effect.scoped)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(looks, 2)
    }))

  for (const how of ["that come later, too", "of an iterator that can be read once"] as const) {
    it.effect(`looks again at policies ${how}`, () =>
      Effect.gen(function*() {
        let running = 1
        const policies = new Map([["api", { name: "api", snapshot: Effect.sync(() => ({ running })) }]])
        const list = [...policies.values()]
        yield* Effect.gen(function*() {
          running = 7
          if (how === "that come later, too") list.push({ name: "mail", snapshot: Effect.succeed({ running: 2 }) })
          yield* TestClock.adjust("5 seconds")
          const mail = how === "that come later, too" ? { "resilience.running mail": 2 } : {}
          assert.deepStrictEqual(yield* gauges, { "resilience.running api": 7, ...mail })
        }).pipe(
          Effect.provide(PolicyMetrics.layer(how === "that come later, too" ? list : policies.values())),
          Effect.scoped
        )
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
  }

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

  it.effect("sets the gauges of what is gone to 0, so that no alert of them stays", () =>
    Effect.gen(function*() {
      const circuit = {
        name: "ledger",
        kind: "CircuitBreaker",
        snapshot: Effect.succeed({ _tag: "Open", rejected: 7 })
      }
      const bulkhead = { name: "mail", kind: "Bulkhead", snapshot: Effect.succeed({ permits: 2, waiting: 5 }) }
      let parts: { readonly [key: string]: PolicyMetrics.Observed } = { circuit }
      let others = [bulkhead]
      const ledger = { name: "ledger", snapshot: Effect.void, policies: Effect.sync(() => parts) }
      yield* Effect.gen(function*() {
        const busy = {
          "resilience.circuit.state ledger Open": 1,
          "resilience.waiting mail": 5,
          "resilience.permits mail": 2
        }
        assert.deepInclude(yield* gauges, busy)
        yield* TestClock.adjust("5 seconds")
        assert.deepInclude(yield* gauges, busy)
        parts = {}
        others = []
        yield* TestClock.adjust("5 seconds")
        const quiet = {
          "resilience.circuit.state ledger Open": 0,
          "resilience.waiting mail": 0,
          "resilience.permits mail": 0,
          "resilience.policy.rejections ledger": 7
        }
        assert.deepInclude(yield* gauges, quiet)
        others = [bulkhead]
        yield* TestClock.adjust("5 seconds")
        assert.deepInclude(yield* gauges, { ...quiet, "resilience.waiting mail": 5, "resilience.permits mail": 2 })
      }).pipe(Effect.provide(PolicyMetrics.layer(Effect.sync(() => [ledger, ...others]))), Effect.scoped)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("goes on counting where a reload puts another instance in the place of one", () =>
    Effect.gen(function*() {
      const counts = (rejected: number) => ({ name: "ledger", kind: "Pacer", snapshot: Effect.succeed({ rejected }) })
      let pacer = counts(100)
      const ledger = { name: "ledger", snapshot: Effect.void, policies: Effect.sync(() => ({ pacer })) }
      const twice = Layer.merge(PolicyMetrics.layer([ledger]), Layer.fresh(PolicyMetrics.layer([ledger])))
      yield* Effect.gen(function*() {
        const counted: Array<unknown> = []
        for (const rejected of [100, 60, 60, 90, 20, 0, 5]) {
          pacer = counts(rejected)
          yield* TestClock.adjust("5 seconds")
          counted.push((yield* gauges)["resilience.policy.rejections ledger"])
        }
        assert.deepStrictEqual(counted, [100, 160, 160, 190, 210, 210, 215])
      }).pipe(Effect.provide(twice), Effect.scoped)
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
