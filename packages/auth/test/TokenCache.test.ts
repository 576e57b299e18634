import { AuthError, TokenCache, TokenSource } from "@effect-resilience/auth"
import { Recovery } from "@effect-resilience/errors"
import { RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import { TestClock } from "effect/testing"

/** A login that takes `millis` and answers what `outcome` says; its successes live for `life`. */
const scripted = (options: {
  readonly millis?: number
  readonly life?: number | undefined
  readonly outcome?: (login: number) => AuthError.Reason | undefined
}) => {
  const record = { started: 0, finished: 0, interrupted: 0 }
  const acquire = Effect.gen(function*() {
    const login = ++record.started
    yield* Effect.sleep(options.millis ?? 30)
    const failure = options.outcome?.(login)
    if (failure !== undefined) return yield* Effect.fail(new AuthError.AuthError({ reason: failure }))
    record.finished += 1
    const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    return {
      value: Redacted.make(`token-${login}`),
      expiresAt: options.life === undefined ? undefined : now + options.life
    }
  }).pipe(Effect.onInterrupt(() =>
    Effect.sync(() => {
      record.interrupted += 1
    })
  ))
  return { record, source: TokenSource.fromEffect(acquire, { identity: ["scripted"] }) }
}

const unavailable = new AuthError.Unavailable({ detail: "503", recovery: Recovery.retry })
const rejected = new AuthError.Rejected({ detail: "wrong key" })
const minute = 60_000

describe("TokenCache", () => {
  it.effect("lets 50 cold callers share one login", () =>
    Effect.gen(function*() {
      const { record, source } = scripted({})
      const cache = yield* TokenCache.make(source)
      const fiber = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 50 }, () => cache.get), { concurrency: 50 })
      )
      yield* TestClock.adjust(30)
      const tokens = yield* Fiber.join(fiber)
      assert.deepStrictEqual(new Set(tokens.map((token) => token.generation)), new Set([1]))
      assert.strictEqual(record.started, 1)
    }))

  it.effect("hands the token out while it renews behind, and waits past the expiry", () =>
    Effect.gen(function*() {
      const { record, source } = scripted({ millis: 100, life: 60 * minute })
      const cache = yield* TokenCache.make(source)
      yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust(100)
      yield* TestClock.adjust(56 * minute)
      assert.strictEqual((yield* cache.get).generation, 1)
      assert.strictEqual(record.started, 2)
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* cache.get).generation, 2)
      yield* TestClock.adjust(61 * minute)
      const late = yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* Fiber.join(late)).generation, 3)
    }))

  it.effect("keeps a login going while one waiter is left, and stops it with the last", () =>
    Effect.gen(function*() {
      const { record, source } = scripted({ millis: 100 })
      const cache = yield* TokenCache.make(source)
      const fibers = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.forkChild(cache.get))
      yield* TestClock.adjust(50)
      yield* Fiber.interruptAll(fibers.slice(1))
      assert.strictEqual(record.interrupted, 0)
      yield* Fiber.interruptAll(fibers)
      assert.strictEqual(record.interrupted, 1)
      assert.strictEqual((yield* cache.status).waiting, 0)
    }))

  it.effect("gives a failure to all who wait, and asks again for the next", () =>
    Effect.gen(function*() {
      const { record, source } = scripted({ outcome: (login) => login === 1 ? unavailable : undefined })
      const cache = yield* TokenCache.make(source, { retry: RetryPolicy.none })
      const fibers = yield* Effect.forEach(Array.from({ length: 3 }), () => Effect.forkChild(Effect.flip(cache.get)))
      yield* TestClock.adjust(30)
      const errors = yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(errors.map((error) => error.reason._tag), ["Unavailable", "Unavailable", "Unavailable"])
      const next = yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust(30)
      assert.strictEqual((yield* Fiber.join(next)).generation, 1)
      assert.strictEqual(record.started, 2)
    }))

  it.effect("does not log in again with rejected credentials", () =>
    Effect.gen(function*() {
      const { record, source } = scripted({ outcome: () => rejected })
      const cache = yield* TokenCache.make(source)
      const first = yield* Effect.forkChild(Effect.flip(cache.get))
      yield* TestClock.adjust(30)
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "Rejected")
      assert.strictEqual((yield* Effect.flip(cache.get)).reason._tag, "Rejected")
      assert.strictEqual(record.started, 1)
    }))
})
