import * as Keyed from "@effect-resilience/kernel/Keyed"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RateLimiter from "effect/persistence/RateLimiter"

interface Bucket {
  tokens: number
  refilledAt: number
}

/**
 * Effect's `RateLimiter` in memory, but for token buckets: these follow the monotonic clock, and those of the 100,000 keys
 * used last are held. Effect's own follow the wall clock and are held for good.
 */
export const make: Effect.Effect<RateLimiter.RateLimiter> = /* @__PURE__ */ Effect.provide(
  /* @__PURE__ */ Effect.gen(function*() {
    const theirs = yield* RateLimiter.RateLimiterStore
    const buckets = Keyed.make<Bucket>({
      make: () => ({ tokens: Infinity, refilledAt: 0 }),
      isIdle: () => true
    })
    const tokenBucket: typeof theirs.tokenBucket = ({ allowOverflow, key, limit, refillRate, tokens }) =>
      Effect.withFiber((fiber) => {
        const now = monotonicMillis(fiber.getRef(Clock.Clock))
        const bucket = buckets.get(key)
        const interval = Duration.toMillis(refillRate)
        const refilled = Math.floor((now - bucket.refilledAt) / interval)
        bucket.tokens += refilled
        bucket.refilledAt += refilled * interval
        if (bucket.tokens >= limit) {
          bucket.tokens = limit
          bucket.refilledAt = now
        }
        const left = bucket.tokens - tokens
        if (allowOverflow || left >= 0) bucket.tokens = left
        return Effect.succeed([left, now - bucket.refilledAt] as const)
      })
    return yield* Effect.provideService(RateLimiter.make, RateLimiter.RateLimiterStore, { ...theirs, tokenBucket })
  }),
  RateLimiter.layerStoreMemory
)
