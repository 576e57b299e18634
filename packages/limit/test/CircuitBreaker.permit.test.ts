import * as Field from "@effect-resilience/kernel/Field"
import * as FieldCodec from "@effect-resilience/kernel/FieldCodec"
import { CircuitBreaker } from "@effect-resilience/limit"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scheduler } from "effect"
import { CircuitBreaker as Store } from "effect/persistence"
import { TestClock } from "effect/testing"

const down = Exit.fail("no response")

const stateOf = (breaker: CircuitBreaker.CircuitBreaker) => Effect.map(breaker.snapshot, ({ _tag }) => _tag)

const options = { tripPolicy: CircuitBreaker.consecutive(1), openDuration: "1 second", probeLease: "1 minute" } as const

const kinds = {
  "of a local breaker": CircuitBreaker.make(options),
  "of a shared breaker": SharedCircuitBreaker.make({
    tripPolicy: options.tripPolicy,
    openDuration: options.openDuration
  })
} as const

for (const [kind, make] of Object.entries(kinds)) {
  describe(`a permit ${kind}`, () => {
    const it2 = (name: string, body: (breaker: CircuitBreaker.CircuitBreaker) => Effect.Effect<void, unknown>) =>
      it.effect(name, () =>
        TestClock.adjust("1 hour").pipe(
          Effect.andThen(make),
          Effect.flatMap(body),
          Effect.scoped,
          Effect.provide(Store.layerStoreMemory())
        ))

    it2("counts the first report and no other", (breaker) =>
      Effect.gen(function*() {
        const permit = yield* breaker.tryAcquire
        yield* permit.record(Exit.void)
        yield* permit.record(down)
        permit.recordUnsafe(down)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
        const second = yield* breaker.tryAcquire
        yield* second.release
        yield* second.record(down)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
        yield* (yield* breaker.tryAcquire).record(down)
        assert.strictEqual(yield* stateOf(breaker), "Open")
      }))

    it2("is not given by an open circuit, which counts the rejection", (breaker) =>
      Effect.gen(function*() {
        yield* Effect.exit(breaker.execute(down))
        const error = yield* Effect.flip(breaker.tryAcquire)
        assert.strictEqual(error.state, "Open")
        assert.deepInclude(yield* breaker.snapshot, { rejected: 1 })
      }))

    it2("of a probe keeps others out until it is settled, and closes the circuit", (breaker) =>
      Effect.gen(function*() {
        yield* Effect.exit(breaker.execute(down))
        yield* TestClock.adjust("1 second")
        const probe = yield* breaker.tryAcquire
        assert.strictEqual((yield* Effect.flip(breaker.tryAcquire)).state, "HalfOpen")
        yield* probe.release
        const next = yield* breaker.tryAcquire
        yield* next.record(Exit.void)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
      }))

    it2("goes back with its scope, whether that ends or is interrupted", (breaker) =>
      Effect.gen(function*() {
        yield* Effect.exit(breaker.execute(down))
        yield* TestClock.adjust("1 second")
        yield* Effect.scoped(CircuitBreaker.acquireScoped(breaker))
        const held = yield* CircuitBreaker.acquireScoped(breaker).pipe(
          Effect.andThen(Effect.never),
          Effect.scoped,
          Effect.forkChild({ startImmediately: true })
        )
        assert.deepInclude(yield* breaker.snapshot, { _tag: "HalfOpen", probing: 1 })
        yield* Fiber.interrupt(held)
        assert.deepInclude(yield* breaker.snapshot, { _tag: "HalfOpen", probing: 0 })
      }))

    it2("leaves no trace however early its fiber is interrupted", (breaker) =>
      Effect.gen(function*() {
        yield* Effect.exit(breaker.execute(down))
        yield* TestClock.adjust("1 second")
        for (let yields = 0; yields < 40; yields++) {
          const fiber = yield* CircuitBreaker.acquireScoped(breaker).pipe(
            Effect.andThen(Effect.yieldNow),
            Effect.scoped,
            Effect.provideService(Scheduler.MaxOpsBeforeYield, 2),
            Effect.forkChild
          )
          for (let n = 0; n < yields; n++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          const now = yield* breaker.snapshot
          if (now._tag === "HalfOpen") assert.strictEqual(now.probing, 0, `after ${yields}`)
        }
        yield* breaker.execute(Effect.void)
        assert.strictEqual(yield* stateOf(breaker), "Closed")
      }))
  })
}

describe("a permit", () => {
  it.effect("is settled by a callback at once, by the clock of the fiber that took it", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.slow({ slowerThan: "1 second", size: 1 }),
        openDuration: "10 seconds"
      })
      const quick = yield* breaker.tryAcquire
      const slow = yield* breaker.tryAcquire
      yield* TestClock.adjust("900 millis")
      quick.recordUnsafe(Exit.void)
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Closed", buffered: 1, slowRate: 0 })
      yield* TestClock.adjust("200 millis")
      slow.recordUnsafe(Exit.void)
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Open" })
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(breaker.tryAcquire)))
    }))

  it.effect("of a probe that is never settled loses its place after its lease", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breaker = yield* CircuitBreaker.make(options)
      yield* Effect.exit(breaker.execute(down))
      yield* TestClock.adjust("1 second")
      const lost = yield* breaker.tryAcquire
      yield* TestClock.adjust("59 seconds")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(breaker.tryAcquire)))
      yield* TestClock.adjust("1 second")
      yield* breaker.execute(Effect.void)
      yield* lost.record(down)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("of noop takes anything", () =>
    Effect.gen(function*() {
      const { record, recordUnsafe, release } = yield* CircuitBreaker.noop.tryAcquire
      yield* record(down)
      recordUnsafe(down)
      yield* release
      const isolation = yield* CircuitBreaker.noop.isolate
      yield* isolation.release
      assert.strictEqual(yield* stateOf(CircuitBreaker.noop), "Closed")
      assert.isFalse(CircuitBreaker.isLocal(CircuitBreaker.noop))
    }))
})

describe("a saved state", () => {
  const rules = [
    CircuitBreaker.consecutive(9),
    CircuitBreaker.rate({ size: 4, minimumCalls: 4, threshold: 0.75 }),
    CircuitBreaker.rateWithin({ within: "10 seconds", minimumCalls: 20 }),
    CircuitBreaker.slow({ slowerThan: "1 second", size: 4, minimumCalls: 4, threshold: 0.75 })
  ]

  it.effect("is JSON, has a schema on demand, and goes on where it ended", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const before = yield* CircuitBreaker.make({ tripPolicy: rules })
      for (const [exit, took] of [[Exit.void, 0], [down, 1500], [down, 0]] as const) {
        const permit = yield* before.tryAcquire
        yield* TestClock.adjust(took)
        yield* permit.record(exit)
      }
      const text = JSON.stringify(yield* before.save)
      const saved = yield* FieldCodec.decode(CircuitBreaker.saved, JSON.parse(text))
      assert.deepStrictEqual(saved.windows, [
        { streak: [2] },
        { outcomes: [0, 1, 1] },
        { calls: [0, 0, 0, 0, 0, 0, 0, 0, 1, 2], marked: [0, 0, 0, 0, 0, 0, 0, 0, 0, 2], sliceMillis: [1000] },
        { outcomes: [0, 3, 1] }
      ])
      const after = yield* CircuitBreaker.make({ tripPolicy: rules })
      yield* after.restore(saved)
      assert.deepStrictEqual(yield* after.snapshot, yield* before.snapshot)
      yield* Effect.exit(after.execute(down))
      assert.deepInclude(yield* after.snapshot, { _tag: "Open", buffered: 4, failureRate: 0.75, slowRate: 0.25 })
    }))

  it.effect("of an open circuit counts the time between", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const backoff = { base: "10 seconds", cap: "1 minute", jitter: "none" } as const
      const make = CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1), openDuration: backoff })
      const before = yield* make
      yield* Effect.exit(before.execute(down))
      yield* TestClock.adjust("10 seconds")
      yield* Effect.exit(before.execute(down))
      const saved = yield* before.save
      yield* TestClock.adjust("15 seconds")
      const after = yield* make
      yield* after.restore(saved)
      const error = yield* Effect.flip(after.execute(Effect.void))
      assert.strictEqual(error.message, "The circuit \"default\" is open. Try again in 5s.")
      yield* TestClock.adjust("5 seconds")
      yield* Effect.exit(after.execute(down))
      const third = yield* Effect.flip(after.execute(Effect.void))
      assert.strictEqual(third.message, "The circuit \"default\" is open. Try again in 40s.")
    }))

  it.effect("of another trip policy leaves its counts and takes the rest", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const before = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(5) })
      yield* Effect.exit(before.execute(down))
      const after = yield* CircuitBreaker.make({ tripPolicy: [CircuitBreaker.rate(), CircuitBreaker.rateWithin()] })
      yield* after.restore(yield* before.save)
      assert.deepInclude(yield* after.snapshot, { _tag: "Closed", buffered: 0 })
      const open = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      yield* Effect.exit(open.execute(down))
      yield* after.restore(yield* open.save)
      assert.strictEqual(yield* stateOf(after), "Open")
    }))

  it.effect("changes nothing that people or the mode have set", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const open = yield* CircuitBreaker.make(options)
      yield* Effect.exit(open.execute(down))
      const saved = yield* open.save
      const trial = yield* CircuitBreaker.make({ ...options, mode: "metricsOnly" })
      yield* trial.restore(saved)
      assert.strictEqual(yield* stateOf(trial), "MetricsOnly")
      const isolated = yield* CircuitBreaker.make(options)
      const isolation = yield* isolated.isolate
      yield* isolated.restore(saved)
      assert.strictEqual(yield* stateOf(isolated), "Isolated")
      yield* isolation.release
      assert.strictEqual(yield* stateOf(isolated), "Closed")
    }))

  it.effect("of a clock that was ahead, or of longer open times, does not keep the circuit open for longer than allowed", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breaker = yield* CircuitBreaker.make({ ...options, maxOpenDuration: "2 seconds" })
      yield* breaker.restore({
        state: "Open",
        savedAt: 1e15,
        consecutiveOpenings: 1e9,
        openMillis: 1e9,
        restMillis: 1e9,
        stableMillis: 0
      })
      yield* TestClock.adjust("2 seconds")
      yield* breaker.execute(Effect.void)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("that counts more failures than calls does not make the failure rate more than 1", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.proportional({}) })
      const windows = [{ calls: Array(10).fill(1), marked: Array(10).fill(5), sliceMillis: [1000] }]
      yield* breaker.restore({ ...yield* breaker.save, windows })
      assert.deepInclude(yield* breaker.snapshot, { buffered: 10, failureRate: 1 })
    }))

  it.effect("that makes no sense is an error, and its path is named", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make(options)
      const saved = yield* breaker.save
      assert.throws(
        () => breaker.restore({ ...saved, restMillis: -1 }),
        RangeError,
        "CircuitBreaker.restore.restMillis"
      )
      const exit = yield* Effect.exit(FieldCodec.decode(Field.struct({ saved: CircuitBreaker.saved }), { saved: {} }))
      assert.isTrue(Exit.isFailure(exit))
    }))
})
