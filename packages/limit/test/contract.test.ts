import * as Field from "@effect-resilience/kernel/Field"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import type * as Keyed from "@effect-resilience/kernel/Keyed"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as index from "@effect-resilience/limit"
import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import * as StaleIfError from "@effect-resilience/limit/StaleIfError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Metric, Random, Schema } from "effect"
import type { Scope } from "effect"
import { HttpServerRequest } from "effect/http"
import { CircuitBreaker as Store, Persistence, type RateLimiter } from "effect/persistence"
import packageJson from "../package.json" with { type: "json" }

type AnyPolicy = Policy.Policy<unknown, unknown, unknown, HttpServerRequest.HttpServerRequest>

type Needs =
  | Scope.Scope
  | RateLimiter.RateLimiter
  | Store.CircuitBreakerStore
  | Persistence.Persistence
  | HttpServerRequest.HttpServerRequest

interface Module {
  readonly fields: Field.Record
  readonly make: (options: object) => AnyPolicy | Effect.Effect<AnyPolicy, never, Needs>
  readonly noop: AnyPolicy
  readonly keyed?: (options: object) => Effect.Effect<Pick<Keyed.Keyed<AnyPolicy>, "get">, never, Needs>
  readonly layer?: (options: object) => Layer.Layer<unknown, never, Needs>
  readonly layerNoop?: Layer.Layer<unknown>
}

// What these load is why the index does not have them.
const byPath = {
  LoadShedding,
  Pacer,
  // Another way to make a circuit breaker.
  SharedCircuitBreaker: { ...index.CircuitBreaker, ...SharedCircuitBreaker },
  StaleIfError
}

const policies = Object.entries<object>({ ...index, ...byPath }).flatMap(([name, module]) =>
  "make" in module ? [[name, module as Module] as const] : []
)

/** The options without which there is no policy. */
const required: { readonly [name: string]: object } = {
  Bulkhead: { permits: 2 },
  Endpoints: { addresses: "https://a.example" },
  Fallback: { orElse: () => Effect.succeed("another") },
  LoadShedding: { limit: index.ConcurrencyLimit.noop },
  Pacer: { limit: 10, window: "1 second" },
  StaleIfError: { storeId: "rates", schema: Schema.String }
}

/** State in which the outcome of a call shows. */
const revealing: { readonly [name: string]: object } = {
  CircuitBreaker: { tripPolicy: index.CircuitBreaker.consecutive(5) }
}

/** These do more than to admit a call: they wait, ask a store, or replace a result. */
const neverAdmit = [
  "Coalesce",
  "Endpoints",
  "Fallback",
  "LoadShedding",
  "Pacer",
  "SharedCircuitBreaker",
  "StaleIfError"
]

const surroundings = Layer.mergeAll(
  Pacer.layerLimiterMemory,
  Store.layerStoreMemory(),
  Persistence.layerMemory,
  Layer.succeed(
    HttpServerRequest.HttpServerRequest,
    HttpServerRequest.fromWeb(new Request("http://localhost/"))
  )
)

const run = <A, E>(effect: Effect.Effect<A, E, Needs>) => Effect.scoped(Effect.provide(effect, surroundings))

const made = (module: Module, options: object): Effect.Effect<AnyPolicy, never, Needs> => {
  const policy = module.make(options)
  return Effect.isEffect(policy) ? policy : Effect.succeed(policy)
}

const functions = { always: () => true }

/** Ways to write an option, by its shape. */
const samplesOf = (field: Field.AnyField): ReadonlyArray<unknown> => {
  const { shape } = field
  switch (shape._tag) {
    case "Number":
      return [...(shape.infinite ? [Infinity] : []), 0.5, 1, 20].filter((number) => accepts(field, number)).slice(0, 2)
    case "Duration":
      return ["10 seconds", 1500]
    case "Boolean":
      return [true, false]
    case "Text":
      return ["ledger"]
    case "Literals":
      return shape.values
    case "Function":
      return [functions.always]
    case "Struct": {
      const entries = Object.entries(shape.fields)
      const needed = Object.fromEntries(
        entries.filter(([, field]) => !field.optional).map(([name, field]) => [name, samplesOf(field)[0]])
      )
      return [needed, ...entries.map(([name, field]) => ({ ...needed, [name]: samplesOf(field)[0] }))]
        .filter((options) => accepts(field, options))
    }
    case "Record":
      return samplesOf(shape.value).map((sample) => ({ live: sample }))
    case "OneOrMore": {
      const items = samplesOf(shape.item)
      return [...items, items]
    }
    case "Variants":
      return Object.entries(shape.variants).flatMap(([name, variant]) => [
        ...(variant.optional ? [name] : []),
        ...samplesOf(variant).map((sample) => ({ [name]: sample }))
      ])
    case "Either":
      return [...samplesOf(shape.first).filter(shape.isFirst), ...samplesOf(shape.second)]
  }
}

const accepts = (field: Field.AnyField, value: unknown): boolean => {
  try {
    field.read(value as never, "sample")
    return true
  } catch {
    return false
  }
}

/** What can be seen of a policy and of what it has counted. */
const traceOf = (policy: AnyPolicy) =>
  Effect.all({
    snapshot: policy.snapshot,
    counted: Effect.map(Metric.snapshot, (series) => series.filter(({ type }) => type === "Counter"))
  })

const exits = [
  ...Array.from({ length: 120 }, (_, n) => n % 7 === 0 ? Exit.succeed(n) : Exit.fail("down")),
  ...Array.from({ length: 30 }, () => Exit.die("down"))
]

/** A call that asks for an admission first. */
const admitted = (policy: AnyPolicy, exit: Exit.Exit<unknown, unknown>) =>
  Effect.withFiber((fiber): Effect.Effect<unknown, never, HttpServerRequest.HttpServerRequest> => {
    const admission = policy.admitUnsafe?.(fiber)
    return admission === undefined ? Effect.exit(policy.execute(exit)) : admission(exit) ?? Effect.void
  })

describe("the contract of policies", () => {
  it("covers all modules that make one", () => {
    const modules = Object.keys(packageJson.exports).filter((path) => path !== ".").map((path) => path.slice(2))
    const known = Object.keys({ ...index, ...byPath })
    assert.deepStrictEqual(modules.filter((name) => !known.includes(name) && !name.startsWith("Pipeline")), [])
    assert.isAtLeast(policies.length, 10)
  })

  for (const [name, module] of policies) {
    const needed = required[name] ?? {}
    const fields = Field.struct(module.fields)

    describe(`of ${name}`, () => {
      it("has fields, a combinator and noop", () => {
        const combinator = `with${name === "SharedCircuitBreaker" ? "CircuitBreaker" : name}`
        for (const part of ["fields", "make", "noop", combinator]) assert.property(module, part)
      })

      it.effect("takes each option in code as in JSON, and gives it back", () =>
        run(Effect.gen(function*() {
          for (const [option, field] of Object.entries(module.fields)) {
            const samples = samplesOf(field).filter((sample) => accepts(field, sample))
            assert.isNotEmpty(samples, option)
            for (const sample of samples) {
              const json = yield* FieldCodec.encode(field, sample as never, functions)
              const decoded = yield* FieldCodec.decode(field, JSON.parse(JSON.stringify(json)), functions)
              assert.deepStrictEqual(decoded as unknown, sample, `${option}: ${JSON.stringify(sample)}`)
              yield* made(module, { ...needed, [option]: sample })
              yield* made(module, { ...needed, [option]: decoded })
            }
          }
        })))

      it.effect("has the same defaults in code and in JSON", () =>
        Effect.gen(function*() {
          const written = Object.fromEntries(
            Object.entries(needed).filter(([option]) => option in module.fields && option !== "orElse")
          )
          const orElse = "orElse" in needed ? { orElse: functions.always } : {}
          const json = yield* FieldCodec.encode(fields, { ...written, ...orElse } as never, functions)
          const decoded = yield* FieldCodec.decode(fields, JSON.parse(JSON.stringify(json)), functions)
          assert.deepStrictEqual(decoded, { ...written, ...orElse } as never)
        }))

      it("rejects a misspelt option, by its name", () => {
        assert.throws(() => module.make({ ...needed, premits: 1 }), RangeError, "premits")
        if (module.keyed !== undefined) {
          const { keyed } = module
          assert.throws(() => keyed({ ...needed, premits: 1 }), RangeError, "premits")
        }
      })

      it.effect("lets calls pass and admits them, as noop", () =>
        run(Effect.gen(function*() {
          const { noop } = module
          const before = yield* traceOf(noop)
          for (const exit of exits) assert.deepStrictEqual(yield* Effect.exit(noop.execute(exit)), exit)
          const admission = yield* Effect.withFiber((fiber) => Effect.succeed(noop.admitUnsafe?.(fiber)))
          assert.strictEqual(admission?.(Exit.fail("down")), undefined)
          assert.isFunction(admission)
          assert.deepStrictEqual(yield* traceOf(noop), before)
        })))

      if ("name" in module.fields) {
        it.effect("has the name of its options", () =>
          run(Effect.gen(function*() {
            const policy = yield* made(module, { ...needed, name: "ledger" })
            assert.strictEqual(policy.name, "ledger")
          })))
      }

      const { keyed, layer, layerNoop } = module
      if (keyed !== undefined) {
        it.effect("names an instance by its key", () =>
          run(Effect.gen(function*() {
            const instances = yield* keyed({ ...needed, name: "tenants" })
            assert.strictEqual(instances.get("acme").name, "acme")
            assert.strictEqual(instances.get("globex").name, "globex")
          })))
      }

      if (layer !== undefined) {
        it.effect("is provided by its layers", () =>
          run(Effect.gen(function*() {
            const service = (module as unknown as { readonly [name: string]: Context.Key<unknown, AnyPolicy> })[
              name === "SharedCircuitBreaker" ? "CircuitBreaker" : name
            ]
            assert.isDefined(service)
            if (service === undefined || layerNoop === undefined) return assert.fail("has no service or no layerNoop")
            const context = yield* Layer.build(layer({ ...needed, name: "ledger" }))
            assert.strictEqual(
              (Context.get(context as Context.Context<never>, service as never) as AnyPolicy).name,
              "ledger"
            )
            const nothing = yield* Layer.build(layerNoop)
            assert.strictEqual(Context.get(nothing as Context.Context<never>, service as never), module.noop as never)
          })))
      }

      it.effect("says whether it can admit calls", () =>
        run(Effect.gen(function*() {
          const policy = yield* made(module, needed)
          assert.strictEqual(policy.admitUnsafe === undefined, neverAdmit.includes(name))
        })))

      if (neverAdmit.includes(name)) return

      it.effect("counts a call that was admitted as it counts one that it executed", () =>
        run(Effect.gen(function*() {
          const traces = []
          for (
            const call of [admitted, (policy: AnyPolicy, exit: Exit.Exit<unknown, unknown>) => policy.execute(exit)]
          ) {
            const policy = yield* made(module, { ...needed, ...revealing[name] })
            const trace = Effect.gen(function*() {
              const seen = []
              for (const exit of exits) {
                yield* Effect.exit(call(policy, exit))
                seen.push(yield* traceOf(policy))
              }
              return seen
            })
            traces.push(
              yield* trace.pipe(
                Random.withSeed("contract"),
                Effect.provideService(Metric.MetricRegistry, new Map())
              )
            )
          }
          assert.deepStrictEqual(traces[0], traces[1])
        })))

      it.effect("shows no trace of an admission that is interrupted, nor of one that it does not give", () =>
        run(
          Effect.gen(function*() {
            const policy = yield* made(module, { ...needed, ...revealing[name] })
            for (const exit of exits) {
              const before = yield* traceOf(policy)
              yield* Effect.withFiber((fiber) => {
                const news = policy.admitUnsafe?.(fiber)?.(Exit.interrupt())
                assert.strictEqual(news, undefined)
                return Effect.void
              })
              assert.deepStrictEqual(yield* traceOf(policy), before)
              yield* Effect.exit(policy.execute(exit))
            }
          }).pipe(Random.withSeed("contract"), Effect.provideService(Metric.MetricRegistry, new Map()))
        ))

      it.effect("fails, dies and is interrupted as the call does", () =>
        run(Effect.gen(function*() {
          const policy = yield* made(module, needed)
          for (const exit of [Exit.succeed(1), Exit.fail("no"), Exit.die("no")]) {
            assert.deepStrictEqual(yield* Effect.exit(policy.execute(exit)), exit)
          }
          const interrupted = yield* Effect.exit(policy.execute(Effect.interrupt))
          assert.isTrue(Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause))
        })))
    })
  }
})
