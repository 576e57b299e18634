/** The tests that others have for their budgets, as tables. Those of the AWS SDKs are in `aws2026.ts`. */

/** `ttl` in seconds; what 10,000 calls may retry while time stands still, give or take one. */
export const finagle = {
  source: "Finagle, RetryBudgetTest.scala, at 4feb34c (2024-10-23)",
  url:
    "https://github.com/twitter/finagle/blob/4feb34cb/finagle-core/src/test/scala/com/twitter/finagle/service/RetryBudgetTest.scala",
  calls: 10_000,
  vectors: [
    ...[0.1, 0.5, 0.25, 0.75, 0.99, 0.999, 0.9999, 0.01, 0.001, 0.0001].map((ratio) => (
      { ttl: 60, minPerSecond: 0, ratio, initial: 0, retried: Math.floor(10_000 * ratio) }
    )),
    { ttl: 1, minPerSecond: 10, ratio: 0, initial: 10, retried: 10 },
    { ttl: 2, minPerSecond: 5, ratio: 0, initial: 10, retried: 10 },
    { ttl: 1, minPerSecond: 10, ratio: 0.1, initial: 10, retried: 1010 },
    { ttl: 2, minPerSecond: 5, ratio: 0.5, initial: 10, retried: 5010 }
  ],
  /** Twice as many retries as calls, asked for at the end. */
  above1: { ratio: 2, balance: 20_000 }
} as const

/** Tokens after each failure or success, and whether a retry may follow. */
export const grpc = {
  source: "gRPC core, retry_throttle_test.cc, Basic, at 01e03e2; the rule is that of gRPC A6",
  url: "https://github.com/grpc/grpc/blob/01e03e22/test/core/client_channel/retry_throttle_test.cc",
  maxTokens: 4,
  tokenRatio: 1.6,
  vectors: [
    ["failure", 3, true],
    ["success", 4, true],
    ["failure", 3, true],
    ["failure", 2, false],
    ["failure", 1, false],
    ["failure", 0, false],
    ["failure", 0, false],
    ["success", 1.6, false],
    ["success", 3.2, true],
    ["failure", 2.2, true],
    ["failure", 1.2, false],
    ["success", 2.8, true],
    ["failure", 1.8, false],
    ["success", 3.4, true],
    ["failure", 2.4, true]
  ],
  /** A6, "Throttling Retry Attempts and Hedged RPCs": above 5 of 10 tokens calls are retried. */
  example: { maxTokens: 10, tokenRatio: 0.1, failuresUntilThrottled: 5, successesPerFailure: 10 }
} as const

/** Whether one more retry may run, where `retries` of the `active` requests are retries. */
export const envoy = {
  source:
    "Envoy, CircuitBreakers.Thresholds.RetryBudget: budget_percent of the active requests, at least min_retry_concurrency; failsafe-go has the same defaults",
  url:
    "https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/circuit_breaker.proto#config-cluster-v3-circuitbreakers-thresholds-retrybudget",
  defaults: { ratio: 0.2, min: 3 },
  vectors: [
    { ratio: 0.2, min: 3, active: 1, retries: 0, admitted: true },
    { ratio: 0.2, min: 3, active: 3, retries: 2, admitted: true },
    { ratio: 0.2, min: 3, active: 4, retries: 3, admitted: false },
    { ratio: 0.2, min: 3, active: 19, retries: 3, admitted: false },
    { ratio: 0.2, min: 3, active: 20, retries: 3, admitted: true },
    { ratio: 0.2, min: 3, active: 20, retries: 4, admitted: false },
    // "If there are 100 active requests and the budget_percent is set to 25, there may be 25 active retries."
    { ratio: 0.25, min: 3, active: 100, retries: 24, admitted: true },
    { ratio: 0.25, min: 3, active: 100, retries: 25, admitted: false },
    // 0.29 * 100 is less than 29 in floating point.
    { ratio: 0.29, min: 0, active: 100, retries: 28, admitted: true },
    { ratio: 0.2, min: 5, active: 5, retries: 4, admitted: true },
    { ratio: 0.2, min: 0, active: 4, retries: 0, admitted: false },
    { ratio: 1, min: 0, active: 4, retries: 3, admitted: true }
  ]
} as const
