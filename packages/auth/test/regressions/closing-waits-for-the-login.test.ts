import { TokenCache, TokenSource } from "@effect-resilience/auth"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"

describe("TokenCache.make", () => {
  // What the login uses, a store's connection for example, is closed right after the cache.
  const closing = (name: string, before: (waiting: Fiber.Fiber<unknown, unknown>) => Effect.Effect<unknown>) =>
    it.effect(`waits for the login to release what it uses before its scope is closed, ${name}`, () =>
      Effect.gen(function*() {
        const happened: Array<string> = []
        const say = (what: string) => Effect.sync(() => happened.push(what))
        const login = Effect.onInterrupt(Effect.never, () => Effect.andThen(Effect.sleep("1 second"), say("released")))
        const scope = yield* Scope.make()
        const cache = yield* TokenCache.make(TokenSource.fromEffect(login, { identity: ["me"] })).pipe(
          Scope.provide(scope)
        )
        const waiting = yield* Effect.forkChild(cache.get, { startImmediately: true })
        yield* before(waiting)
        const closed = yield* Effect.forkChild(Effect.andThen(Scope.close(scope, Exit.void), say("closed")))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(closed)
        assert.deepStrictEqual(happened, ["released", "closed"])
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(waiting)))
      }))

  closing("while a caller waits for it", () => Effect.void)
  closing("when the last waiter has just left", Fiber.interrupt)
})
