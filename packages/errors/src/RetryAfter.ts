/**
 * Reads the time before which a server does not want to be asked again.
 *
 * **Details**
 *
 * Understands the two forms of RFC 9110, section 10.2.3 (a whole number of seconds, or an HTTP date) and the
 * millisecond headers of Azure (`retry-after-ms`, `x-ms-retry-after-ms`). Anything else is garbage and reads as
 * `undefined`: a client must not wait for a time that nobody named.
 *
 * **Gotchas**
 *
 * The result is not capped. A server can ask for a year; whoever waits decides how much is too much.
 *
 * **Example** (Both forms)
 *
 * ```ts import.meta.vitest
 * import { RetryAfter } from "@effect-resilience/errors"
 * import { Duration } from "effect"
 *
 * const now = Date.UTC(2026, 0, 1)
 * RetryAfter.parse("120", now) // => Duration.minutes(2)
 * RetryAfter.parse("Thu, 01 Jan 2026 00:00:05 GMT", now) // => Duration.seconds(5)
 * RetryAfter.parse("Wed, 31 Dec 2025 00:00:00 GMT", now) // => Duration.zero
 * RetryAfter.parse("soon", now) // => undefined
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

const wholeNumber = /^\d+$/

// IMF-fixdate, and the two obsolete forms that RFC 9110 still asks recipients to accept. `Date.parse` alone is far too
// lenient: it reads "-5" as a month.
const imfFixdate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/
const rfc850Date = /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/
const asctimeDate = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/

/**
 * Reads a `Retry-After` value against the current time in epoch milliseconds. A date in the past is zero.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (value: string | undefined, nowMillis: number): Duration.Duration | undefined => {
  const text = value?.trim()
  if (text === undefined) return undefined
  if (wholeNumber.test(text)) return Duration.seconds(Number(text))
  if (imfFixdate.test(text) || rfc850Date.test(text)) return until(Date.parse(text), nowMillis)
  if (asctimeDate.test(text)) return until(Date.parse(`${text} GMT`), nowMillis)
  return undefined
}

/**
 * Reads the first header that names a time: `retry-after-ms`, `x-ms-retry-after-ms`, then `retry-after`. Header names
 * are lower case, as in `effect/http/Headers`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromHeaders = (
  headers: { readonly [name: string]: string | undefined },
  nowMillis: number
): Duration.Duration | undefined =>
  parseMillis(headers["retry-after-ms"]) ??
    parseMillis(headers["x-ms-retry-after-ms"]) ??
    parse(headers["retry-after"], nowMillis)

const parseMillis = (value: string | undefined): Duration.Duration | undefined =>
  value !== undefined && wholeNumber.test(value.trim()) ? Duration.millis(Number(value)) : undefined

const until = (epochMillis: number, nowMillis: number): Duration.Duration | undefined => {
  const left = epochMillis - nowMillis
  return Number.isNaN(left) ? undefined : Duration.millis(Math.max(0, left))
}
