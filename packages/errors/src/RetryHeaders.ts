/**
 * What the headers of an error response say about trying again.
 *
 * **Details**
 *
 * - `retryAfter`: the time of `Retry-After` or its kin (`RetryAfter`), otherwise that until a rate limit is renewed that is
 *   used up (`RateLimitHeaders`).
 * - `recovery`: where the server says more than its status. `x-should-retry: true` or `false`
 *   ([OpenAI](https://github.com/openai/openai-node), [Anthropic](https://github.com/anthropics/anthropic-sdk-typescript)
 *   and other SDKs by Stainless) decides whatever the status is. `x-amz-retry-after` asks for another try, as in the
 *   [AWS SDKs](https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
 *
 * **Example** (A quota that no waiting renews)
 *
 * ```ts import.meta.vitest
 * import { Recovery, RetryHeaders } from "@effect-resilience/errors"
 *
 * const headers = { "x-should-retry": "false", "retry-after": "5" }
 * RetryHeaders.read({ status: 429, headers }, Date.UTC(2026, 0, 1)).recovery // => Recovery.giveUp
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as RateLimitHeaders from "./RateLimitHeaders.ts"
import * as Recovery from "./Recovery.ts"
import * as RetryAfter from "./RetryAfter.ts"

/**
 * What a response says.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryHeaders {
  readonly retryAfter: Duration.Duration | undefined
  readonly recovery: Recovery.Recovery | undefined
}

/**
 * Reads a response against the current time in epoch milliseconds. Names of headers are lower case, as in
 * `effect/http/Headers`.
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
  switch (headers["x-should-retry"]?.trim().toLowerCase()) {
    case "true":
      return { retryAfter, recovery: retryOf(retryAfter) }
    case "false": {
      const retried = Recovery.fromStatus(status, retryAfter)._tag === "Retry"
      return { retryAfter, recovery: retried ? Recovery.giveUp : undefined }
    }
    default: {
      const asks = retryAfter !== undefined && headers["x-amz-retry-after"] !== undefined
      return { retryAfter, recovery: asks ? retryOf(retryAfter) : undefined }
    }
  }
}

// A conflict, a lock and a size that is too large stay when a rate limit is renewed.
const unlimited: ReadonlySet<number> = /* @__PURE__ */ new Set([409, 413, 423])

const retryOf = (after: Duration.Duration | undefined): Recovery.Recovery =>
  after === undefined ? Recovery.retry : Recovery.retryAfter(after)
