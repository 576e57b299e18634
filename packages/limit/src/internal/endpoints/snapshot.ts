import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import type * as Fiber from "effect/Fiber"
import type { Balancer } from "./balancer.ts"
import type { Endpoint } from "./endpoint.ts"
import { spread } from "./spread.ts"

/**
 * A look at endpoints.
 *
 * - `healthy`, `ejected`: how many addresses get calls by right, and how many are ejected.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly healthy: number
  readonly ejected: number
  /** Whether a priority uses all its addresses, ejected or not. */
  readonly panic: boolean
  /** Attempts under way. */
  readonly inFlight: number
  /** Attempts that every address rejected by its own policy. */
  readonly rejected: number
  /** One for each address. */
  readonly addresses: ReadonlyArray<AddressSnapshot>
}

/**
 * A look at an address.
 *
 * - `ejections`: how many in a row, which is how many times `duration` the present one takes, or took.
 * - `latency`: what `peakEwma` knows; `undefined` until a success.
 * - `retryAfter`: the rest of an ejection.
 *
 * @category models
 * @since 0.1.0
 */
export type AddressSnapshot =
  | Known & { readonly _tag: "Healthy" }
  | Known & { readonly _tag: "Ejected"; readonly retryAfter: Duration.Duration }

interface Known {
  readonly address: string
  readonly inFlight: number
  readonly ejections: number
  readonly latency: Duration.Duration | undefined
}

export const lookAt = (balancer: Balancer<unknown>, fiber: Fiber.Fiber<unknown, unknown>): Snapshot => {
  const now = monotonicMillis(fiber.getRef(Clock.Clock))
  const { settings: { panicThreshold, zone } } = balancer
  const outliers = balancer.outliers.copy()
  outliers.refresh(now)
  const { ejected, endpoints } = outliers
  const { panic } = spread(endpoints, zone, panicThreshold)
  return {
    healthy: endpoints.length - ejected,
    ejected,
    panic,
    inFlight: endpoints.reduce((sum, { inFlight }) => sum + inFlight, 0),
    rejected: balancer.rejected,
    addresses: endpoints.map((endpoint) => addressAt(endpoint, now))
  }
}

const addressAt = (endpoint: Endpoint, now: number): AddressSnapshot => {
  const { address, ejectedUntil, estimateMillis, inFlight, row: ejections } = endpoint
  const latency = estimateMillis === undefined ? undefined : Duration.millis(estimateMillis)
  const known = { address, inFlight, ejections, latency }
  return ejectedUntil === undefined
    ? { _tag: "Healthy", ...known }
    : { _tag: "Ejected", ...known, retryAfter: Duration.millis(Math.max(0, ejectedUntil - now)) }
}
