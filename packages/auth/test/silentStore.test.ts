import { SharedTokens, TokenCache, TokenSource } from "@effect-resilience/auth"
import * as Lease from "@effect-resilience/deadline/Lease"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Redacted } from "effect"
import { Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"

const key = Redacted.make("0123456789abcdef0123456789abcdef")

// A store behind a partition: no response, and no way to interrupt the wait for one.
let waiting = 0
const silent = Effect.andThen(Effect.sync(() => waiting += 1), Effect.uninterruptible(Effect.never))

const silentStore = Layer.succeed(Persistence.BackingPersistence, {
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

const silentLease = Layer.succeed(Lease.Lease, { acquire: () => silent, release: () => silent })

const instant = TokenSource.fromEffect(Effect.succeed({ value: Redacted.make("token") }), { identity: ["K1"] })

describe("a store that is silent", () => {
  for (
    const [name, layer] of [
      ["store", Layer.merge(silentStore, Lease.layerMemory)],
      ["store of the leases", Layer.merge(Persistence.layerBackingMemory, silentLease)],
      ["store of both", Layer.merge(silentStore, silentLease)]
    ] as const
  ) {
    it.effect(`delays a token by its time limit only: ${name}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const source = yield* SharedTokens.make(instant, { key, storeTimeout: "300 millis" })
        const cache = yield* TokenCache.make(source)
        // Encryption takes real time. The test's time advances only while a call waits.
        waiting = 0
        const token = yield* Effect.forkChild(cache.get, { startImmediately: true })
        let elapsed = 0
        while (token.pollUnsafe() === undefined) {
          yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
          if (waiting === 0) continue
          waiting = 0
          elapsed += 300
          yield* TestClock.adjust("300 millis")
        }
        assert.isAtMost(elapsed, 1000)
        const exit = token.pollUnsafe()
        assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && Redacted.value(exit.value.value) === "token")
      }).pipe(Effect.scoped, Effect.provide(layer)))
  }

  it.effect("releases a caller that is interrupted", () =>
    Effect.gen(function*() {
      const source = yield* SharedTokens.make(instant, { key })
      const login = yield* Effect.forkChild(source.acquire(undefined), { startImmediately: true })
      yield* Fiber.interrupt(login)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(silentStore, silentLease))))

  it("rejects a time limit of 0", () => {
    assert.throws(() =>
      Effect.runSync(Effect.scoped(Effect.provide(
        SharedTokens.make(instant, { key, storeTimeout: 0 }),
        Layer.merge(Persistence.layerBackingMemory, Lease.layerMemory)
      ))), /StoreTimeout/)
  })
})
