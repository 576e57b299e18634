/**
 * Reads a server's rate limit from the headers of a response.
 *
 * **Details**
 *
 * | headers | of |
 * | --- | --- |
 * | `RateLimit: "name";r=50;t=30`, and `limit=100, remaining=50, reset=30` | [draft-ietf-httpapi-ratelimit-headers](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/) from 08 on, and 07 |
 * | `RateLimit-Remaining`, `RateLimit-Reset` | the same draft up to 06; [GitLab](https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/) |
 * | `X-RateLimit-Remaining`, `X-RateLimit-Reset` | [GitHub](https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api) and many others |
 * | `X-RateLimit-Reset-After` | [Discord](https://discord.com/developers/docs/topics/rate-limits) |
 * | `X-Rate-Limit-Remaining`, `X-Rate-Limit-Reset` | [X](https://docs.x.com/x-api/fundamentals/rate-limits), [Okta](https://developer.okta.com/docs/reference/rl-best-practices/) |
 * | `X-RateLimit-Remaining-Requests`, `X-RateLimit-Reset-Requests`; `-Tokens` | [OpenAI](https://platform.openai.com/docs/guides/rate-limits), Groq, Azure OpenAI |
 * | `Anthropic-RateLimit-Requests-Remaining`, `-Reset`; `-Tokens-`, `-Input-Tokens-`, `-Output-Tokens-` | [Anthropic](https://docs.anthropic.com/en/api/rate-limits) |
 *
 * For some servers a reset is a number of seconds, for others an epoch time in seconds or milliseconds: a number larger than
 * a year is an epoch time. A reset may also be a date, or a duration such as `6m0s`. Instants are relative to the response's
 * `Date`.
 *
 * Of several limits, the one with the least left counts; of those used up, the one that resets last. Unreadable values are
 * ignored.
 *
 * **Example** (Three dialects)
 *
 * ```ts import.meta.vitest
 * import { RateLimitHeaders } from "@effect-resilience/errors"
 * import { Duration } from "effect"
 *
 * const now = Date.UTC(2026, 0, 1)
 * const inMinute = Duration.minutes(1)
 * const some = [
 *   RateLimitHeaders.parse({ ratelimit: "\"burst\";r=0;t=60" }, now),
 *   RateLimitHeaders.parse({ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s" }, now),
 *   RateLimitHeaders.parse({ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now / 1000 + 60) }, now)
 * ]
 * some // => [1, 2, 3].map(() => ({ remaining: 0, resetAfter: inMinute }))
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { longer, parseDate, serverTime, until } from "./internal/dates.ts"
import { decimal } from "./internal/decimal.ts"

/**
 * How much is left until the limit resets, and the time until then.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimit {
  /** How many requests, or units of the server's, are left. */
  readonly remaining: number
  /** The time until the limit starts afresh. */
  readonly resetAfter: Duration.Duration
}

/**
 * The headers of a response. Names are lower case, as in `effect/http/Headers`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Headers {
  readonly [name: string]: string | undefined
}

/**
 * Reads the headers of a response against the current time in epoch milliseconds.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (headers: Headers, nowMillis: number): RateLimit | undefined => {
  const now = serverTime(headers, nowMillis)
  let tightest: RateLimit | undefined
  const consider = (left: string | undefined, reset: Duration.Duration | undefined) => {
    const remaining = decimal(left)
    if (remaining === undefined || reset === undefined) return
    if (tightest === undefined || isTighter(remaining, reset, tightest)) tightest = { remaining, resetAfter: reset }
  }
  for (const policy of policies(headers["ratelimit"] ?? "")) consider(policy.remaining, seconds(decimal(policy.reset)))
  for (const [remaining, reset] of pairs) consider(headers[remaining], readReset(headers[reset], reset, now))
  return tightest
}

/**
 * The time until the reset of a limit that is used up. A 429 with a reset alone also says that its limit is used up.
 *
 * - `status`: the HTTP status.
 * - `headers`: by lower-case name.
 *
 * @category parsing
 * @since 0.1.0
 */
export const exhaustedFor = (
  response: { readonly status: number; readonly headers: Headers },
  nowMillis: number
): Duration.Duration | undefined => {
  const limit = parse(response.headers, nowMillis)
  if (limit !== undefined) return limit.remaining < 1 ? limit.resetAfter : undefined
  if (response.status !== 429) return undefined
  const now = serverTime(response.headers, nowMillis)
  let longest: Duration.Duration | undefined
  for (const [remaining, reset] of pairs) {
    if (response.headers[remaining] !== undefined) continue
    longest = longer(longest, readReset(response.headers[reset], reset, now))
  }
  return longest
}

const isTighter = (remaining: number, reset: Duration.Duration, than: RateLimit): boolean => {
  const more = Math.floor(remaining) - Math.floor(than.remaining)
  return more < 0 || (more === 0 && Duration.isGreaterThan(reset, than.resetAfter))
}

// Each with the header in whose name `reset` stands for `remaining`.
const remainders = [
  "ratelimit-remaining",
  "x-ratelimit-remaining",
  "x-rate-limit-remaining",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-remaining-tokens",
  "anthropic-ratelimit-requests-remaining",
  "anthropic-ratelimit-tokens-remaining",
  "anthropic-ratelimit-input-tokens-remaining",
  "anthropic-ratelimit-output-tokens-remaining"
]

const pairs: ReadonlyArray<readonly [remaining: string, reset: string]> = [
  ["x-ratelimit-remaining", "x-ratelimit-reset-after"],
  .../* @__PURE__ */ remainders.map((name) => [name, name.replace("remaining", "reset")] as const)
]

interface Policy {
  readonly remaining: string | undefined
  readonly reset: string | undefined
}

// A structured field (RFC 9651): commas and semicolons within quotes are not separators.
const policies = (value: string): ReadonlyArray<Policy> => {
  const members = value.match(/(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g) ?? []
  const items = members.map((member) => member.match(/(?:[^;"]|"(?:[^"\\]|\\.)*"?)+/g) ?? [])
  // In draft 07 the members themselves are the parameters.
  const flat = items.map(([item = ""]) => item)
  return [flat, ...items.map(([, ...parameters]) => parameters)].map(policyOf)
}

const policyOf = (parameters: ReadonlyArray<string>): Policy => {
  const values: { readonly [key: string]: string | undefined } = Object.fromEntries(parameters.map((parameter) => {
    const [key = "", value] = parameter.split("=", 2)
    return [key.trim().toLowerCase(), value]
  }))
  return { remaining: values["r"] ?? values["remaining"], reset: values["t"] ?? values["reset"] }
}

const yearInSeconds = 31_536_000

const readReset = (value: string | undefined, name: string, nowMillis: number): Duration.Duration | undefined => {
  const text = value?.trim() ?? ""
  const given = decimal(text)
  if (given === undefined) return span(text) ?? until(parseDate(text), nowMillis)
  if (given <= yearInSeconds || name.endsWith("-after")) return Duration.seconds(given)
  return until(given > yearInSeconds * 1000 ? given : given * 1000, nowMillis)
}

// A duration in Go's format. Not sticky, a long number that has no unit would be read from each of its digits to its end.
const span = (text: string): Duration.Duration | undefined => {
  let millis = 0
  const rest = text.replace(/(\d+(?:\.\d+)?)(ms?|s|h|d)/gy, (_, amount: string, unit: string) => {
    millis += Number(amount) * (units[unit] ?? 0)
    return ""
  })
  return text === "" || rest !== "" ? undefined : Duration.millis(millis)
}

const units: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const seconds = (value: number | undefined): Duration.Duration | undefined =>
  value === undefined ? undefined : Duration.seconds(value)
