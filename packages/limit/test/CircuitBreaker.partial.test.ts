import { CircuitBreaker } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import * as semian from "./published/semian.ts"
import * as slowStart from "./published/slowStart.ts"

const failing = Effect.fail("no response")

const probabilityOf = (breaker: CircuitBreaker.CircuitBreaker) =>
  Effect.map(breaker.snapshot, (now) => now._tag === "Partial" ? now.probability : now._tag === "Closed" ? 0 : now._tag)

const stateOf = (breaker: CircuitBreaker.CircuitBreaker) => Effect.map(breaker.snapshot, ({ _tag }) => _tag)

/** A breaker whose only probe has just succeeded. */
const closing = Effect.fnUntraced(function*(ramp: CircuitBreaker.Ramp, options?: CircuitBreaker.Options) {
  yield* TestClock.adjust("1 hour")
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(1),
    openDuration: { base: "1 second", cap: "1 hour", jitter: "none" },
    ramp,
    ...options
  })
  yield* Effect.exit(breaker.execute(failing))
  yield* TestClock.adjust("1 second")
  yield* breaker.execute(Effect.void)
  return breaker
})

const calls = (breaker: CircuitBreaker.CircuitBreaker, count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: count }), () => Effect.exit(breaker.execute(Effect.void))),
    (exits) => exits.map(Exit.isSuccess)
  )

describe("a ramp", () => {
  for (const { aggression, minWeightPercent, vectors, windowSeconds } of slowStart.shares) {
    it.effect(`has the shares of Envoy over ${windowSeconds} seconds from ${minWeightPercent} % with aggression ${aggression}`, () =>
      Effect.gen(function*() {
        const from = minWeightPercent / 100
        const breaker = yield* closing({ over: `${windowSeconds} seconds`, from, aggression })
        let now = 0
        for (const [seconds, share] of vectors) {
          yield* TestClock.adjust(`${seconds - now} seconds`)
          now = seconds
          const probability = yield* probabilityOf(breaker)
          assert.closeTo(Number(probability), 1 - share, 1e-9)
        }
      }))
  }

  it.effect("lets through the share that its seed decides, and all calls after its end", () =>
    Effect.gen(function*() {
      const run = Effect.gen(function*() {
        const breaker = yield* closing({ over: "10 seconds" })
        const passed: Array<ReadonlyArray<boolean>> = []
        for (let second = 0; second <= 10; second++) {
          passed.push(yield* calls(breaker, 400))
          yield* TestClock.adjust("1 second")
        }
        const { rejected, _tag } = yield* breaker.snapshot
        assert.strictEqual(rejected, passed.flat().filter((passed) => !passed).length)
        return { passed, _tag }
      })
      const one = yield* Random.withSeed(run, "one")
      assert.strictEqual(one._tag, "Closed")
      one.passed.forEach((passed, second) => {
        const share = Math.min(1, Math.max(0.1, second / 10))
        // Four times the standard deviation.
        const margin = 4 * Math.sqrt(share * (1 - share) / passed.length)
        assert.closeTo(passed.filter((passed) => passed).length / passed.length, share, margin, `second ${second}`)
      })
      const again = yield* Random.withSeed(run, "one")
      assert.deepStrictEqual(again, one)
      assert.notDeepEqual((yield* Random.withSeed(run, "two")).passed, one.passed)
    }))

  it.effect("says in a rejection that the circuit is partial", () =>
    Effect.gen(function*() {
      const breaker = yield* closing({ over: "10 seconds", from: 1e-9 })
      const error = yield* Effect.flip(breaker.execute(Effect.void))
      assert.deepInclude(error, { state: "Partial", retryAfter: undefined, policy: "default" })
    }))

  it.effect("ends in an opening when the dependency fails again, which lasts longer however long the ramp is", () =>
    Effect.gen(function*() {
      const breaker = yield* closing({ over: "10 seconds", from: 1 - 1e-9 })
      yield* TestClock.adjust("9 seconds")
      yield* Effect.exit(breaker.execute(failing))
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Open", consecutiveOpenings: 2 })
      yield* TestClock.adjust("2 seconds")
      yield* breaker.execute(Effect.void)
      yield* TestClock.adjust("11 seconds")
      yield* breaker.execute(Effect.void)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      // Stable since a second, and the latest opening lasted two.
      yield* Effect.exit(breaker.execute(failing))
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Open", consecutiveOpenings: 3 })
      yield* TestClock.adjust("4 seconds")
      yield* breaker.execute(Effect.void)
      yield* TestClock.adjust("14 seconds")
      yield* breaker.execute(Effect.void)
      yield* Effect.exit(breaker.execute(failing))
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Open", consecutiveOpenings: 1 })
    }))

  it.effect("counts a call that began on it and ends after it, and no interruption", () =>
    Effect.gen(function*() {
      const breaker = yield* closing({ over: "1 second", from: 1 - 1e-9 }, {
        tripPolicy: CircuitBreaker.consecutive(1)
      })
      const gone = yield* Effect.forkChild(breaker.execute(Effect.never), { startImmediately: true })
      const late = yield* Effect.forkChild(breaker.execute(Effect.andThen(Effect.sleep("2 seconds"), failing)), {
        startImmediately: true
      })
      yield* Fiber.interrupt(gone)
      assert.strictEqual(yield* stateOf(breaker), "Partial")
      yield* TestClock.adjust("1 second")
      yield* breaker.execute(Effect.void)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* TestClock.adjust("1 second")
      yield* Fiber.await(late)
      assert.strictEqual(yield* stateOf(breaker), "Open")
    }))

  it.effect("is left out by a reset, and takes no part after a transition by hand", () =>
    Effect.gen(function*() {
      const breaker = yield* closing({ over: "10 seconds" })
      assert.strictEqual(yield* stateOf(breaker), "Partial")
      yield* breaker.reset
      assert.strictEqual(yield* probabilityOf(breaker), 0)
      assert.strictEqual((yield* calls(breaker, 20)).every((passed) => passed), true)
    }))

  it("rejects options that make no sense", () => {
    assert.throws(() => CircuitBreaker.make({ ramp: { over: 0 } }), RangeError, "ramp.over")
    assert.throws(() => CircuitBreaker.proportional({ tolerated: 0.9 }), RangeError, "never rejects")
    assert.throws(() => CircuitBreaker.make({ ramp: { over: 1, from: 0 } }), RangeError, "ramp.from")
    assert.throws(() => CircuitBreaker.make({ ramp: { over: 1, aggression: 0 } }), RangeError, "ramp.aggression")
  })
})

describe("the trip policy proportional", () => {
  const make = (options?: Parameters<typeof CircuitBreaker.proportional>[0]) =>
    Effect.andThen(
      TestClock.adjust("1 hour"),
      CircuitBreaker.make({
        tripPolicy: CircuitBreaker.proportional({
          tolerated: semian.defaults.initialErrorRate,
          maxProbability: 0.9,
          ...options
        })
      })
    )

  // Settled by permits, so that chance rejects none of them. Errors come last.
  const outcomes = Effect.fnUntraced(function*(breaker: CircuitBreaker.CircuitBreaker, errors: number, of: number) {
    const permits = yield* Effect.forEach(Array.from({ length: of }), () => breaker.tryAcquire)
    yield* Effect.forEach(
      permits,
      ({ record }, index) => record(index < of - errors ? Exit.void : Exit.fail("no response"))
    )
  })

  it.effect("rejects the share at which the rule of Semian settles", () =>
    Effect.gen(function*() {
      for (let errors = 0; errors <= 100; errors++) {
        const breaker = yield* make({ maxProbability: 0.95 })
        yield* outcomes(breaker, errors, 100)
        let share = 0
        for (let second = 0; second < 200; second++) {
          const change = semian.defaults.kp *
            semian.proportionalPart(errors / 100, semian.defaults.initialErrorRate, share)
          share = Math.min(1, Math.max(0, share + change))
        }
        assert.closeTo(Number(yield* probabilityOf(breaker)), Math.min(0.95, share), 1e-6, `${errors} of 100`)
      }
    }))

  for (const { errorsOf100, rejects, test } of semian.facts) {
    it.effect(`${rejects ? "rejects" : "rejects nothing"} at ${errorsOf100} % and recovers within the window (${test})`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* outcomes(breaker, errorsOf100, 100)
        assert.strictEqual(Number(yield* probabilityOf(breaker)) > 0, rejects)
        for (let second = 0; second < semian.defaults.windowSeconds; second++) {
          yield* TestClock.adjust("1 second")
          yield* calls(breaker, 100)
        }
        assert.strictEqual(yield* probabilityOf(breaker), 0)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
      }))
  }

  it.effect("spares a server that is down nine calls of ten, and passes all within a window of its return", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      let down = true
      let sent = 0
      const call = Effect.suspend(() => {
        sent++
        return down ? failing : Effect.void
      })
      const run = Effect.fnUntraced(function*(seconds: number) {
        sent = 0
        for (let tick = 0; tick < seconds * 100; tick++) {
          yield* Effect.exit(breaker.execute(call))
          yield* TestClock.adjust("10 millis")
        }
        return sent / (seconds * 100)
      })
      assert.isAbove(yield* run(1), 0.1)
      assert.closeTo(yield* run(60), 0.1, 0.02)
      assert.strictEqual(yield* probabilityOf(breaker), 0.9)
      down = false
      yield* run(10)
      assert.strictEqual(yield* run(5), 1)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }).pipe(Random.withSeed("down")))

  it.effect("does not begin with few calls, and goes on with few", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ minimumCalls: 10 })
      yield* outcomes(breaker, 9, 9)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* outcomes(breaker, 1, 1)
      assert.strictEqual(yield* probabilityOf(breaker), 0.9)
      yield* TestClock.adjust("9 seconds")
      const permit = yield* Effect.retry(breaker.tryAcquire, { times: 1000 })
      yield* permit.record(Exit.fail("no response"))
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(yield* breaker.snapshot, { buffered: 1, probability: 0.9 })
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* probabilityOf(breaker), 0)
    }))

  it.effect("opens the circuit where it may reject all", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ maxProbability: 1, minimumCalls: 10 })
      yield* outcomes(breaker, 5, 10)
      assert.strictEqual(yield* stateOf(breaker), "Partial")
      const permits = yield* Effect.retry(breaker.tryAcquire, { times: 1000 })
      yield* permits.record(Exit.fail("no response"))
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Partial" })
      yield* breaker.reset
      yield* outcomes(breaker, 10, 10)
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Open", buffered: 10, failureRate: 1 })
    }).pipe(Random.withSeed("all")))

  it.effect("lets all calls pass while half of them fail, and one of twenty while all do, by default", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ tolerated: undefined, maxProbability: undefined })
      yield* outcomes(breaker, 60, 100)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* TestClock.adjust("11 seconds")
      yield* outcomes(breaker, 70, 100)
      assert.closeTo(Number(yield* probabilityOf(breaker)), 0.2 / 0.8, 1e-9)
      yield* TestClock.adjust("11 seconds")
      yield* breaker.reset
      yield* outcomes(breaker, 100, 100)
      assert.strictEqual(yield* probabilityOf(breaker), 0.95)
    }))

  it.effect("stands beside a policy that opens the circuit, and beside a ramp", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: [CircuitBreaker.proportional({ maxProbability: 0.9 }), CircuitBreaker.consecutive(12)],
        openDuration: "1 second",
        ramp: { over: "10 seconds", from: 0.5 }
      })
      yield* outcomes(breaker, 11, 11)
      assert.strictEqual(yield* probabilityOf(breaker), 0.9)
      const permit = yield* Effect.retry(breaker.tryAcquire, { times: 1000 })
      yield* permit.record(Exit.fail("no response"))
      assert.strictEqual(yield* stateOf(breaker), "Open")
      yield* TestClock.adjust("1 second")
      yield* breaker.execute(Effect.void)
      assert.strictEqual(yield* probabilityOf(breaker), 0.5)
    }))

  it.effect("counts a call when it ends, however long it took", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ minimumCalls: 1 })
      const slow = yield* breaker.tryAcquire
      yield* TestClock.adjust("30 seconds")
      yield* slow.record(Exit.fail("no response"))
      assert.strictEqual(yield* probabilityOf(breaker), 0.9)
    }))
})
