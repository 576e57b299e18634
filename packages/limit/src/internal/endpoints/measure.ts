import type { Outcome } from "../../Outcome.ts"

/** The latency of an address, as far as a measure needs it. */
export interface Latency {
  /** `undefined` until an attempt has ended. */
  estimateMillis: number | undefined
  estimatedAt: number
}

/** Tells which of two addresses is less loaded. It has no state, so that it can be replaced while calls are under way. */
export interface Measure {
  /** Higher is more. `inFlight` is a share of the address's weight. */
  readonly load: (latency: Latency, inFlight: number, nowMillis: number) => number
  /** Takes the time of an attempt that ended. */
  readonly record:
    | ((latency: Latency, tookMillis: number, outcome: Outcome["_tag"], nowMillis: number) => void)
    | undefined
}
