import { Recovery } from "@effect-resilience/errors"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import { Part, Pipeline, type Slot } from "@effect-resilience/pipeline"
import { Attempt } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber } from "effect"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"

interface Behaviour {
  /** How often it admits a call in one step. */
  readonly admits: number
  /** Thrown when it hears of an end. */
  readonly thrown?: unknown
  /** Whether it tells others what came of an end. */
  readonly tells?: boolean
}

/** A part that writes down what it hears. */
const noting = (log: Array<string>, slot: Slot.Slot, { admits, tells, thrown }: Behaviour = { admits: Infinity }) => {
  let admitted = 0
  return Part.make<boolean, Policy.Policy>({
    slot,
    field: Field.boolean,
    make: () =>
      Effect.succeed({
        name: slot,
        execute: (self) => Effect.suspend(() => (log.push(`${slot}: a wrapped call`), self)),
        admitUnsafe: () => {
          if (admitted++ >= admits) return undefined
          return (exit) => {
            const end = exit === Policy.neverBegan ? "nothing" : Exit.isSuccess(exit) ? "a success" : "a failure"
            log.push(`${slot}: ${Exit.hasDies(exit) ? "a defect" : end}`)
            if (thrown !== undefined) throw thrown
            return tells === true ? Effect.sync(() => log.push(`${slot}: news`)) : undefined
          }
        },
        snapshot: Effect.void
      })
  })
}

/** Calls fail `failures` times before they end as the `last` one does. */
const setup = Effect.fnUntraced(function*(
  failures: number,
  { inner, last = Effect.void, outer, retries = true }: {
    readonly outer?: Behaviour
    readonly inner?: Behaviour
    readonly retries?: boolean
    readonly last?: Effect.Effect<void, string>
  } = {}
) {
  const log: Array<string> = []
  const parts = {
    outer: noting(log, "bulkhead", outer),
    inner: noting(log, "throttle", inner),
    retry: Pipeline.parts.retry,
    attemptTimeout: Pipeline.parts.attemptTimeout
  }
  const pipeline = yield* Pipeline.makeWith(
    {
      name: "ledger",
      outer: true,
      inner: true,
      attemptTimeout: "1 second",
      retry: retries ? { times: 1, backoff: { base: 0 } } : undefined
    },
    { parts, classify: () => Recovery.retry }
  )
  let attempts = 0
  const call = pipeline.execute(
    Effect.suspend(() => (log.push("the call"), ++attempts > failures ? last : Effect.fail("down")))
  )
  return { call, log, pipeline }
})

/** Lets something happen before one step of its fibers, whose fiber yields then. */
class YieldingScheduler extends Scheduler.MixedScheduler {
  steps = 0
  private readonly at: number
  private readonly happen: () => void

  constructor(at: number, happen: () => void) {
    super()
    this.at = at
    this.happen = happen
  }

  override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    if (++this.steps !== this.at) return super.shouldYield(fiber)
    this.happen()
    return true
  }
}

describe("a pipeline whose parts admit calls in one step", () => {
  it.effect("asks each of them once, and tells each once how the call ended, those inside first", () =>
    Effect.gen(function*() {
      const { call, log } = yield* setup(0, { retries: false })
      yield* call
      assert.deepStrictEqual(log, ["the call", "throttle: a success", "bulkhead: a success"])
    }))

  it.effect("does so with each attempt for the parts inside its retry, and with the call for those outside", () =>
    Effect.gen(function*() {
      const { call, log } = yield* setup(1)
      yield* call
      assert.deepStrictEqual(log, [
        "the call",
        "throttle: a failure",
        "the call",
        "throttle: a success",
        "bulkhead: a success"
      ])
    }))

  it.effect("takes back what those inside admitted where one outside does not, and wraps the call", () =>
    Effect.gen(function*() {
      const { call, log } = yield* setup(0, { outer: { admits: 0 } })
      yield* call
      assert.deepStrictEqual(log, [
        "throttle: nothing",
        "bulkhead: a wrapped call",
        "throttle: a wrapped call",
        "the call"
      ])
    }))

  it.effect("wraps the attempts that a part inside the retry does not admit", () =>
    Effect.gen(function*() {
      const { call, log } = yield* setup(1, { inner: { admits: 1 } })
      yield* call
      assert.deepStrictEqual(log, [
        "the call",
        "throttle: a failure",
        "throttle: a wrapped call",
        "the call",
        "bulkhead: a success"
      ])
    }))

  it.effect("wraps a call that is itself an attempt after another", () =>
    Effect.gen(function*() {
      const { call, log } = yield* setup(0)
      yield* Effect.provideService(call, Attempt.Current, { ...Attempt.first, attempt: 2 })
      assert.deepStrictEqual(log, ["bulkhead: a wrapped call", "throttle: a wrapped call", "the call"])
    }))

  for (const failures of [0, 1]) {
    it.effect(`dies of what a part throws when it hears of the end, after ${failures} failures`, () =>
      Effect.gen(function*() {
        const { call, log } = yield* setup(failures, { inner: { admits: Infinity, thrown: "a bug of the part" } })
        assert.deepStrictEqual(yield* Effect.exit(call), Exit.die("a bug of the part"))
        assert.strictEqual(log.at(-1), "bulkhead: a defect")
      }))
  }

  it.effect("lets a part tell others of an attempt that was interrupted after another", () =>
    Effect.gen(function*() {
      const inner = { admits: Infinity, tells: true }
      const { call, log } = yield* setup(1, { inner, last: Effect.never })
      const fiber = yield* Effect.forkChild(call, { startImmediately: true })
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, [
        "the call",
        "throttle: a failure",
        "throttle: news",
        "the call",
        "throttle: a failure",
        "bulkhead: a failure",
        "throttle: news"
      ])
    }))

  for (const where of ["in a fiber", "on its own"]) {
    for (const [how, end] of [["succeeds", Exit.void], ["fails", Exit.fail("down")]] as const) {
      it.effect(`goes on where an attempt ${how} while a fiber of the call yields, before whichever step, ${where}`, () =>
        Effect.gen(function*() {
          let steps = Infinity
          for (let at = 1; at <= steps; at++) {
            const running: Array<(end: Exit.Exit<void, string>) => void> = []
            const last = Effect.callback<void, string>((resume) => {
              running.push(resume)
            })
            const { call } = yield* setup(0, { last })
            const scheduler = new YieldingScheduler(at, () => running.shift()?.(end))
            const context = Context.add(yield* Effect.context<never>(), Scheduler.Scheduler, scheduler)
            const caller: Direct.Running<void, unknown> = where === "in a fiber"
              ? Effect.runForkWith(context)(call)
              : Direct.startUnsafe(call, context)
            for (let attempt = 0; attempt <= 2; attempt++) {
              yield* TestClock.adjust(1)
              running.shift()?.(end)
            }
            yield* TestClock.adjust(1)
            assert.deepStrictEqual(caller.pollUnsafe(), end, `step ${at}`)
            steps = scheduler.steps
          }
          assert.isAbove(steps, 10)
        }))
    }
  }

  it.effect("knows the parts of other copies of this package by their symbols", () =>
    Effect.gen(function*() {
      const { attemptTimeout, retry } = yield* (yield* setup(0)).pipeline.policies
      assert.isDefined(Reflect.get(attemptTimeout ?? {}, Symbol.for("@effect-resilience/pipeline/timed")))
      assert.isDefined(Reflect.get(retry ?? {}, Symbol.for("@effect-resilience/pipeline/retried")))
    }))
})
