/**
 * Reads when a token expires, in every form that servers use.
 *
 * **Details**
 *
 * All results are epoch milliseconds. What cannot be read is `undefined`, never a guess: `TokenCache` has a default lifetime
 * for that.
 *
 * **Example** (One instant, four notations)
 *
 * ```ts import.meta.vitest
 * import { Expiry } from "@effect-resilience/auth"
 *
 * Expiry.parse("1767225600") // => 1767225600000
 * Expiry.parse("1767225600000") // => 1767225600000
 * Expiry.parse("2026-01-01T00:00:00Z") // => 1767225600000
 * Expiry.parse("Thu, 01 Jan 2026 00:00:00 GMT") // => 1767225600000
 * Expiry.parse("tomorrow") // => undefined
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as RetryAfter from "@effect-resilience/errors/RetryAfter"
import * as Duration from "effect/Duration"
import type * as Cookies from "effect/http/Cookies"

/**
 * Reads a date that may be written as epoch seconds, epoch milliseconds, ISO 8601 (UTC where no zone is given) or an HTTP
 * date.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (value: string | undefined): number | undefined => {
  const text = value?.trim() ?? ""
  if (number.test(text)) return fromEpoch(Number(text))
  const iso = isoDate.exec(text)
  if (iso !== null) return valid(Date.parse(iso[1] === undefined ? `${text}Z` : text))
  const sinceEpoch = RetryAfter.parse(text, 0)
  return sinceEpoch === undefined ? undefined : Duration.toMillis(sinceEpoch)
}

/**
 * Reads a number of seconds or of milliseconds since 1970. Numbers under 100,000,000,000 are seconds: as milliseconds
 * they would lie before March 1973.
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromEpoch = (epoch: number): number | undefined => {
  if (!Number.isFinite(epoch) || epoch <= 0) return undefined
  return Math.round(epoch < 100_000_000_000 ? epoch * 1_000 : epoch)
}

/**
 * Reads a lifetime in seconds (OAuth 2's `expires_in`, a cookie's `Max-Age`) that began at `startedAt`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromSeconds = (seconds: number | undefined, startedAt: number): number | undefined =>
  seconds === undefined || !Number.isFinite(seconds) ? undefined : startedAt + Math.round(seconds * 1_000)

/**
 * Reads a cookie's end. `Max-Age` wins over `Expires` (RFC 6265, section 5.3). `Expires` is by the server's clock, so
 * the server's time is needed too.
 *
 * - `now`: the time by our clock, in epoch milliseconds.
 * - `serverNow`: the time by the server's clock, from its `Date` header, in epoch milliseconds; `undefined` if it sent none.
 *
 * @category parsing
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const fromCookie = (
  cookie: Cookies.Cookie,
  clocks: { readonly now: number; readonly serverNow: number | undefined }
): number | undefined => {
  const maxAge = cookie.options?.maxAge
  if (maxAge !== undefined) return clocks.now + Duration.toMillis(Duration.fromInputUnsafe(maxAge))
  return onOurClock(valid(cookie.options?.expires?.getTime()), clocks)
}

/**
 * The server's time, from a response's `Date` header.
 *
 * @category parsing
 * @since 0.1.0
 */
export const serverNow = (headers: { readonly [name: string]: string | undefined }): number | undefined =>
  parse(headers["date"])

/**
 * Moves an instant from the server's clock to ours, so that clocks that differ do not make a good token look expired.
 *
 * - `now`: the time by our clock, in epoch milliseconds.
 * - `serverNow`: the time by the server's clock, in epoch milliseconds; `undefined` takes both clocks for equal.
 *
 * **Example** (A server that is one hour ahead)
 *
 * ```ts import.meta.vitest
 * import { Expiry } from "@effect-resilience/auth"
 *
 * const hour = 3_600_000
 * Expiry.onOurClock(10 * hour, { now: 8 * hour, serverNow: 9 * hour }) // => 32400000
 * ```
 *
 * @category clocks
 * @since 0.1.0
 */
export const onOurClock = (
  expiresAt: number | undefined,
  clocks: { readonly now: number; readonly serverNow: number | undefined }
): number | undefined =>
  expiresAt === undefined || clocks.serverNow === undefined ? expiresAt : expiresAt - clocks.serverNow + clocks.now

const number = /^\d+(\.\d+)?$/
const isoDate = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/i

const valid = (epochMillis: number | undefined): number | undefined =>
  epochMillis === undefined || Number.isNaN(epochMillis) ? undefined : epochMillis
