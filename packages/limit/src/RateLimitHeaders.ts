/**
 * Reads what a server says about its rate limit; see `RateLimitHeaders` of `@effect-resilience/errors`.
 *
 * @since 0.1.0
 */
export * from "@effect-resilience/errors/RateLimitHeaders"
