import { CircuitBreaker } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import * as StaleIfError from "@effect-resilience/limit/StaleIfError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema } from "effect"
import { CircuitBreaker as BreakerStore, Persistence, RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"

// A store behind a partition: no response, and no way to interrupt the wait for one.
const silent = Effect.uninterruptible(Effect.never)

const stores = Layer.mergeAll(
  Layer.succeed(BreakerStore.CircuitBreakerStore, { admit: () => silent, record: () => silent, state: () => silent }),
  Layer.mock(RateLimiter.RateLimiter)({ [RateLimiter.TypeId]: RateLimiter.TypeId, consume: () => silent }),
  Layer.mock(Persistence.Persistence)({
    make: () =>
      Effect.succeed({
        get: () => silent,
        getMany: () => silent,
        set: () => silent,
        setMany: () => silent,
        remove: () => silent,
        clear: silent
      })
  })
)

const breaker = (onStoreError?: "allow" | "fail") =>
  SharedCircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(2), onStoreError })

/** What comes of an effect, and after how many milliseconds; `undefined` where it has not ended by then. */
const after = <A, E>(millis: number, self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkDetach(self, { startImmediately: true })
    yield* TestClock.adjust(millis - 1)
    assert.isUndefined(fiber.pollUnsafe())
    yield* TestClock.adjust(1)
    return fiber.pollUnsafe()
  })

describe("a store that is silent", () => {
  it.effect("holds a call through the shared breaker up for its time limit only", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const [open, closed] = [yield* breaker(), yield* breaker("fail")]
      assert.deepStrictEqual(yield* after(1000, open.execute(Effect.succeed("ran"))), Exit.succeed("ran"))
      assert.deepStrictEqual(yield* open.execute(Effect.succeed("at once")), "at once")
      assert.strictEqual((yield* open.snapshot)._tag, "Closed")
      const error = yield* after(1000, Effect.flip(closed.execute(Effect.succeed("ran"))))
      assert.isTrue(error !== undefined && Exit.isSuccess(error) && error.value.state === "Unknown")
    }).pipe(Effect.provide(stores)))

  it.effect("lets an interrupted caller of the shared breaker go", () =>
    Effect.gen(function*() {
      const circuit = yield* breaker()
      const caller = yield* Effect.forkChild(circuit.execute(Effect.never), { startImmediately: true })
      const interrupt = yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupt)
    }).pipe(Effect.provide(stores)))

  it.effect("that falls silent during a call withholds no result", () =>
    Effect.gen(function*() {
      const memory = yield* BreakerStore.CircuitBreakerStore
      const circuit = yield* Effect.provideService(breaker(), BreakerStore.CircuitBreakerStore, {
        ...memory,
        record: () => silent
      })
      assert.deepStrictEqual(yield* after(1000, circuit.execute(Effect.succeed("ran"))), Exit.succeed("ran"))
    }).pipe(Effect.provide(BreakerStore.layerStoreMemory())))

  it.effect("does not stop a pacer, and no pacer waits for it longer than `storeTimeout`", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const options = { limit: 1, window: "1 second", maxWait: "100 millis", storeTimeout: "200 millis" } as const
      const [allows, fails] = [yield* Pacer.make(options), yield* Pacer.make({ ...options, onStoreError: "fail" })]
      const ten = Effect.all(Array.from({ length: 10 }, () => allows.execute(Effect.void)), { concurrency: 10 })
      assert.isTrue(Exit.isSuccess((yield* after(200, ten)) ?? Exit.die("still waiting")))
      // What a failure asks for is not shared then, and holds nothing up either.
      yield* allows.pause("50 millis")
      const failed = yield* after(200, Effect.flip(fails.execute(Effect.void)))
      assert.isTrue(failed !== undefined && Exit.isSuccess(failed) && failed.value.reason === "Store")
    }).pipe(Effect.provide(stores)))

  it.effect("neither keeps nor hides a result", () =>
    Effect.gen(function*() {
      const rates = yield* StaleIfError.make({ storeId: "rates", schema: Schema.Number, when: () => true })
      assert.deepStrictEqual(yield* after(1000, rates.execute(Effect.succeed(1.08), "EURUSD")), Exit.succeed(1.08))
      assert.strictEqual(yield* Effect.flip(rates.execute(Effect.fail("down"), "EURUSD")), "down")
    }).pipe(Effect.provide(stores)))

  it("needs a time limit that is one", () => {
    assert.throws(() => SharedCircuitBreaker.make({ storeTimeout: 0 }), RangeError)
    assert.throws(() => Pacer.make({ limit: 1, window: 1, storeTimeout: -1 }), RangeError)
    assert.throws(() => StaleIfError.make({ storeId: "a", schema: Schema.Number, storeTimeout: 0 }), RangeError)
  })
})
