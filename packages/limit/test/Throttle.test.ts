import { ApiError, Recovery } from "@effect-resilience/errors"
import { Rejection, Throttle } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Random } from "effect"
import { TestClock } from "effect/testing"

const unavailable = Effect.fail(ApiError.reasonFromStatus(503, {}))

describe("Throttle", () => {
  it.effect("rejects with the probability of the book", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const throttle = yield* Throttle.make({ minimumCalls: 0 })
      for (let i = 0; i < 10; i++) yield* throttle.execute(Effect.void)
      for (let i = 0; i < 10; i++) yield* Effect.exit(throttle.execute(unavailable))
      assert.deepStrictEqual(yield* throttle.snapshot, { requests: 20, accepts: 10, probability: 0, rejected: 0 })
      yield* Effect.exit(throttle.execute(unavailable))
      assert.strictEqual((yield* throttle.snapshot).probability, 1 / 22)
    }))

  it.effect("counts what it rejects itself, so that it rejects nearly all while nothing is accepted", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make({ maxProbability: 1, minimumCalls: 0 })
      let sent = 0
      const call = Effect.andThen(Effect.sync(() => sent++), unavailable)
      for (let i = 0; i < 10_000; i++) yield* Effect.exit(throttle.execute(call))
      // The harmonic numbers: about ln 10,000 calls get through.
      assert.isBelow(sent, 30)
      assert.isAbove(sent, 3)
    }).pipe(Random.withSeed("throttle")))

  it.effect("sends about k times what the server takes", () =>
    Effect.gen(function*() {
      for (const k of [1.5, 2, 3]) {
        const throttle = yield* Throttle.make({ k, maxProbability: 1, window: "2 minutes" })
        let sent = 0
        let taken = 0
        for (let second = 0; second < 1000; second++) {
          // Twenty requests a second reach for a server that takes two.
          let room = 2
          const call = Effect.suspend(() => {
            sent++
            if (room-- <= 0) return unavailable
            taken++
            return Effect.void
          })
          for (let i = 0; i < 20; i++) yield* Effect.exit(throttle.execute(call))
          yield* TestClock.adjust("1 second")
        }
        assert.approximately(sent / taken, k, 0.2)
      }
    }).pipe(Random.withSeed("throttle")))

  it.effect("rejects nothing before the minimum of calls", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      for (let i = 0; i < 9; i++) yield* Effect.exit(throttle.execute(unavailable))
      assert.strictEqual((yield* throttle.snapshot).probability, 0)
      yield* Effect.exit(throttle.execute(unavailable))
      assert.strictEqual((yield* throttle.snapshot).probability, 0.8)
    }))

  for (const perSecond of [2, 10, 100]) {
    for (const down of [10, 120]) {
      it.effect(
        `lets ${perSecond} calls a second pass again within 20 s, after ${down} s without a server`,
        () =>
          Effect.gen(function*() {
            yield* TestClock.adjust("1 hour")
            const throttle = yield* Throttle.make()
            const second = (call: Effect.Effect<void, unknown>) =>
              Effect.gen(function*() {
                let passed = 0
                for (let i = 0; i < perSecond; i++) {
                  if (Exit.isSuccess(yield* Effect.exit(throttle.execute(call)))) passed++
                  yield* TestClock.adjust(1000 / perSecond)
                }
                return passed
              })
            for (let i = 0; i < down; i++) yield* second(unavailable)
            for (let i = 0; i < 20; i++) yield* second(Effect.void)
            let passed = 0
            for (let i = 0; i < 10; i++) passed += yield* second(Effect.void)
            assert.isAtLeast(passed, 0.95 * 10 * perSecond)
          }).pipe(Random.withSeed(perSecond * down)),
        30_000
      )
    }
  }

  it.effect("forgets what lies beyond its window", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      for (let i = 0; i < 100; i++) yield* Effect.exit(throttle.execute(unavailable))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* throttle.snapshot).probability, 0.8)
      const { rejected } = yield* throttle.snapshot
      assert.isAbove(rejected, 0)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* throttle.snapshot, { requests: 0, accepts: 0, probability: 0, rejected })
    }))

  it.effect("takes a 404 for accepted, and does not count an interruption", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      yield* Effect.exit(throttle.execute(Effect.fail(ApiError.reasonFromStatus(404, {}))))
      yield* Effect.exit(throttle.execute(Effect.interrupt))
      assert.deepStrictEqual(yield* throttle.snapshot, { requests: 1, accepts: 1, probability: 0, rejected: 0 })
    }))

  it.effect("rejects with an error that says to try again and that nothing was asked", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make({ name: "search" })
      for (let i = 0; i < 100; i++) yield* Effect.exit(throttle.execute(unavailable))
      const error = yield* Effect.flip(throttle.execute(Effect.void))
      assert.deepStrictEqual(error, new Throttle.Throttled({ policy: "search" }))
      assert.deepStrictEqual(Recovery.of(error), Recovery.retry)
      assert.isTrue(Rejection.isRejection(error))
    }).pipe(Random.withSeed("throttle")))

  it.effect("is provided by a layer, or by one that rejects nothing, and by key", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const throttle = yield* Throttle.Throttle
        for (let i = 0; i < 50; i++) yield* Effect.exit(Throttle.withThrottle(unavailable, throttle))
        return (yield* throttle.snapshot).probability > 0
      })
      assert.isTrue(yield* Effect.provide(program, Throttle.layer()))
      assert.isFalse(yield* Effect.provide(program, Throttle.layerNoop))
      const servers = yield* Throttle.keyed()
      for (let i = 0; i < 50; i++) yield* Effect.exit(servers.get("bad").execute(unavailable))
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(servers.get("good").execute(Effect.void))))
    }))

  it("rejects options that make no sense where they are written", () => {
    assert.throws(() => Throttle.make({ k: 0.5 }), RangeError)
    assert.throws(() => Throttle.make({ window: "1 millis" }), RangeError)
    assert.throws(() => Throttle.keyed({ capacity: 0 }), RangeError)
  })
})
