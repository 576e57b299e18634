/**
 * The state machine of resilience4j's circuit breaker, version 2.4.0, read at commit af9e7c979 of 2026-05-05:
 * https://github.com/resilience4j/resilience4j, `CircuitBreaker.java` (`State`, `StateTransition`), the inner classes of
 * `CircuitBreakerStateMachine.java`, and `CircuitBreakerStateMachineTest.java`.
 */
export type State = "CLOSED" | "OPEN" | "HALF_OPEN" | "FORCED_OPEN" | "DISABLED" | "METRICS_ONLY"

/** Whether a state lets calls through, and whether it counts their outcomes and what it rejects. */
export const states: {
  readonly [S in State]: { readonly permits: boolean; readonly counts: boolean }
} = {
  CLOSED: { permits: true, counts: true },
  OPEN: { permits: false, counts: false },
  HALF_OPEN: { permits: true, counts: true },
  FORCED_OPEN: { permits: false, counts: false },
  DISABLED: { permits: true, counts: false },
  METRICS_ONLY: { permits: true, counts: true }
}

/** `StateTransition`: each one that is legal, in the order of the source. */
export const transitions: ReadonlyArray<readonly [from: State, to: State]> = [
  ["CLOSED", "CLOSED"],
  ["CLOSED", "OPEN"],
  ["CLOSED", "DISABLED"],
  ["CLOSED", "METRICS_ONLY"],
  ["CLOSED", "FORCED_OPEN"],
  ["HALF_OPEN", "HALF_OPEN"],
  ["HALF_OPEN", "CLOSED"],
  ["HALF_OPEN", "OPEN"],
  ["HALF_OPEN", "DISABLED"],
  ["HALF_OPEN", "METRICS_ONLY"],
  ["HALF_OPEN", "FORCED_OPEN"],
  ["OPEN", "OPEN"],
  ["OPEN", "CLOSED"],
  ["OPEN", "HALF_OPEN"],
  ["OPEN", "DISABLED"],
  ["OPEN", "METRICS_ONLY"],
  ["OPEN", "FORCED_OPEN"],
  ["FORCED_OPEN", "FORCED_OPEN"],
  ["FORCED_OPEN", "CLOSED"],
  ["FORCED_OPEN", "OPEN"],
  ["FORCED_OPEN", "DISABLED"],
  ["FORCED_OPEN", "METRICS_ONLY"],
  ["FORCED_OPEN", "HALF_OPEN"],
  ["DISABLED", "DISABLED"],
  ["DISABLED", "CLOSED"],
  ["DISABLED", "OPEN"],
  ["DISABLED", "FORCED_OPEN"],
  ["DISABLED", "HALF_OPEN"],
  ["DISABLED", "METRICS_ONLY"],
  ["METRICS_ONLY", "METRICS_ONLY"],
  ["METRICS_ONLY", "CLOSED"],
  ["METRICS_ONLY", "FORCED_OPEN"],
  ["METRICS_ONLY", "DISABLED"]
]

/** Outcomes of calls: `+` success, `-` failure, `i` ignored. */
export type Outcomes = ReadonlyArray<"+" | "-" | "i">

/** Threshold 50 %, at least 5 calls in 20 seconds; the state and the rate after the last outcome. */
export const closed: ReadonlyArray<{
  readonly test: string
  readonly outcomes: Outcomes
  readonly to: State
  readonly failureRate: number
}> = [
  {
    test: "shouldOpenAfterFailureRateThresholdExceeded",
    outcomes: ["-", "-", "-", "+"],
    to: "CLOSED",
    failureRate: 0.75
  },
  {
    test: "shouldOpenAfterFailureRateThresholdExceeded",
    outcomes: ["-", "-", "-", "+", "+"],
    to: "OPEN",
    failureRate: 0.6
  }
]

/** Threshold 50 %, 4 permitted calls. */
export const halfOpen: ReadonlyArray<{ readonly test: string; readonly outcomes: Outcomes; readonly to: State }> = [
  {
    test: "shouldTransitionBackToOpenStateWhenFailureRateIsAboveThreshold",
    outcomes: ["-", "-", "+", "-"],
    to: "OPEN"
  },
  {
    test: "shouldTransitionBackToClosedStateWhenFailureIsBelowThreshold",
    outcomes: ["-", "+", "+", "+"],
    to: "CLOSED"
  },
  { test: "shouldReleasePermissionWhenExceptionIgnored", outcomes: ["+", "+", "i"], to: "HALF_OPEN" },
  { test: "shouldReleasePermissionWhenExceptionIgnored", outcomes: ["+", "+", "+", "i", "-"], to: "CLOSED" }
]
