import { TokenCache, TokenSource } from "@effect-resilience/auth"
import { RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

describe("TokenCache", () => {
  // Its deadline left no history, so an uploader waited for it four times.
  it.effect("gives a login that took too long a history of retries", () =>
    Effect.gen(function*() {
      let logins = 0
      const source = TokenSource.fromEffect(
        Effect.suspend(() => {
          logins += 1
          return Effect.never
        }),
        { identity: ["hangs"] }
      )
      const cache = yield* TokenCache.make(source, { timeout: "1 minute" })
      const call = yield* cache.get.pipe(
        RetryPolicy.retry(RetryPolicy.standard, { when: (error) => RetryPolicy.history(error) === undefined }),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(call)
      assert.strictEqual(error.reason._tag, "Unavailable")
      assert.isDefined(RetryPolicy.history(error))
      assert.strictEqual(logins, 1)
    }).pipe(Effect.scoped))
})
