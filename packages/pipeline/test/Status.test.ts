import { Field, Keyed } from "@effect-resilience/kernel"
import { Bulkhead, CircuitBreaker } from "@effect-resilience/limit"
import { Part, Pipeline, PipelineRegistry, Status } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"

const down = Effect.fail("no response")

describe("Status", () => {
  it.effect("shows the order, the options and the present numbers of a running pipeline", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      const log = Pipeline.around("attempt", "log", (self) => self)
      const ledger = yield* Pipeline.make({
        name: "ledger",
        attemptTimeout: "2 seconds",
        circuitBreaker: { tripPolicy: CircuitBreaker.consecutive(1), openDuration: "30 seconds" },
        bulkhead: { permits: 10, queue: Infinity },
        metrics: true
      }, { around: [log] })
      yield* Effect.exit(ledger.execute(down))
      yield* Effect.exit(ledger.execute(down))
      yield* TestClock.adjust("10 seconds")
      const { parts } = yield* ledger.status
      assert.deepStrictEqual(parts.map(({ options, part, slot }) => [slot, part, options]), [
        ["call", "metrics", ""],
        ["bulkhead", "bulkhead", "permits 10, queue Infinity"],
        ["circuitBreaker", "circuitBreaker", "tripPolicy (consecutive 1), openDuration 30 seconds"],
        ["attemptTimeout", "attemptTimeout", "2 seconds"],
        ["attempt", "attempt", "log"]
      ])
      assert.deepStrictEqual(parts.map(({ now }) => now)[1], { permits: 10, running: 0, waiting: 0, rejected: 0 })
      assert.deepInclude(parts.map(({ now }) => now)[2], { state: "Open", retryAfter: "20s", rejected: 1 })
      const text = Status.format(yield* Status.report({ pipelines: [ledger] }))
      // Without the numbers, it is what the pipeline says of itself.
      assert.strictEqual(text.replaceAll(/ {2}\[.*\]$/gm, ""), yield* ledger.describe)
      assert.include(text, "state Open")
    }))

  it.effect("shows no key and no text of options, and how many there are", () =>
    Effect.gen(function*() {
      const audit = Part.make({
        slot: "attempt",
        field: Field.struct({ token: Field.text, every: Field.duration() }),
        make: () => Effect.succeed(undefined)
      })
      const description = {
        name: "ledger",
        bulkhead: { permits: 1, priorities: ["secret-1", "secret-2"] },
        concurrencyLimit: { algorithm: { aimd: { initial: 5 } }, shares: { "secret-3": 0.5 } },
        pacer: { limit: 1, window: "1 second", rates: { "secret-4": { limit: 1, window: 10 } } },
        retry: { times: 2, backoff: { base: 100, jitter: "full" } },
        audit: { token: "secret-5", every: "1 second" }
      } as const
      const ledger = yield* Pipeline.make(description, { parts: { ...Pipeline.parts, audit } })
      const { parts } = yield* ledger.status
      assert.deepStrictEqual(Object.fromEntries(parts.map(({ options, part }) => [part, options])), {
        bulkhead: "permits 1, priorities (2)",
        concurrencyLimit: "algorithm (aimd (initial 5)), shares (1)",
        pacer: "limit 1, window 1 second, rates (1)",
        retry: "times 2, backoff (base 100, jitter full)",
        audit: "every 1 second"
      })
      assert.include(yield* ledger.describe, "secret-5")
    }))

  it.effect("shows nothing of an option that is left out, and nothing of a part that is a text", () =>
    Effect.gen(function*() {
      const token = Part.make({ slot: "attempt", field: Field.text, make: () => Effect.succeed(undefined) })
      const ledger = yield* Pipeline.make(
        { name: "ledger", bulkhead: { permits: 1, priorities: undefined }, token: "secret" },
        { parts: { ...Pipeline.parts, token } }
      )
      const { parts } = yield* ledger.status
      assert.deepStrictEqual(parts.map(({ options, part }) => [part, options]), [
        ["bulkhead", "permits 1"],
        ["token", ""]
      ])
    }))

  it.effect("looks at the values of a map as often as it is run", () =>
    Effect.gen(function*() {
      const ledger = yield* Pipeline.make({ name: "ledger", retry: { times: 3 } })
      const policies = new Map([["p", { name: "p", snapshot: Effect.void }]]).values()
      const report = Status.report({ pipelines: new Map([["ledger", ledger]]).values(), policies })
      const first = yield* report
      assert.deepStrictEqual([first.pipelines.length, first.policies.length], [1, 1])
      assert.deepStrictEqual(yield* report, first)
    }))

  it.effect("shows no key and no text of a snapshot, and counts keyed policies", () =>
    Effect.gen(function*() {
      const tenants = yield* Bulkhead.keyed({ permits: 1 })
      for (const tenant of ["secret-1", "secret-2"]) yield* tenants.get(tenant).execute(Effect.void)
      const policy = {
        name: "endpoints",
        snapshot: Effect.succeed({
          address: "https://secret-3.example",
          endpoints: { "https://secret-4.example": 1 },
          zones: ["secret-5", "secret-6"],
          limit: Infinity,
          quiet: true,
          after: Duration.millis(20),
          failure: undefined,
          last: null
        })
      }
      const report = yield* Status.report({
        policies: [policy, tenants.get("secret-1")],
        keyed: { tenants },
        show: (name) => `#${name.length}`
      })
      assert.deepStrictEqual(report, {
        pipelines: [],
        policies: [
          {
            name: "#9",
            kind: "Policy",
            now: { endpoints: 1, zones: 2, limit: "Infinity", quiet: true, after: "20ms" }
          },
          { name: "#8", kind: "Bulkhead", now: { permits: 1, running: 0, waiting: 0, rejected: 0 } }
        ],
        keyed: { tenants: 2 }
      })
      assert.notInclude(Status.format(report), "secret")
      assert.strictEqual(
        Status.format(report).split("\n").at(-1),
        "tenants  [instances 2]"
      )
    }))

  it.effect("has the pipelines that a registry has when it is asked", () =>
    Effect.gen(function*() {
      const registry = yield* PipelineRegistry.make([{ name: "ledger", retry: {} }])
      const names = Effect.map(Status.report({ registry }), ({ pipelines }) => pipelines.map(({ name }) => name))
      assert.deepStrictEqual(yield* names, ["ledger"])
      yield* registry.reload([{ name: "search" }, { name: "ledger" }])
      assert.deepStrictEqual(yield* names, ["search", "ledger"])
    }))

  it.effect("shows a keyed policy of your own", () =>
    Effect.map(
      Status.report({ keyed: { mine: Keyed.make({ make: () => 1, isIdle: () => true }) } }),
      ({ keyed }) => assert.deepStrictEqual(keyed, { mine: 0 })
    ))
})
