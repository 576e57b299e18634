import { Deadline } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { Attempt, AttemptBudget, Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Data, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

class Failure extends Data.TaggedError("Failure")<{ readonly recovery: Recovery.Recovery; readonly of?: number }> {
  [Recovery.symbol]() {
    return this.recovery
  }
}

/** Attempt number n takes `plans[n - 1]` milliseconds and fails where there is a failure. */
const script = (plans: ReadonlyArray<{ readonly millis: number; readonly fails?: Failure }>) => {
  const log: Array<string> = []
  const effect = Effect.gen(function*() {
    const { attempt } = yield* Attempt.Current
    log.push(`${attempt} at ${yield* Clock.currentTimeMillis}`)
    const plan = plans[attempt - 1]
    yield* Effect.sleep(plan?.millis ?? 0)
    if (plan?.fails !== undefined) return yield* plan.fails
    return attempt
  }).pipe(Effect.onInterrupt(() => Effect.sync(() => log.push("interrupted"))))
  return { log, effect: Hedge.idempotent(effect) }
}

const run = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(Effect.all([Effect.exit(effect), Clock.currentTimeMillis]), {
      startImmediately: true
    })
    for (let tick = 0; tick < 100; tick++) yield* TestClock.adjust(10)
    const [exit, end] = yield* Fiber.join(fiber)
    return { exit, took: end - start }
  })

const after100 = Effect.runSync(Hedge.make({ after: "100 millis", times: 2 }))
const transient = new Failure({ recovery: Recovery.retry })

describe("Hedge", () => {
  it.effect("sends nothing more where the first response is in time", () =>
    Effect.gen(function*() {
      const { effect, log } = script([{ millis: 100 }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(effect, after100)), { exit: Exit.succeed(1), took: 100 })
      assert.strictEqual(log[0], "1 at 0")
    }))

  it.effect("takes the first success and interrupts the others", () =>
    Effect.gen(function*() {
      const { effect, log } = script([{ millis: 500 }, { millis: 400 }, { millis: 50 }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(effect, after100)), { exit: Exit.succeed(3), took: 250 })
      assert.deepStrictEqual(log, ["1 at 0", "2 at 100", "3 at 200", "interrupted", "interrupted"])
    }))

  it.effect("starts at most as many attempts as it may", () =>
    Effect.gen(function*() {
      const { effect, log } = script([{ millis: 900 }, { millis: 900 }, { millis: 900 }, { millis: 1 }])
      yield* run(Hedge.withHedge(effect, after100))
      assert.strictEqual(log.filter((line) => line.includes("at")).length, 3)
    }))

  it.effect("lets the other attempts save a call that failed for a passing reason", () =>
    Effect.gen(function*() {
      const { effect } = script([{ millis: 150, fails: transient }, { millis: 100 }])
      assert.deepStrictEqual((yield* run(Hedge.withHedge(effect, after100))).exit, Exit.succeed(2))
    }))

  it.effect("fails with the last failure where all attempts fail, and at once where none is left running", () =>
    Effect.gen(function*() {
      const last = new Failure({ recovery: Recovery.retry, of: 2 })
      const both = script([{ millis: 150, fails: transient }, { millis: 80, fails: last }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(both.effect, after100)), { exit: Exit.fail(last), took: 180 })
      const early = script([{ millis: 50, fails: transient }, { millis: 1 }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(early.effect, after100)), {
        exit: Exit.fail(transient),
        took: 50
      })
    }))

  it.effect("stops at once on a failure that no other attempt can mend", () =>
    Effect.gen(function*() {
      const wrong = new Failure({ recovery: Recovery.correct })
      const { effect, log } = script([{ millis: 500 }, { millis: 10, fails: wrong }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(effect, after100)), { exit: Exit.fail(wrong), took: 110 })
      assert.include(log, "interrupted")
    }))

  it.effect("pays for each further attempt and does without where the budget rejects them", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ name: "test", ratio: 0, minPerSecond: 0, burst: 1 })
      const { effect, log } = script([{ millis: 500 }, { millis: 500 }, { millis: 1 }])
      const hedged = Hedge.withHedge(effect, after100).pipe(AttemptBudget.withAttemptBudget(budget))
      assert.deepStrictEqual((yield* run(hedged)).exit, Exit.succeed(1))
      assert.deepStrictEqual(log.filter((line) => line.includes("at")), ["1 at 0", "2 at 100"])
    }))

  it.effect("starts nothing once the deadline has passed", () =>
    Effect.gen(function*() {
      const { effect, log } = script([{ millis: 300 }, { millis: 1 }])
      const hedged = Effect.provideService(Hedge.withHedge(effect, after100), Deadline.Current, { atMillis: 100 })
      assert.deepStrictEqual((yield* run(hedged)).exit, Exit.succeed(1))
      assert.strictEqual(log.length, 1)
    }))

  it.effect("interrupts all attempts when it is interrupted, and starts no other", () =>
    Effect.gen(function*() {
      const { effect, log } = script([{ millis: 900 }, { millis: 900 }, { millis: 900 }])
      const fiber = yield* Effect.forkChild(Hedge.withHedge(effect, after100), { startImmediately: true })
      yield* TestClock.adjust(150)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(log, ["1 at 0", "2 at 100", "interrupted", "interrupted"])
    }))

  it.effect("waits for the finalizers of the losers", () =>
    Effect.gen(function*() {
      let released = 0
      const slow = Attempt.Current.pipe(
        Effect.flatMap(({ attempt }) => attempt === 1 ? Effect.never : Effect.succeed(attempt)),
        Effect.onInterrupt(() => Effect.andThen(Effect.sleep(50), Effect.sync(() => released++)))
      )
      assert.deepStrictEqual(yield* run(Hedge.withHedge(Hedge.idempotent(slow), after100)), {
        exit: Exit.succeed(2),
        took: 150
      })
      assert.strictEqual(released, 1)
    }))

  it.effect("tells each attempt how many began before it, and that they are attempts of one call", () =>
    Effect.gen(function*() {
      const seen: Array<readonly [Attempt.Attempt, Attempt.Call | undefined]> = []
      const slow = Effect.gen(function*() {
        seen.push([yield* Attempt.Current, yield* Attempt.Call])
        yield* Effect.sleep(150)
      })
      const hedged = Hedge.withHedge(Hedge.idempotent(slow), after100)
      yield* run(hedged)
      yield* run(Effect.updateContext(
        Effect.flatMap(Attempt.Call, (call) => {
          seen.push([Attempt.first, call])
          return hedged
        }),
        Attempt.asCall
      ))
      const numbers = [[1, 0], [2, 1], [1, 0], [1, 0], [2, 1]]
      assert.deepStrictEqual(seen.map(([{ attempt, hedge }]) => [attempt, hedge]), numbers)
      const [one, two, around, first, second] = seen.map(([, call]) => call)
      assert.isObject(one)
      assert.strictEqual(one, two)
      assert.isObject(first)
      assert.strictEqual(first, second)
      assert.notStrictEqual(first, one)
      assert.deepStrictEqual(first?.around, { call: around, attempt: Attempt.first })
    }))

  it.effect("tells of each further attempt", () =>
    Effect.gen(function*() {
      const told: Array<number> = []
      const { effect } = script([{ millis: 500 }, { millis: 500 }, { millis: 1 }])
      yield* run(Hedge.withHedge(effect, after100, { onHedge: (attempt) => Effect.sync(() => told.push(attempt)) }))
      assert.deepStrictEqual(told, [2, 3])
    }))

  it("learns the percentile of recent latencies, within its bounds", () => {
    const hedge = Effect.runSync(
      Hedge.make({ after: { percentile: 0.9, initial: "70 millis", samples: 100, max: "95 millis" } })
    )
    const after = () => Duration.toMillis(hedge.afterUnsafe())
    for (let millis = 1; millis <= 21; millis++) hedge.recordUnsafe(Duration.millis(millis))
    assert.strictEqual(after(), 70)
    for (let millis = 22; millis <= 100; millis++) hedge.recordUnsafe(Duration.millis(millis))
    assert.isAtLeast(after(), 88)
    assert.isAtMost(after(), 92)
    for (let millis = 0; millis < 105; millis++) hedge.recordUnsafe(Duration.millis(400))
    assert.strictEqual(after(), 95)
    for (let millis = 0; millis < 105; millis++) hedge.recordUnsafe(Duration.zero)
    assert.strictEqual(after(), 1)
  })

  it.effect("counts the attempts that lost with the time that they had", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const hedge: Hedge.Hedge = { ...after100, recordUnsafe: (latency) => seen.push(Duration.toMillis(latency)) }
      yield* run(Hedge.withHedge(script([{ millis: 500 }, { millis: 50 }]).effect, hedge))
      assert.deepStrictEqual(seen, [50, 150])
    }))

  it("rejects options that make no sense", () => {
    assert.throws(() => Hedge.make({ after: 1, times: -1 }), RangeError)
    assert.throws(() => Hedge.make({ after: { percentile: 1 } }), RangeError)
    assert.throws(() => Hedge.make({ after: { percentile: 0.9, samples: 1 } }), RangeError)
    assert.throws(() => Hedge.make({ after: { percentile: 0.9, min: "2 seconds", max: "1 second" } }), RangeError)
  })
})
