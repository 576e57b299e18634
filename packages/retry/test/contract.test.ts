import type { Timeout } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import type { Policy } from "@effect-resilience/kernel"
import { Field, FieldCodec } from "@effect-resilience/kernel"
import * as Retry from "@effect-resilience/retry"
import { Attempt, AttemptBudget, Backoff, Hedge, Preview, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Predicate } from "effect"
import * as jitters from "../src/jitter/index.ts"

type AnyPolicy = Policy.Policy<Timeout.TimedOut>

interface Subject {
  readonly fields: Field.Record
  /** The least that `make` takes. */
  readonly options: { readonly [name: string]: never }
  readonly make: (options: object) => AnyPolicy | Effect.Effect<AnyPolicy>
  readonly noop: AnyPolicy
  /** Runs a call through a policy, with the module's combinator. */
  readonly through: (call: Effect.Effect<string>) => Effect.Effect<string, Timeout.TimedOut>
  readonly service: Effect.Effect<AnyPolicy>
  readonly serviceNoop: Effect.Effect<AnyPolicy>
  readonly keyed: Effect.Effect<{ get(key: string): AnyPolicy }> | undefined
}

const subjects: Record<"AttemptBudget" | "Hedge" | "RetryPolicy", Subject> = {
  RetryPolicy: {
    fields: RetryPolicy.fields,
    options: {},
    make: RetryPolicy.make,
    noop: RetryPolicy.noop,
    through: RetryPolicy.withRetryPolicy(RetryPolicy.standard),
    service: Effect.provide(Effect.service(RetryPolicy.RetryPolicy), RetryPolicy.layer({ name: "one" })),
    serviceNoop: Effect.provide(Effect.service(RetryPolicy.RetryPolicy), RetryPolicy.layerNoop),
    keyed: undefined
  },
  AttemptBudget: {
    fields: AttemptBudget.fields,
    options: {},
    make: AttemptBudget.make,
    noop: AttemptBudget.noop,
    through: AttemptBudget.withAttemptBudget(AttemptBudget.empty),
    service: Effect.provide(Effect.service(AttemptBudget.Current), AttemptBudget.layer({ name: "one" })),
    serviceNoop: Effect.provide(Effect.service(AttemptBudget.Current), AttemptBudget.layerNoop),
    keyed: AttemptBudget.keyed({ ratio: 0.2 })
  },
  Hedge: {
    fields: Hedge.fields,
    options: {},
    make: Hedge.make,
    noop: Hedge.noop,
    through: (call) => Hedge.withHedge(Hedge.idempotent(call), Hedge.noop),
    service: Effect.provide(Effect.service(Hedge.Hedge), Hedge.layer({ name: "one", after: 1 })),
    serviceNoop: Effect.provide(Effect.service(Hedge.Hedge), Hedge.layerNoop),
    keyed: Hedge.keyed({ after: { percentile: 0.9 } })
  }
}

const made = (policy: AnyPolicy | Effect.Effect<AnyPolicy>) => Effect.isEffect(policy) ? policy : Effect.succeed(policy)

const call = Effect.succeed("stored")

describe("the contract of policies", () => {
  it("is kept by every module that makes policies", () => {
    const modules = Object.entries(Retry).filter(([, module]) => "noop" in module)
    assert.sameMembers(modules.map(([name]) => name), Object.keys(subjects))
    for (const [name, module] of modules) {
      assert.containsAllKeys(module, ["fields", "make", "layer", "layerNoop", `with${name}`])
    }
  })

  for (const [name, subject] of Object.entries(subjects)) {
    describe(`${name}`, () => {
      it.effect("has a name, runs a call, and shows itself", () =>
        Effect.gen(function*() {
          for (const policy of [yield* made(subject.make(subject.options)), subject.noop]) {
            assert.strictEqual(policy.name, policy === subject.noop ? "noop" : "default")
            assert.strictEqual(yield* policy.execute(call), "stored")
            assert.isObject(yield* policy.snapshot)
            assert.isTrue(policy.admitUnsafe === undefined || Predicate.isFunction(policy.admitUnsafe))
          }
          const named = yield* made(subject.make({ ...subject.options, name: "ledger" }))
          assert.strictEqual(named.name, "ledger")
          assert.strictEqual(yield* subject.through(call), "stored")
        }))

      it.effect("passes the failure of a call on", () =>
        Effect.gen(function*() {
          const policy = yield* made(subject.make(subject.options))
          assert.strictEqual(yield* Effect.flip(policy.execute(Effect.fail("wrong"))), "wrong")
        }))

      it.effect("comes as a service, and switched off", () =>
        Effect.gen(function*() {
          assert.strictEqual((yield* subject.service).name, "one")
          assert.strictEqual(yield* subject.serviceNoop, subject.noop)
        }))

      if (subject.keyed !== undefined) {
        const { keyed } = subject
        it.effect("comes for each key, which is its name", () =>
          Effect.gen(function*() {
            const policies = yield* keyed
            assert.strictEqual(policies.get("a"), policies.get("a"))
            assert.notStrictEqual(policies.get("a"), policies.get("b"))
            assert.strictEqual(policies.get("a").name, "a")
          }))
      }

      it.effect("reads its options from JSON, and writes them as they were", () =>
        Effect.gen(function*() {
          const field = Field.struct(subject.fields)
          const json = yield* FieldCodec.encode(field, subject.options)
          assert.deepStrictEqual(yield* FieldCodec.decode(field, json), subject.options)
          const failure = yield* Effect.flip(FieldCodec.decode(field, { ...subject.options, tiems: 1 }))
          assert.include(failure.message, "tiems")
        }))

      it("throws at an option that does not exist", () => {
        assert.throws(() => subject.make({ ...subject.options, tiems: 1 }), RangeError, `${name} has no option tiems`)
      })
    })
  }
})

describe("a policy of retries", () => {
  const presets = Object.entries(RetryPolicy).flatMap(([name, value]) =>
    Predicate.hasProperty(value, "times") && name !== "fields"
      ? [[name, value as RetryPolicy.RetryPolicy] as const]
      : []
  )

  for (const [name, policy] of presets) {
    it.effect(`is data in the preset ${name}: in code, in JSON and back`, () =>
      Effect.gen(function*() {
        const json: unknown = JSON.parse(JSON.stringify(policy))
        const decoded = yield* FieldCodec.decode(Field.struct(RetryPolicy.fields), json)
        assert.strictEqual(JSON.stringify(RetryPolicy.make(decoded)), JSON.stringify(policy))
        assert.deepStrictEqual(yield* FieldCodec.encode(Field.struct(RetryPolicy.fields), { ...policy }), json)
        assert.deepStrictEqual(RetryPolicy.make({ ...policy }), policy)
      }))
  }

  it("has the numbers that each preset is known for", () => {
    const exponential = { base: "500 millis", factor: 2, cap: "20 seconds", jitter: "full" }
    const rest = { maxRetryAfter: "1 minute", maxDuration: "Infinity" }
    const aws = {
      maxRetryAfter: "Infinity",
      maxDuration: "Infinity",
      clampRetryAfter: "5 seconds",
      cost: 14,
      kinds: { throttled: { backoff: { base: "1 second" }, cost: 5 } }
    }
    const expected: { readonly [name: string]: object } = {
      standard: { times: 3, backoff: exponential, ...rest },
      noop: { times: 0, backoff: exponential, ...rest },
      basic: { times: 2, backoff: { ...exponential, base: "1 second", jitter: "none" }, ...rest },
      aws: { times: 2, backoff: { ...exponential, base: "1 second" }, ...rest },
      aws2026: { times: 2, backoff: { ...exponential, base: "50 millis" }, ...aws },
      dynamodb2026: { times: 3, backoff: { ...exponential, base: "25 millis" }, ...aws },
      google: {
        times: Infinity,
        backoff: { ...exponential, base: "1 second", cap: "1 minute" },
        ...rest,
        maxDuration: "2 minutes"
      },
      polly: {
        times: 3,
        backoff: { base: "2 seconds", factor: 2, cap: "Infinity", jitter: "polly" },
        ...rest,
        maxDuration: "30 seconds",
        attemptTimeout: "10 seconds"
      },
      grpc: { times: 3, backoff: { base: "100 millis", factor: 2, cap: "1 second", jitter: 0.2 }, ...rest }
    }
    assert.sameMembers(presets.map(([name]) => name), Object.keys(expected))
    for (const [name, policy] of presets) {
      const { attemptTimeout, ...numbers } = policy
      assert.deepStrictEqual(
        { ...numbers, ...(attemptTimeout !== undefined && { attemptTimeout }) } as object,
        expected[name],
        name
      )
    }
  })

  it("is the standard one where nothing is said", () => {
    assert.deepStrictEqual(RetryPolicy.make(), RetryPolicy.standard)
    const { backoff, maxDuration, maxRetryAfter, times } = RetryPolicy.standard
    assert.deepStrictEqual(Object.keys(RetryPolicy.standard), [
      "times",
      "backoff",
      "maxRetryAfter",
      "maxDuration",
      "attemptTimeout"
    ])
    assert.deepStrictEqual({ backoff, maxDuration, maxRetryAfter, times }, {
      times: 3,
      backoff: { base: "500 millis", factor: 2, cap: "20 seconds", jitter: "full" },
      maxRetryAfter: "1 minute",
      maxDuration: "Infinity"
    })
  })

  it("keeps what it does when it is varied", () => {
    const policy = RetryPolicy.make({ ...RetryPolicy.grpc, times: 5 })
    assert.strictEqual(policy.times, 5)
    assert.strictEqual(Backoff.isExponential(policy.backoff) && policy.backoff.jitter, 0.2)
  })

  it.effect("retries where it is executed", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })
      const busy = Object.assign(new Error("busy"), { [Recovery.symbol]: () => Recovery.retry })
      const flaky = Effect.flatMap(
        Attempt.Current,
        ({ attempt }) => attempt < 3 ? Effect.fail(busy) : Effect.succeed(attempt)
      )
      assert.strictEqual(yield* policy.execute(flaky), 3)
      assert.deepStrictEqual(yield* policy.snapshot, { times: 2 })
    }))
})

describe("a jitter", () => {
  for (const name of Object.keys(jitters)) {
    it.effect(`is ${name} in code, in JSON, in a policy and in its preview`, () =>
      Effect.gen(function*() {
        const jitter = (name === "proportional" ? { proportional: 0.5 } : name) as Backoff.Jitter
        const options = { times: 3, backoff: { base: "1 second", jitter } } as const
        const decoded = yield* FieldCodec.decode(
          Field.struct(RetryPolicy.fields),
          JSON.parse(JSON.stringify(options))
        )
        assert.deepStrictEqual(decoded.backoff, options.backoff)
        const { retries } = Preview.make(RetryPolicy.make(decoded), { samples: 100 })
        assert.strictEqual(retries.length, 3)
        for (const { median } of retries) assert.isAbove(Duration.toMillis(median), 0)
      }))
  }

  it("may be written with the options that it does not have", () => {
    const waits = (jitter: Backoff.Jitter) => Duration.toMillis(Backoff.delays({ jitter })())
    assert.strictEqual(waits({ full: {} }), waits("full"))
    assert.strictEqual(waits({ proportional: 0.2 }), waits(0.2))
  })
})

describe("a budget", () => {
  it.effect("is in charge of the attempts inside what it executes", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ ratio: 0, minPerSecond: 0, burst: 2 })
      yield* budget.execute(AttemptBudget.withdraw)
      assert.deepStrictEqual(yield* budget.snapshot, { balance: 1, rejected: 0 })
      yield* Effect.provide(AttemptBudget.withdraw, Layer.succeedContext(Context.make(AttemptBudget.Current, budget)))
      assert.strictEqual((yield* Effect.flip(budget.execute(AttemptBudget.withdraw)))._tag, "BudgetExhausted")
      yield* budget.execute(AttemptBudget.noop.execute(AttemptBudget.withdraw))
    }))
})

describe("a hedge", () => {
  it.effect("shows the present wait", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: { percentile: 0.5, samples: 4 } })
      assert.deepStrictEqual(yield* hedge.snapshot, { after: Duration.millis(100), hedges: 0, winners: 0, rejected: 0 })
      for (let call = 0; call < 4; call++) hedge.recordUnsafe(Duration.millis(7))
      assert.deepStrictEqual(yield* hedge.snapshot, { after: Duration.millis(7), hedges: 0, winners: 0, rejected: 0 })
    }))
})
