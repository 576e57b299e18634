/**
 * How long something takes: a duration, or a distribution of them.
 *
 * **Details**
 *
 * Samples are whole milliseconds, so that a seed gives the same ones in each engine.
 *
 * **Example** (A few slow responses among many quick ones)
 *
 * ```ts import.meta.vitest
 * import { Latency } from "@effect-resilience/chaos"
 *
 * const latency = Latency.percentiles({ p50: "40 millis", p99: "2 seconds" })
 * latency.sample(() => 0.5) // => 40
 * latency.sample(() => 0.99) // => 2000
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { Chance } from "./internal/chance.ts"
import * as check from "./internal/check.ts"

const TypeId: unique symbol = Symbol.for("@effect-resilience/chaos/Latency")

/**
 * `sample` returns milliseconds; it reads numbers from 0 to below 1 from `chance`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Latency {
  readonly [TypeId]: typeof TypeId
  readonly sample: (chance: Chance) => number
}

/**
 * A duration is the same each time.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Duration.Input | Latency

const make = (quantile: (p: number) => number): Latency => ({
  [TypeId]: TypeId,
  sample: (chance) => Math.min(longest, Math.max(0, Math.round(quantile(chance()))))
})

/** What a timer can wait: a tail without end reaches no further. */
const longest = 2 ** 31 - 1

/**
 * A duration becomes a latency that is the same each time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromInput = (input: Input): Latency => isLatency(input) ? input : constant(input)

const isLatency = (input: Input): input is Latency => Predicate.hasProperty(input, TypeId)

/**
 * The same each time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const constant = (duration: Duration.Input): Latency => {
  const millis = check.millis("duration", duration)
  return make(() => millis)
}

/**
 * Anything between two durations, all equally likely.
 *
 * @category constructors
 * @since 0.1.0
 */
export const uniform = (least: Duration.Input, most: Duration.Input): Latency => {
  const from = check.millis("least", least)
  const to = check.within("most", check.millis("most", most), from, Number.MAX_VALUE)
  return make((p) => from + p * (to - from))
}

/**
 * Exponential: what arrives independently. Its p99 is 4.6 times its mean.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (mean: Duration.Input): Latency => {
  const millis = check.millis("mean", mean)
  return make((p) => -millis * Math.log(1 - p))
}

/**
 * Normal, cut off at 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const normal = (mean: Duration.Input, deviation: Duration.Input): Latency => {
  const [middle, width] = [check.millis("mean", mean), check.millis("deviation", deviation)]
  return make((p) => middle + width * standardNormal(p))
}

/**
 * Log-normal, by its median and its 99th percentile: the shape that services' latencies most often have.
 *
 * - `p50`: the median: half of the samples are shorter.
 * - `p99`: the 99th percentile; at least the median.
 *
 * @category constructors
 * @since 0.1.0
 */
export const percentiles = (options: { readonly p50: Duration.Input; readonly p99: Duration.Input }): Latency => {
  const p50 = check.within("p50", check.millis("p50", options.p50), 1, Number.MAX_VALUE)
  const p99 = check.within("p99", check.millis("p99", options.p99), p50, Number.MAX_VALUE)
  const sigma = Math.log(p99 / p50) / standardNormal(0.99)
  return make((p) => p50 * Math.exp(sigma * standardNormal(p)))
}

/**
 * Pareto: at least `least`, with a tail so heavy that at a `shape` of 1 or less it has no mean.
 *
 * @category constructors
 * @since 0.1.0
 */
export const pareto = (least: Duration.Input, shape: number): Latency => {
  const millis = check.millis("least", least)
  const alpha = check.within("shape", shape, 0.01, Number.MAX_VALUE)
  return make((p) => millis / (1 - p) ** (1 / alpha))
}

/** The quantile of the standard normal distribution, to 1.2e-9 (P. J. Acklam's rational approximation). */
const standardNormal = (p: number): number => {
  if (p > 0.5) return -standardNormal(1 - p)
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(Math.max(p, Number.MIN_VALUE)))
    return polynomial(q, tail) / (polynomial(q, tailBelow) * q + 1)
  }
  const q = p - 0.5
  const r = q * q
  return polynomial(r, centre) * q / (polynomial(r, centreBelow) * r + 1)
}

const polynomial = (x: number, coefficients: ReadonlyArray<number>): number =>
  coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0)

const centre = [
  -3.969683028665376e1,
  2.209460984245205e2,
  -2.759285104469687e2,
  1.38357751867269e2,
  -3.066479806614716e1,
  2.506628277459239
]
const centreBelow = [
  -5.447609879822406e1,
  1.615858368580409e2,
  -1.556989798598866e2,
  6.680131188771972e1,
  -1.328068155288572e1
]
const tail = [
  -7.784894002430293e-3,
  -3.223964580411365e-1,
  -2.400758277161838,
  -2.549732539343734,
  4.374664141464968,
  2.938163982698783
]
const tailBelow = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416]
