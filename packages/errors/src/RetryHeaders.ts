/**
 * Reads what the headers of an error response say about retries.
 *
 * **Details**
 *
 * - `retryAfter`: the time of `Retry-After` and similar headers (`RetryAfter`), otherwise the time until the reset of a rate
 *   limit that is used up (`RateLimitHeaders`).
 * - `recovery`: present if the headers say more than the status. `x-should-retry: true` or `false`
 *   ([OpenAI](https://github.com/openai/openai-node), [Anthropic](https://github.com/anthropics/anthropic-sdk-typescript)
 *   and other SDKs by Stainless) decides for any status. `x-amz-retry-after` asks for a retry, as in the
 *   [AWS SDKs](https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
 *
 * **Example** (A quota that does not reset)
 *
 * ```ts import.meta.vitest
 * import { Recovery, RetryHeaders } from "@effect-resilience/errors"
 *
 * const headers = { "x-should-retry": "false", "retry-after": "5" }
 * RetryHeaders.read({ status: 429, headers }, Date.UTC(2026, 0, 1)).recovery // => Recovery.giveUp
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as RateLimitHeaders from "./RateLimitHeaders.ts"
import * as Recovery from "./Recovery.ts"
import * as RetryAfter from "./RetryAfter.ts"

/**
 * What the headers say.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryHeaders {
  /** The time before which the server wants no other request; `undefined` if it names none. */
  readonly retryAfter: Duration.Duration | undefined
  /** What the server wants; `undefined` if the headers do not say. */
  readonly recovery: Recovery.Recovery | undefined
}

/**
 * Reads a response at the current time in epoch milliseconds. Header names are lower case, as in `effect/http/Headers`.
 *
 * - `status`: the HTTP status.
 * - `headers`: by lower-case name.
 *
 * @category parsing
 * @since 0.1.0
 */
export const read = (
  response: { readonly status: number; readonly headers: RateLimitHeaders.Headers },
  nowMillis: number
): RetryHeaders => {
  const { headers, status } = response
  const retryAfter = RetryAfter.fromHeaders(headers, nowMillis) ??
    (unlimited.has(status) ? undefined : RateLimitHeaders.exhaustedFor(response, nowMillis))
  return { retryAfter, recovery: recoveryOf(response, retryAfter) }
}

const recoveryOf = (
  { headers, status }: { readonly status: number; readonly headers: RateLimitHeaders.Headers },
  retryAfter: Duration.Duration | undefined
): Recovery.Recovery | undefined => {
  const said = headers["x-should-retry"]?.trim().toLowerCase()
  if (said === "false") return Recovery.fromStatus(status, retryAfter)._tag === "Retry" ? Recovery.giveUp : undefined
  return said === "true" || (retryAfter !== undefined && headers["x-amz-retry-after"] !== undefined)
    ? Recovery.retryAs(Recovery.kindOfStatus(status), retryAfter)
    : undefined
}

// The reset of a rate limit does not end a conflict or a lock, or make a body smaller.
const unlimited: ReadonlySet<number> = /* @__PURE__ */ new Set([409, 413, 423])
