import { SharedTokens, TokenSource } from "@effect-resilience/auth"
import * as Lease from "@effect-resilience/deadline/Lease"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import { Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"

describe("SharedTokens.make", () => {
  // Without this the next login waited 15 seconds, until the lease expired.
  it.effect("gives back a lease that the store grants to a caller who is gone", () =>
    Effect.gen(function*() {
      let holder: string | undefined
      const slow = Lease.Lease.of({
        acquire: (_, owner) =>
          Effect.andThen(
            Effect.sync(() => {
              if (holder !== undefined && holder !== owner) return false
              holder = owner
              return true
            }),
            (taken) => Effect.delay(Effect.succeed(taken), "50 millis")
          ),
        release: (_, owner) =>
          Effect.sync(() => {
            if (holder === owner) holder = undefined
          })
      })
      const source = TokenSource.fromEffect(Effect.succeed({ value: Redacted.make("token") }), { identity: ["me"] })
      const shared = yield* SharedTokens.make(source, { key: Redacted.make("k".repeat(32)) }).pipe(
        Effect.provideService(Lease.Lease, slow)
      )
      const gone = yield* Effect.forkChild(shared.acquire(undefined))
      while (holder === undefined) yield* Effect.promise(() => new Promise(setImmediate))
      yield* Fiber.interrupt(gone)
      assert.isUndefined(holder)
      const next = yield* Effect.forkChild(shared.acquire(undefined))
      while (holder === undefined) yield* Effect.promise(() => new Promise(setImmediate))
      yield* TestClock.adjust("50 millis")
      assert.strictEqual(Redacted.value((yield* Fiber.join(next)).value), "token")
    }).pipe(Effect.provide(Persistence.layerBackingMemory)))
})
