import { StoreTimeout } from "@effect-resilience/deadline"
import * as Lease from "@effect-resilience/deadline/Lease"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"

describe("Lease", () => {
  const backends = {
    memory: Lease.layerMemory,
    sql: Lease.layerSql.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
  }
  for (const [name, layer] of Object.entries(backends)) {
    it.live(`has one owner, who can extend it, and can be taken over after its end (${name})`, () =>
      Effect.gen(function*() {
        const lease = yield* Lease.Lease
        assert.isTrue(yield* lease.acquire("k", "a", 100))
        assert.isFalse(yield* lease.acquire("k", "b", 100))
        assert.isTrue(yield* lease.acquire("other", "b", 100))
        assert.isTrue(yield* lease.acquire("k", "a", 300))
        yield* Effect.sleep(120)
        assert.isFalse(yield* lease.acquire("k", "b", 100))
        yield* lease.release("k", "b")
        assert.isFalse(yield* lease.acquire("k", "b", 100))
        yield* Effect.sleep(200)
        assert.isTrue(yield* lease.acquire("k", "b", 100))
        yield* lease.release("k", "b")
        assert.isTrue(yield* lease.acquire("k", "c", 100))
      }).pipe(Effect.provide(layer)))
  }
})

describe("Lease.withTimeout", () => {
  it.effect("releases a lease that was granted too late", () =>
    Effect.gen(function*() {
      const memory = yield* Lease.Lease
      const gate = yield* Deferred.make<void>()
      const slow = Lease.withTimeout({
        acquire: (...lease) => Effect.uninterruptible(Effect.andThen(Deferred.await(gate), memory.acquire(...lease))),
        release: memory.release
      }, StoreTimeout.make("1 second"))
      const late = yield* Effect.forkChild(Effect.flip(slow.acquire("login", "one", "1 hour")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(late))._tag, "LeaseError")
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      assert.isTrue(yield* memory.acquire("login", "two", "1 hour"))
    }).pipe(Effect.provide(Lease.layerMemory)))
})
