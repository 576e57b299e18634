/**
 * The AWS SDKs' retries since 2026, where chance draws its most.
 *
 * Source: smithy-lang/smithy-typescript at 6815d3e (2026-08-20), `util-retry/retries.integ.spec.ts` of `@smithy/core`, the cases
 * with `v2026` and the specification's tests. The same numbers stand in *Retry behavior* of the AWS SDKs and Tools Reference Guide
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
 */
export const source = "https://github.com/smithy-lang/smithy-typescript/tree/6815d3e96f3abc32e238bf6d806523aab81c6a8e"

type Kind = "transient" | "throttled"

/** The delay and the cost of each retry, after a failure of this kind. */
export const timings: ReadonlyArray<{
  readonly name: string
  readonly retries: ReadonlyArray<readonly [after: Kind, cost: number, delayMillis: number]>
}> = [
  {
    name: "8x, transient mixed",
    retries: [
      ["throttled", 5, 1000],
      ["throttled", 5, 2000],
      ["transient", 14, 200],
      ["transient", 14, 400],
      ["transient", 14, 800],
      ["transient", 14, 1600],
      ["throttled", 5, 20_000]
    ]
  },
  {
    name: "8x, throttling mixed",
    retries: [
      ["transient", 14, 50],
      ["throttled", 5, 2000],
      ["throttled", 5, 4000],
      ["throttled", 5, 8000],
      ["throttled", 5, 16_000],
      ["transient", 14, 1600],
      ["throttled", 5, 20_000]
    ]
  },
  {
    name: "12x, throttling mixed",
    retries: [
      ["transient", 14, 50],
      ["throttled", 5, 2000],
      ["throttled", 5, 4000],
      ["throttled", 5, 8000],
      ["throttled", 5, 16_000],
      ["transient", 14, 1600],
      ["throttled", 5, 20_000],
      ["throttled", 5, 20_000],
      ["throttled", 5, 20_000],
      ["throttled", 5, 20_000],
      ["throttled", 5, 20_000]
    ]
  }
]

export interface Step {
  readonly status: number
  readonly code?: string
  /** What the server asks for, in `x-amz-retry-after`. */
  readonly retryAfterMillis?: number
  readonly delayMillis?: number
  /** What the SDK decides, or a success. */
  readonly outcome: "success" | "retry" | "timesUsedUp" | "quotaExceeded"
  /** What the quota has after that. */
  readonly quota?: number
}

export const specification: ReadonlyArray<{
  readonly name: string
  readonly maxAttempts?: number
  readonly tokens?: number
  readonly steps: ReadonlyArray<Step>
}> = [
  {
    name: "retry eventually succeeds",
    steps: [
      { status: 500, outcome: "retry", quota: 486, delayMillis: 50 },
      { status: 500, outcome: "retry", quota: 472, delayMillis: 100 },
      { status: 200, outcome: "success", quota: 486 }
    ]
  },
  {
    name: "fail due to max attempts reached",
    steps: [
      { status: 502, outcome: "retry", quota: 486, delayMillis: 50 },
      { status: 502, outcome: "retry", quota: 472, delayMillis: 100 },
      { status: 502, outcome: "timesUsedUp", quota: 472 }
    ]
  },
  {
    name: "retry quota reached after a single retry",
    tokens: 14,
    steps: [
      { status: 500, outcome: "retry", quota: 0, delayMillis: 50 },
      { status: 500, outcome: "quotaExceeded", quota: 0 }
    ]
  },
  {
    name: "no retries at all if retry quota is 0",
    tokens: 0,
    steps: [{ status: 500, outcome: "quotaExceeded", quota: 0 }]
  },
  {
    name: "verifying exponential backoff timing",
    maxAttempts: 5,
    steps: [
      { status: 500, outcome: "retry", quota: 486, delayMillis: 50 },
      { status: 500, outcome: "retry", quota: 472, delayMillis: 100 },
      { status: 500, outcome: "retry", quota: 458, delayMillis: 200 },
      { status: 500, outcome: "retry", quota: 444, delayMillis: 400 },
      { status: 500, outcome: "timesUsedUp", quota: 444 }
    ]
  },
  {
    name: "retry stops after retry quota exhaustion",
    maxAttempts: 5,
    tokens: 20,
    steps: [
      { status: 500, outcome: "retry", quota: 6, delayMillis: 50 },
      { status: 502, outcome: "quotaExceeded", quota: 6 }
    ]
  },
  {
    name: "retry quota recovery after successful responses",
    maxAttempts: 5,
    tokens: 30,
    steps: [
      { status: 500, outcome: "retry", quota: 16, delayMillis: 50 },
      { status: 502, outcome: "retry", quota: 2, delayMillis: 100 },
      { status: 200, outcome: "success", quota: 16 },
      { status: 500, outcome: "retry", quota: 2, delayMillis: 50 },
      { status: 200, outcome: "success", quota: 16 }
    ]
  },
  {
    name: "throttling error token bucket drain (5 tokens) and backoff duration (1000ms)",
    steps: [
      { status: 400, code: "Throttling", outcome: "retry", quota: 495, delayMillis: 1000 },
      { status: 200, outcome: "success", quota: 500 }
    ]
  },
  {
    name: "x-amz-retry-after header is honored",
    steps: [
      { status: 500, retryAfterMillis: 1500, outcome: "retry", delayMillis: 1500 },
      { status: 200, outcome: "success" }
    ]
  }
]
