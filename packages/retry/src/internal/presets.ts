import type * as Timeout from "@effect-resilience/deadline/Timeout"
import type { RetryPolicy } from "./policy.ts"
import { make } from "./policy.ts"

/**
 * Never tries again. Use it to switch retries off where a policy is configured.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: RetryPolicy = /* @__PURE__ */ make({ name: "noop", times: 0 })

/**
 * What `make` gives without options, for calls where nothing else is known: 4 attempts with full jitter, up to 500 millis,
 * 1 s and 2 s.
 *
 * @category presets
 * @since 0.1.0
 */
export const standard: RetryPolicy = /* @__PURE__ */ make()

/**
 * What vendors' guides show: 3 attempts, waiting 1 s and 2 s, without jitter. A fleet is better served by `standard`.
 *
 * @category presets
 * @since 0.1.0
 */
export const basic: RetryPolicy = /* @__PURE__ */ make({ times: 2, backoff: { base: "1 second", jitter: "none" } })

/**
 * The *standard* mode of the AWS SDKs before the change of 2026, in most languages: 3 attempts, full jitter up to 1 s and 2 s, at most
 * 20 s. The SDK for JavaScript begins with 100 millis. `aws2026` is what the change makes of it.
 *
 * Source: AWS SDKs and Tools Reference Guide, *Retry behavior*
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html). Its retry quota is a matter of
 * `AttemptBudget`.
 *
 * @category presets
 * @since 0.1.0
 */
export const aws: RetryPolicy = /* @__PURE__ */ make({ times: 2, backoff: { base: "1 second" } })

/**
 * The *standard* mode of the AWS SDKs with `AWS_NEW_RETRIES_2026=true`, which they announce as the default, from November 2026 at the
 * earliest: 3 attempts with full jitter, up to 50 and 100 millis after transient failures, up to 1 and 2 s after throttling, at most
 * 20 s. A server's time is clamped to at most 5 s more than the delay.
 *
 * A retry costs 14, after throttling 5. The SDKs' quota of 500 is `AttemptBudget.quota()`; a budget with the default `burst` of
 * 10 pays for none of them.
 *
 * Sources: the guide named at `aws`, and aws/aws-sdk-js-v3 #8037.
 *
 * @category presets
 * @since 0.1.0
 */
export const aws2026: RetryPolicy = /* @__PURE__ */ make({
  times: 2,
  backoff: { base: "50 millis" },
  cost: 14,
  kinds: { throttled: { backoff: { base: "1 second" }, cost: 5 } },
  maxRetryAfter: "Infinity",
  clampRetryAfter: "5 seconds"
})

/**
 * What the AWS SDKs do for DynamoDB and its streams with that setting: as `aws2026`, with 4 attempts, and up to 25, 50 and 100 millis
 * after transient failures.
 *
 * Sources: as for `aws2026`.
 *
 * @category presets
 * @since 0.1.0
 */
export const dynamodb2026: RetryPolicy = /* @__PURE__ */ make({
  times: 3,
  backoff: { base: "25 millis" },
  cost: 14,
  kinds: { throttled: { backoff: { base: "1 second" }, cost: 5 } },
  maxRetryAfter: "Infinity",
  clampRetryAfter: "5 seconds"
})

/**
 * The default of Google's Python client libraries: as many retries as fit into 2 minutes, full jitter up to 1 s,
 * doubling to 1 minute.
 *
 * Source: `google.api_core.retry` (https://googleapis.dev/python/google-api-core/latest/retry.html).
 *
 * @category presets
 * @since 0.1.0
 */
export const google: RetryPolicy = /* @__PURE__ */ make({
  times: Infinity,
  backoff: { base: "1 second", cap: "1 minute" },
  maxDuration: "2 minutes"
})

/**
 * The standard handler of Microsoft.Extensions.Http.Resilience, built on Polly 8: 4 attempts of 10 s at most, exponential
 * from 2 s with Polly's jitter, within 30 s.
 *
 * Source: *Build resilient HTTP apps* (https://learn.microsoft.com/dotnet/core/resilience/http-resilience).
 *
 * @category presets
 * @since 0.1.0
 */
export const polly: RetryPolicy<Timeout.TimedOut> = /* @__PURE__ */ make({
  times: 3,
  backoff: { base: "2 seconds", cap: "Infinity", jitter: "polly" },
  maxDuration: "30 seconds",
  attemptTimeout: "10 seconds"
})

/**
 * The example policy of gRPC's proposal A6: 4 attempts, 100 millis doubling to 1 s, give or take 20 %.
 *
 * Source: gRFC A6, *gRPC Retry Design* (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
 *
 * @category presets
 * @since 0.1.0
 */
export const grpc: RetryPolicy = /* @__PURE__ */ make({
  times: 3,
  backoff: { base: "100 millis", cap: "1 second", jitter: 0.2 }
})
