import { Field, type Policy } from "@effect-resilience/kernel"
import { Bulkhead } from "@effect-resilience/limit"
import { Part, Pipeline, PipelineRegistry } from "@effect-resilience/pipeline"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"

const seen: Array<string> = []

const audit = Part.make({
  slot: "attempt",
  field: Field.struct({ label: Field.text }),
  make: ({ label }) => {
    const policy: Policy.Policy<"audited"> = {
      name: label,
      execute: (self) => Effect.andThen(Effect.sync(() => seen.push(label)), self),
      admitUnsafe: undefined,
      snapshot: Effect.void
    }
    return Effect.succeed(policy)
  }
})

const parts = { ...Pipeline.parts, audit }

describe("PipelineRegistry", () => {
  it.effect("gives all its pipelines the functions in slots, those of a reload too", () =>
    Effect.gen(function*() {
      class Tenant extends Context.Service<Tenant, string>()("test/Tenant") {}
      const check = Effect.flatMap(
        Tenant,
        (tenant) => tenant === "" ? Effect.fail("no tenant" as const) : Effect.void
      )
      const log = Pipeline.around<"no tenant", Tenant>("attempt", "log", (self) => Effect.andThen(check, self))
      const registry = yield* PipelineRegistry.make([{ name: "ledger" }], { around: [log] })
      yield* registry.reload([{ name: "ledger" }, { name: "search" }])
      for (const name of yield* registry.names) {
        const pipeline = yield* registry.get(name)
        const call = pipeline.execute(Effect.void)
        expectTypeOf<Extract<Effect.Error<typeof call>, "no tenant">>().toEqualTypeOf<"no tenant">()
        const exit = yield* Effect.flip(Effect.provideService(call, Tenant, ""))
        assert.strictEqual(exit, "no tenant")
      }
    }))

  it.effect("takes parts of your own", () =>
    Effect.gen(function*() {
      const registry = yield* PipelineRegistry.make([{ name: "ledger", audit: { label: "sent" } }], { parts })
      const ledger = yield* registry.get("ledger")
      yield* ledger.execute(Effect.void)
      yield* registry.reload([{ name: "ledger", audit: { label: "gone" } }])
      yield* ledger.execute(Effect.void)
      assert.deepStrictEqual(seen, ["sent", "gone"])
      assert.throws(() => PipelineRegistry.make([JSON.parse(`{ "name": "x", "audit": {} }`)], { parts }), RangeError)
    }))

  it.effect("goes into a service of your own, with its types", () =>
    Effect.gen(function*() {
      class Ledgers extends Context.Service<Ledgers, PipelineRegistry.Registry<typeof parts>>()("test/Ledgers") {}
      const layer = Layer.effect(Ledgers, PipelineRegistry.make([{ name: "ledger", audit: { label: "x" } }], { parts }))
      const names = yield* Effect.provide(Effect.flatMap(Ledgers, ({ names }) => names), layer)
      assert.deepStrictEqual(names, ["ledger"])
    }))

  it.effect("takes policies made elsewhere, by the name of the pipeline", () =>
    Effect.gen(function*() {
      const shared = yield* Bulkhead.make({ name: "shared", permits: 1 })
      const registry = yield* PipelineRegistry.make(
        ["ledger", "search", "mail"].map((name) => ({ name, bulkhead: { permits: 5 } })),
        { policies: (name) => name === "mail" ? {} : { bulkhead: shared } }
      )
      const [ledger, search, mail] = yield* registry.pipelines
      assert.isDefined(ledger)
      assert.isDefined(search)
      assert.isDefined(mail)
      const fiber = yield* Effect.forkChild(ledger.execute(Effect.never), { startImmediately: true })
      const error = yield* Effect.flip(search.execute(Effect.void))
      assert.deepInclude(error, { _tag: "BulkheadFull", policy: "shared" })
      yield* mail.execute(Effect.void)
      yield* Fiber.interrupt(fiber)
    }))
})
