/**
 * Reads the time before which a server does not want another request.
 *
 * **Details**
 *
 * Reads the two forms of RFC 9110, section 10.2.3 (a number of seconds, or an HTTP date), and what servers send instead:
 * fractions of a second, zones other than GMT, RFC 3339 dates, and several values, of which the latest counts. Also reads
 * these headers in milliseconds:
 *
 * | header | of |
 * | --- | --- |
 * | `retry-after-ms` | [Azure and OpenAI](https://learn.microsoft.com/azure/ai-services/openai/how-to/quota) |
 * | `x-ms-retry-after-ms` | [Azure Cosmos DB](https://learn.microsoft.com/rest/api/cosmos-db/common-cosmosdb-rest-response-headers) |
 * | `x-amz-retry-after` | [AWS SDKs, retry behavior 2.1](https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html) |
 *
 * A date is relative to the response's own `Date`, so it is right even if the server's clock is wrong. Anything else reads as
 * `undefined`: a client must not wait for a time that the server did not name.
 *
 * **Gotchas**
 *
 * The result has no upper limit. A server can ask for a year; the caller that waits decides how much is too much.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { longer, parseDate, serverTime, until } from "./internal/dates.ts"
import { decimal } from "./internal/decimal.ts"

/**
 * Reads a `Retry-After` value at the current time in epoch milliseconds. A date in the past is zero. Of several values, as
 * from a header that was sent twice, the longest counts.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (value: string | undefined, nowMillis: number): Duration.Duration | undefined => {
  let longest: Duration.Duration | undefined
  let weekday = ""
  for (const part of value?.split(",") ?? []) {
    // The comma after a weekday belongs to the date.
    const text = weekday + part.trim()
    weekday = /^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*$/i.test(text) ? `${text}, ` : ""
    if (weekday === "") longest = longer(longest, parseOne(text, nowMillis))
  }
  return longest
}

/**
 * Reads the first header that names a time: `retry-after-ms`, `x-ms-retry-after-ms`, `x-amz-retry-after`, then
 * `retry-after`. Header names are lower case, as in `effect/http/Headers`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromHeaders = (
  headers: { readonly [name: string]: string | undefined },
  nowMillis: number
): Duration.Duration | undefined => {
  for (const name of inMilliseconds) {
    const millis = decimal(headers[name])
    if (millis !== undefined) return Duration.millis(millis)
  }
  const value = headers["retry-after"]
  return value === undefined ? undefined : parse(value, serverTime(headers, nowMillis))
}

const inMilliseconds = ["retry-after-ms", "x-ms-retry-after-ms", "x-amz-retry-after"]

const parseOne = (text: string, nowMillis: number): Duration.Duration | undefined => {
  const seconds = decimal(text)
  return seconds === undefined ? until(parseDate(text), nowMillis) : Duration.seconds(seconds)
}
