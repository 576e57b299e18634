/**
 * Reads what a server says about its rate limit.
 *
 * **Details**
 *
 * Understands, in this order:
 *
 * - `RateLimit: "name";r=50;t=30` (draft-ietf-httpapi-ratelimit-headers from 08 on) and
 *   `RateLimit: limit=100, remaining=50, reset=30` (07); with several policies the tightest counts;
 * - `RateLimit-Remaining` and `RateLimit-Reset` (up to 06);
 * - `X-RateLimit-Remaining` with `X-RateLimit-Reset-After` or `X-RateLimit-Reset`, which is a number of seconds at some
 *   servers and an epoch time in seconds or milliseconds at others: a number beyond a year is an epoch time.
 *
 * What cannot be read is left out.
 *
 * **Example** (Three dialects)
 *
 * ```ts import.meta.vitest
 * import { RateLimitHeaders } from "@effect-resilience/limit"
 * import { Duration } from "effect"
 *
 * const now = Date.UTC(2026, 0, 1)
 * const inMinute = Duration.minutes(1)
 * const some = [
 *   RateLimitHeaders.parse({ ratelimit: "\"burst\";r=0;t=60" }, now),
 *   RateLimitHeaders.parse({ "ratelimit-remaining": "0", "ratelimit-reset": "60" }, now),
 *   RateLimitHeaders.parse({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now / 1000 + 60) }, now)
 * ]
 * some // => [1, 2, 3].map(() => ({ remaining: 0, resetAfter: inMinute }))
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * How much may still be sent before the limit is renewed, and when that is.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimit {
  readonly remaining: number
  readonly resetAfter: Duration.Duration
}

/**
 * Reads the headers of a response against the current time in epoch milliseconds. Names are lower case, as in
 * `effect/http/Headers`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (
  headers: { readonly [name: string]: string | undefined },
  nowMillis: number
): RateLimit | undefined =>
  tightest(headers["ratelimit"]) ??
    make(headers["ratelimit-remaining"], headers["ratelimit-reset"], nowMillis) ??
    make(headers["x-ratelimit-remaining"], headers["x-ratelimit-reset-after"], nowMillis) ??
    make(headers["x-ratelimit-remaining"], headers["x-ratelimit-reset"], nowMillis)

const tightest = (value: string | undefined): RateLimit | undefined => {
  if (value === undefined) return undefined
  const policies = /\bremaining\s*=/.test(value) ? [value] : value.split(",")
  let found: RateLimit | undefined
  for (const policy of policies) {
    const remaining = parameter(policy, "r|remaining")
    const reset = parameter(policy, "t|reset")
    if (remaining === undefined || reset === undefined) continue
    if (found === undefined || remaining < found.remaining) {
      found = { remaining, resetAfter: Duration.seconds(reset) }
    }
  }
  return found
}

const parameter = (policy: string, names: string): number | undefined => {
  const match = new RegExp(`(?:^|[;,\\s])(?:${names})\\s*=\\s*(\\d+)`).exec(policy)
  return match === null ? undefined : Number(match[1])
}

const yearInSeconds = 31_536_000

const make = (remaining: string | undefined, reset: string | undefined, nowMillis: number): RateLimit | undefined => {
  const left = number(remaining)
  const value = number(reset)
  if (left === undefined || value === undefined) return undefined
  if (value <= yearInSeconds) return { remaining: left, resetAfter: Duration.seconds(value) }
  const epochMillis = value > yearInSeconds * 1000 ? value : value * 1000
  return { remaining: left, resetAfter: Duration.millis(Math.max(0, epochMillis - nowMillis)) }
}

const number = (value: string | undefined): number | undefined =>
  value !== undefined && /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) : undefined
