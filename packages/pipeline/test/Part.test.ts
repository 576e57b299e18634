import { Recovery } from "@effect-resilience/errors"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import { Bulkhead } from "@effect-resilience/limit"
import { Part, Pipeline, PipelineDescription, Slot } from "@effect-resilience/pipeline"
import { Backoff } from "@effect-resilience/retry"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Data, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

class Rejected extends Data.TaggedError("Rejected")<{ readonly label: string }> {}

class Down extends Data.TaggedError("Down") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

const gate = Part.make({
  slot: "circuitBreaker",
  field: Field.struct({ label: Field.text, open: Field.withDefault(Field.boolean, true) }),
  make: ({ label, open }) => {
    const policy: Policy.Policy<Rejected, string> = {
      name: label,
      execute: (self) => open === false ? Effect.fail(new Rejected({ label })) : self,
      admitUnsafe: undefined,
      snapshot: Effect.succeed(label)
    }
    return Effect.succeed(policy)
  }
})

const parts = { ...Pipeline.parts, gate }

/** Takes its time to be made, and some cannot be made at all. */
const slow = Part.make({
  slot: "call",
  field: Field.struct({ millis: Field.number(), breaks: Field.withDefault(Field.boolean, false) }),
  make: ({ breaks, millis }) =>
    Effect.gen(function*() {
      yield* Effect.sleep(millis)
      if (breaks === true) return yield* Effect.die("broken")
      return Policy.noop(millis)
    })
})

describe("a part of one's own", () => {
  it.effect("stands around each run of a call, also after it threw", () =>
    Effect.gen(function*() {
      let made = 0
      const late = Pipeline.around<Rejected>("call", "late", () => {
        if (++made === 1) throw new Error("not ready")
        return Effect.fail(new Rejected({ label: "late" }))
      })
      const pipeline = yield* Pipeline.make({ name: "ledger" }, { around: [late] })
      const call = pipeline.execute(Effect.void)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(call)))
      assert.deepStrictEqual(yield* Effect.flip(call), new Rejected({ label: "late" }))
    }))

  it.effect("has a key in descriptions, its errors in types, and its snapshot among those of the pipeline", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", retry: { times: 1 }, gate: { label: "front" } }, {
        parts
      })
      expectTypeOf(pipeline.execute(Effect.void)).toEqualTypeOf<Effect.Effect<void, Rejected>>()
      yield* pipeline.execute(Effect.void)
      assert.deepStrictEqual((yield* pipeline.snapshot).gate, "front")
      assert.include(yield* pipeline.describe, "gate            label front")
      yield* pipeline.reload({ name: "ledger", gate: { label: "front", open: false } })
      assert.deepStrictEqual(yield* Effect.flip(pipeline.execute(Effect.void)), new Rejected({ label: "front" }))
      // @ts-expect-error -- what the first description does not name
      yield* pipeline.reload({ name: "ledger", bulkhead: { permits: 1 } })
    }))

  it.effect("is decoded with the others", () =>
    Effect.gen(function*() {
      const description = yield* PipelineDescription.decode({ name: "x", gate: { label: "a" }, retry: {} }, { parts })
      assert.deepStrictEqual(description, { name: "x", gate: { label: "a" }, retry: {} })
      assert.include(
        (yield* Effect.flip(PipelineDescription.decode({ name: "x", gate: {} }, { parts }))).message,
        "label"
      )
      assert.include(
        (yield* Effect.flip(PipelineDescription.decode({ name: "x", gate: { label: "a" } }))).message,
        "gate"
      )
    }))

  it("is checked where it is written", () => {
    // @ts-expect-error -- no such option
    assert.throws(() => Pipeline.make({ name: "x", gate: { label: "a", opne: true } }, { parts }), RangeError)
    // @ts-expect-error -- not among the parts
    assert.throws(() => Pipeline.make({ name: "x", gate: { label: "a" } }), RangeError)
  })
})

describe("a reload", () => {
  const withSlow = { parts: { ...Pipeline.parts, slow } }
  const of = (permits: number, millis: number) => ({ name: "x", bulkhead: { permits }, slow: { millis } })

  it.effect("is taken whole, though its caller is interrupted or another comes meanwhile", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make(of(1, 0), withSlow)
      const seen = Effect.map(pipeline.snapshot, ({ bulkhead, slow }) => [bulkhead?.permits, slow])
      const first = yield* Effect.forkChild(pipeline.reload(of(2, 100)), { startImmediately: true })
      const second = yield* Effect.forkChild(pipeline.reload(of(3, 10)), { startImmediately: true })
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(first), { startImmediately: true })
      assert.deepStrictEqual(yield* seen, [1, 0])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* seen, [2, 100])
      yield* TestClock.adjust(10)
      yield* Fiber.joinAll([second, interrupting])
      assert.deepStrictEqual(yield* seen, [3, 10])
      assert.deepStrictEqual((yield* pipeline.description).slow, { millis: 10 })
    }))

  it.effect("changes nothing where a part cannot be made", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make(of(1, 0), withSlow)
      const broken = { name: "x", bulkhead: { permits: 2 }, slow: { millis: 0, breaks: true } }
      assert.isTrue(Exit.hasDies(yield* Effect.exit(pipeline.reload(broken))))
      const { bulkhead } = yield* pipeline.snapshot
      assert.strictEqual(bulkhead?.permits, 1)
    }))
})

describe("a reload that says something else of a part", () => {
  type Parts = Pick<Pipeline.Description, "retry" | "pacer">
  const pacer = { limit: 1, window: "1 second" } as const
  const differing: ReadonlyArray<readonly [string, Parts, Parts]> = [
    ["a number", { retry: { times: 1 } }, { retry: { times: 2 } }],
    ["a duration", { retry: { maxDuration: "1 second" } }, { retry: { maxDuration: "1 minute" } }],
    ["an option more", { retry: { times: 1 } }, { retry: { times: 1, cost: 2 } }],
    ["another option", { retry: { maxDuration: "1 second" } }, { retry: { maxRetryAfter: "1 second" } }],
    ["what was left out", { retry: { times: 1, cost: undefined } }, { retry: { times: undefined, cost: 1 } }],
    ["a value of a list", { retry: { backoff: Backoff.list([1, 2]) } }, { retry: { backoff: Backoff.list([1, 3]) } }],
    ["a longer list", { retry: { backoff: Backoff.list([1, 2]) } }, { retry: { backoff: Backoff.list([1, 2, 3]) } }],
    ["another kind of option", { retry: { backoff: { jitter: "none" } } }, { retry: { backoff: { jitter: 0.1 } } }],
    ["either kind of option", { retry: { backoff: { jitter: 0.2 } } }, { retry: { backoff: { jitter: 0.1 } } }],
    ["another variant", { retry: { backoff: Backoff.linear() } }, { retry: { backoff: Backoff.list([1]) } }],
    [
      "a record",
      { pacer: { ...pacer, rates: { tokens: { limit: 1, window: 1 } } } },
      { pacer: { ...pacer, rates: { tokens: { limit: 2, window: 1 } } } }
    ],
    [
      "a name in a record",
      { pacer: { ...pacer, rates: { tokens: { limit: 1, window: 1 } } } },
      { pacer: { ...pacer, rates: { words: { limit: 1, window: 1 } } } }
    ]
  ]

  for (const [what, one, other] of differing) {
    it.effect(`makes that part anew for ${what}`, () =>
      Effect.gen(function*() {
        for (const [before, after] of [[one, other], [other, one]]) {
          const pipeline = yield* Pipeline.make<Pipeline.Description>({ name: "ledger", ...before })
          const former = yield* pipeline.policies
          yield* pipeline.reload({ name: "ledger", ...after })
          const { pacer, retry } = yield* pipeline.policies
          assert.notStrictEqual(pacer ?? retry, former.pacer ?? former.retry)
        }
      }))
  }

  it.effect("keeps what says the same in other words", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make<Pipeline.Description>({
        name: "ledger",
        retry: { times: 2, cost: undefined, maxDuration: "1 minute", backoff: Backoff.list([1, "2 seconds"]) }
      })
      const { retry } = yield* pipeline.policies
      yield* pipeline.reload({
        name: "ledger",
        retry: { backoff: Backoff.list(["1 millis", 2000]), maxDuration: "60 seconds", times: 2 }
      })
      assert.strictEqual((yield* pipeline.policies).retry, retry)
    }))
})

describe("a function in a slot", () => {
  class Log extends Context.Service<Log, { readonly lines: Array<string> }>()("Log") {}

  it.effect("stands outside the part of its slot, and adds what it needs and fails with", () =>
    Effect.gen(function*() {
      const note = (slot: Slot.Slot) =>
        Pipeline.around<Rejected, Log>(slot, `note ${slot}`, (self) =>
          Effect.andThen(
            Effect.map(Log, ({ lines }) => lines.push(slot)),
            self
          ))
      const pipeline = yield* Pipeline.make(
        { name: "ledger", deadline: "1 minute", retry: { times: 1, backoff: { base: 0 } }, attemptTimeout: "1 second" },
        { around: Slot.order.map(note) }
      )
      const call = pipeline.execute(Effect.fail(new Down()))
      expectTypeOf<Effect.Services<typeof call>>().toEqualTypeOf<Log>()
      const lines: Array<string> = []
      yield* Effect.exit(Effect.provideService(call, Log, { lines }))
      const inside = Slot.order.slice(Slot.order.indexOf("retry") + 1)
      assert.deepStrictEqual(lines, [...Slot.order, ...inside])
    }).pipe(Effect.timeout("10 seconds")))

  it.effect("keeps the parts outside it on the fast path of none", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      const log = Pipeline.around("attempt", "log", (self) => self)
      const pipeline = yield* Pipeline.make(
        { name: "x", bulkhead: { permits: 1 }, attemptTimeout: "1 second" },
        { around: [log], policies: { bulkhead } }
      )
      yield* pipeline.execute(Effect.void)
      assert.deepStrictEqual(yield* bulkhead.snapshot, { permits: 1, running: 0, waiting: 0, rejected: 0 })
    }))
})
