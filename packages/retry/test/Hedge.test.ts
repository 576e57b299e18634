import { Deadline } from "@effect-resilience/deadline"
import { Recovery, Repetition } from "@effect-resilience/errors"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { Attempt, AttemptBudget, Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Data, Duration, Effect, Exit, Fiber, Logger, References } from "effect"
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

const once = Effect.runSync(Hedge.make({ after: "100 millis", share: 1 }))
const after100 = Effect.runSync(Hedge.make({ after: "100 millis", times: 2, share: 1 }))
const transient = new Failure({ recovery: Recovery.retry })

describe("Hedge", () => {
  it.effect("waits as long as a server asks, up to a minute", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      for (const [asked, succeeds] of [[60_000, true], [60_001, false]] as const) {
        const { effect } = script([{ millis: 1, fails: new Failure({ recovery: Recovery.retryAfter(asked) }) }])
        const fiber = yield* Effect.forkChild(Effect.exit(Hedge.withHedge(effect, once)), { startImmediately: true })
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(Exit.isSuccess(yield* Fiber.join(fiber)), succeeds)
      }
    }))

  it.effect("sends nothing more where who hears of its second attempt interrupts the call", () =>
    Effect.gen(function*() {
      const { effect, log } = script([{ millis: 500 }, { millis: 500 }])
      const call = Hedge.withHedge(effect, once).pipe(
        PolicyEvent.observe(({ _tag }) => {
          if (_tag === "Hedged") fiber.interruptUnsafe()
        })
      )
      const fiber = yield* Effect.forkChild(call, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(log, ["1 at 0", "interrupted"])
    }))

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
      assert.deepStrictEqual((yield* run(Hedge.withHedge(effect, once))).exit, Exit.succeed(2))
    }))

  it.effect("fails with the last failure where all attempts fail, and at once where none is left running", () =>
    Effect.gen(function*() {
      const last = new Failure({ recovery: Recovery.retry, of: 2 })
      const both = script([{ millis: 150, fails: transient }, { millis: 80, fails: last }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(both.effect, once)), { exit: Exit.fail(last), took: 180 })
    }))

  it.effect("starts the next attempt at once where one failed, and waits again from then on", () =>
    Effect.gen(function*() {
      const { effect, log } = script([{ millis: 50, fails: transient }, { millis: 500 }, { millis: 10 }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(effect, after100)), { exit: Exit.succeed(3), took: 160 })
      assert.deepStrictEqual(log, ["1 at 0", "2 at 50", "3 at 150", "interrupted"])
    }))

  it.effect("starts an attempt only where one failed, if it is told to wait for ever", () =>
    Effect.gen(function*() {
      const patient = yield* Hedge.make({ after: "Infinity" })
      const slow = script([{ millis: 900 }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(slow.effect, patient)), { exit: Exit.succeed(1), took: 900 })
      const { effect } = script([{ millis: 50, fails: transient }, { millis: 10 }])
      assert.deepStrictEqual(yield* run(Hedge.withHedge(effect, patient)), { exit: Exit.succeed(2), took: 60 })
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

  it.effect("fails where the budget rejects the attempt for which a server asked to wait", () =>
    Effect.gen(function*() {
      const asking = new Failure({ recovery: Recovery.retryAfter("200 millis") })
      const { effect } = script([{ millis: 10, fails: asking }])
      const hedged = Hedge.withHedge(effect, once).pipe(AttemptBudget.withAttemptBudget(AttemptBudget.empty))
      assert.deepStrictEqual(yield* run(hedged), { exit: Exit.fail(asking), took: 210 })
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

  it.effect("is not held up by losers that cannot be interrupted, and logs what they fail with", () =>
    Effect.gen(function*() {
      const ended: Array<string> = []
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        logged.push([logLevel, ...Array.isArray(message) ? message : [message]])
      })
      const stubborn = Effect.gen(function*() {
        const { attempt } = yield* Attempt.Current
        yield* Effect.sleep(attempt === 3 ? 10 : 500)
        ended.push(`${attempt} at ${yield* Clock.currentTimeMillis}`)
        return attempt === 1 ? yield* Effect.die("late") : attempt
      }).pipe(Effect.uninterruptible)
      const hedged = Hedge.withHedge(Hedge.idempotent(stubborn), after100).pipe(
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "Debug")
      )
      assert.deepStrictEqual(yield* run(hedged), { exit: Exit.succeed(3), took: 210 })
      assert.deepStrictEqual(ended, ["3 at 210", "1 at 500", "2 at 600"])
      assert.strictEqual(logged.length, 1)
      assert.deepInclude(logged[0], "Debug")
      assert.include(String((logged[0] as ReadonlyArray<unknown>)[1]), "An attempt failed that the hedge")
    }))

  it.effect("releases what losers hold when they have ended, and what the winner holds when its caller has", () =>
    Effect.gen(function*() {
      const released: Array<string> = []
      const resource = (attempt: number) =>
        Effect.acquireRelease(Effect.succeed(attempt), () =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            released.push(`${attempt} at ${now}`)
          }))
      const scoped = Effect.gen(function*() {
        const { attempt } = yield* Attempt.Current
        yield* resource(attempt)
        if (attempt === 2) return yield* transient
        yield* Effect.sleep(attempt === 1 ? 400 : 50)
        return attempt
      }).pipe(Effect.uninterruptible)
      const call = Effect.scoped(
        Effect.tap(Hedge.withHedge(Hedge.idempotent(scoped), after100), () => Effect.sleep(20))
      )
      assert.deepStrictEqual(yield* run(call), { exit: Exit.succeed(3), took: 170 })
      assert.deepStrictEqual(released, ["2 at 100", "3 at 170", "1 at 400"])
    }))

  it.effect("waits for the finalizers of its attempts where it is interrupted itself", () =>
    Effect.gen(function*() {
      const ended: Array<number> = []
      const slow = Effect.flatMap(Attempt.Current, ({ attempt }) =>
        Effect.onInterrupt(Effect.never, () =>
          Effect.andThen(Effect.sleep(50), Effect.sync(() => ended.push(attempt)))))
      const fiber = yield* Effect.forkChild(Hedge.withHedge(Hedge.idempotent(slow), after100), {
        startImmediately: true
      })
      yield* TestClock.adjust(150)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* TestClock.adjust(40)
      assert.isUndefined(interrupting.pollUnsafe())
      yield* TestClock.adjust(10)
      yield* Fiber.join(interrupting)
      assert.sameMembers(ended, [1, 2])
    }))

  it.effect("learns each latency once, and counts no winner, where attempts outlive the interruption of their call", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      let winners = 0
      const hedge: Hedge.Hedge = {
        ...once,
        recordUnsafe: (latency) => seen.push(Duration.toMillis(latency)),
        wonUnsafe: () => {
          winners++
        }
      }
      const { effect } = script([{ millis: 500 }, { millis: 300 }]).effect
      const call = Hedge.withHedge(Hedge.idempotent(Effect.uninterruptible(effect)), hedge)
      const fiber = yield* Effect.forkChild(call, { startImmediately: true })
      yield* TestClock.adjust("150 millis")
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual({ seen, winners }, { seen: [150, 50], winners: 0 })
    }))

  it.effect("ends an attempt that interrupts its call before it has done anything else", () =>
    Effect.gen(function*() {
      const ended: Array<number> = []
      const fiber: Fiber.Fiber<unknown> = yield* Effect.forkChild(
        Effect.suspend(() =>
          Hedge.withHedge(
            Hedge.idempotent(Effect.flatMap(Attempt.Current, ({ hedge }) =>
              Effect.onInterrupt(
                Effect.andThen(
                  Effect.sync(() => {
                    if (hedge === 1) fiber.interruptUnsafe()
                  }),
                  Effect.never
                ),
                () => Effect.andThen(Effect.sleep(10), Effect.sync(() => ended.push(hedge)))
              ))),
            after100
          )
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust(100)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(10)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.sameMembers(ended, [0, 1])
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

  it.effect("ends as without another attempt where who hears of that throws", () =>
    Effect.gen(function*() {
      const asking = new Failure({ recovery: Recovery.retryAfter("50 millis") })
      for (
        const [plan, exit] of [
          [{ millis: 10, fails: asking }, Exit.fail(asking)],
          [{ millis: 500 }, Exit.succeed(1)]
        ] as const
      ) {
        const call = Hedge.withHedge(script([plan]).effect, once).pipe(
          PolicyEvent.observe(() => {
            throw new Error("the log is full")
          })
        )
        const fiber = yield* Effect.forkChild(call, { startImmediately: true })
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(fiber.pollUnsafe(), exit)
      }
    }))

  it.effect("learns from responses that take no time, too", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: { percentile: 0.5, samples: 4, initial: "70 millis", min: "2 millis" } })
      const { effect, log } = script([{ millis: 500 }, { millis: 500 }])
      for (let call = 0; call < 4; call++) yield* Hedge.withHedge(Hedge.idempotent(Effect.void), hedge)
      yield* run(Hedge.withHedge(effect, hedge))
      assert.deepStrictEqual(log.slice(0, 2), ["1 at 0", "2 at 2"])
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

  it.effect("bounds further attempts to a share of the calls, and counts them", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "10 millis", share: 0.1 })
      const { effect, log } = script([{ millis: 20 }, { millis: 5 }])
      for (let call = 0; call < 200; call++) {
        const fiber = yield* Effect.forkChild(Hedge.withHedge(effect, hedge))
        yield* TestClock.adjust(20)
        yield* Fiber.join(fiber)
      }
      const hedges = log.filter((line) => line.startsWith("2 at")).length
      assert.strictEqual(hedges, 10 + 19)
      assert.deepStrictEqual(yield* hedge.snapshot, {
        after: Duration.millis(10),
        hedges,
        winners: hedges,
        rejected: 200 - hedges
      })
    }))

  it.effect("repeats what it executes only where that is declared idempotent", () =>
    Effect.gen(function*() {
      const attempts = (idempotent: boolean, declared: Repetition.Repetition | undefined) =>
        Effect.gen(function*() {
          const { effect, log } = script([{ millis: 50 }, { millis: 1 }])
          const hedge = yield* Hedge.make({ after: "10 millis", idempotent })
          yield* run(Effect.provideService(hedge.execute(effect.effect), Repetition.Current, declared))
          return log.filter((line) => line.includes(" at ")).length
        })
      assert.strictEqual(yield* attempts(false, undefined), 1)
      assert.strictEqual(yield* attempts(false, "always"), 2)
      assert.strictEqual(yield* attempts(true, undefined), 2)
      assert.strictEqual(yield* attempts(true, "unlessApplied"), 1)
      assert.strictEqual(yield* attempts(true, "inTurn"), 1)
      assert.strictEqual(yield* attempts(true, "unlessBegun"), 1)
    }))

  it.effect("ends the call with the defect of a classifier that throws", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({
        after: "10 millis",
        classify: () => {
          throw new Error("broken classifier")
        }
      })
      const { exit } = yield* run(Hedge.withHedge(script([{ millis: 5, fails: transient }]).effect, hedge))
      assert.isTrue(Exit.hasDies(exit))
    }))

  it("rejects options that make no sense", () => {
    assert.throws(() => Hedge.make({ after: 1, times: -1 }), RangeError)
    assert.throws(() => Hedge.make({ times: 11 }), RangeError)
    assert.throws(() => Hedge.make({ share: 1.5 }), RangeError)
    assert.throws(() => Hedge.make({ after: { percentile: 1 } }), RangeError)
    assert.throws(() => Hedge.make({ after: { percentile: 0.9, samples: 1 } }), RangeError)
    assert.throws(() => Hedge.make({ after: { percentile: 0.9, min: "2 seconds", max: "1 second" } }), RangeError)
  })
})
