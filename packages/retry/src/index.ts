export * as Attempt from "./Attempt.ts"
export * as Backoff from "./Backoff.ts"
export * as RetryEvent from "./RetryEvent.ts"
export * as RetryPolicy from "./RetryPolicy.ts"
