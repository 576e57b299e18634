import { Recovery } from "@effect-resilience/errors"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import { Part, Pipeline, type Slot } from "@effect-resilience/pipeline"
import { AttemptBudget } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit } from "effect"
import { TestClock } from "effect/testing"

/** A part that throws when it is asked for the `n`th time to admit a call, or told of the `n`th end. */
const throwing = (
  slot: Slot.Slot,
  { admitting, ending }: { readonly admitting?: number; readonly ending?: number }
) => {
  let asked = 0
  let ended = 0
  const throwAt = (n: number, at: number | undefined) => {
    if (n === at) throw "bug"
  }
  return Part.make<boolean, Policy.Policy>({
    slot,
    field: Field.boolean,
    make: () =>
      Effect.succeed({
        name: slot,
        execute: (self) => Effect.suspend(() => (throwAt(++asked, admitting), self)),
        admitUnsafe: () => {
          throwAt(++asked, admitting)
          return (exit) => {
            if (exit !== Policy.neverBegan) throwAt(++ended, ending)
            return undefined
          }
        },
        snapshot: Effect.void
      })
  })
}

const limits = {
  bulkhead: { permits: 1 },
  concurrencyLimit: { algorithm: { fixed: 1 } },
  circuitBreaker: { tripPolicy: { consecutive: 5 } },
  attemptTimeout: "1 second"
} as const

const make = (part: Part.Part<boolean, Policy.Policy>, retries: boolean) =>
  Pipeline.makeWith(
    { name: "ledger", ...limits, part: true, retry: retries ? { times: 1, backoff: { base: 0 } } : undefined },
    {
      parts: {
        part,
        bulkhead: Pipeline.parts.bulkhead,
        retry: Pipeline.parts.retry,
        circuitBreaker: Pipeline.parts.circuitBreaker,
        concurrencyLimit: Pipeline.parts.concurrencyLimit,
        attemptTimeout: Pipeline.parts.attemptTimeout
      },
      classify: () => Recovery.retry
    }
  )

describe("a pipeline with a part that throws", () => {
  const slots: ReadonlyArray<Slot.Slot> = ["budget", "throttle", "authentication"]
  for (const slot of slots) {
    for (const retries of [false, true]) {
      for (const when of ["admitting", "ending"] as const) {
        for (const at of retries && slot !== "budget" ? [1, 2] : [1]) {
          const title = `${when} call ${at} at ${slot}${retries ? ", with retries," : ""} ends the call`
          it.effect(`${title}, and returns all permits`, () =>
            Effect.gen(function*() {
              yield* TestClock.adjust("3 days")
              const pipeline = yield* make(throwing(slot, { [when]: at }), retries)
              let calls = 0
              const failing = Effect.suspend(() => ++calls <= at ? Effect.fail("down") : Effect.succeed("up"))
              const exit = yield* Effect.exit(pipeline.execute(failing))
              assert.deepStrictEqual(exit, Exit.die("bug"))
              const { bulkhead, concurrencyLimit } = yield* pipeline.snapshot
              assert.strictEqual(bulkhead?.running, 0)
              assert.strictEqual(concurrencyLimit?.running, 0)
              assert.strictEqual(yield* pipeline.execute(Effect.succeed("up")), "up")
            }))
        }
      }
    }
  }
})

describe("a pipeline with a budget of its surroundings that throws as it hears of a call", () => {
  for (const how of ["in a fiber", "on its own"]) {
    it.effect(`ends the call, and returns all permits, ${how}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const pipeline = yield* Pipeline.make({ name: "ledger", ...limits, retry: { times: 1, backoff: { base: 0 } } })
        const budget: AttemptBudget.AttemptBudget = {
          ...AttemptBudget.noop,
          depositUnsafe: () => {
            throw "bug"
          }
        }
        let calls = 0
        const call = pipeline.execute(Effect.sync(() => calls++))
        const exit = how === "in a fiber"
          ? yield* Effect.exit(Effect.provideService(call, AttemptBudget.Current, budget))
          : Direct.startUnsafe(
            call,
            Context.add(yield* Effect.context<never>(), AttemptBudget.Current, budget)
          ).pollUnsafe()
        assert.deepStrictEqual(exit, Exit.die("bug"))
        assert.strictEqual(calls, 0)
        const { bulkhead, concurrencyLimit } = yield* pipeline.snapshot
        assert.strictEqual(bulkhead?.running, 0)
        assert.strictEqual(concurrencyLimit?.running, 0)
      }))
  }
})

describe("a pipeline with a part whose news is a defect", () => {
  for (const oneByOne of [false, true]) {
    it.effect(`opens the circuit around it all the same${oneByOne ? ", one by one" : ""}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const news: Policy.Admission = () => Effect.die("bug")
        const part = Part.make<boolean, Policy.Policy>({
          slot: "authentication",
          field: Field.boolean,
          make: () =>
            Effect.succeed({
              name: "authentication",
              execute: (self) => Effect.onExitPrimitive(self, news),
              admitUnsafe: () => news,
              snapshot: Effect.void
            })
        })
        const pipeline = yield* Pipeline.makeWith({
          name: "ledger",
          part: true,
          circuitBreaker: { tripPolicy: { consecutive: 1 } },
          attemptTimeout: "1 second"
        }, {
          parts: {
            part,
            circuitBreaker: Pipeline.parts.circuitBreaker,
            attemptTimeout: Pipeline.parts.attemptTimeout
          },
          classify: () => Recovery.retry,
          around: oneByOne ? [Pipeline.around("attempt", "plain", (self) => self)] : []
        })
        assert.isTrue(Exit.hasDies(yield* Effect.exit(pipeline.execute(Effect.fail("down")))))
        assert.strictEqual((yield* pipeline.snapshot).circuitBreaker?._tag, "Open")
      }))
  }
})
