/**
 * Reads what a server says about its rate limit; see `RateLimitHeaders` of `@effect-resilience/errors`.
 *
 * **Example** (A limit that is used up)
 *
 * ```ts import.meta.vitest
 * import { RateLimitHeaders } from "@effect-resilience/limit"
 * import { Duration } from "effect"
 *
 * const headers = { "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "30" }
 * RateLimitHeaders.parse(headers, 0) // => { remaining: 0, resetAfter: Duration.seconds(30) }
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
export * from "@effect-resilience/errors/RateLimitHeaders"
