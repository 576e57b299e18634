/**
 * How an adaptive limit finds out how much a dependency can take, as plain data.
 *
 * **Details**
 *
 * All look at windows of at least `window` and twice the shortest round trip in it, with at least ten calls, and change
 * the limit once a window. A limit that is less than half used does not grow.
 *
 * | algorithm | looks at | the limit after each window | source |
 * | --- | --- | --- | --- |
 * | `fixed` | nothing | stays | |
 * | `aimd` | drops, and round trips beyond `timeout` | one more, or times `backoffRatio` after a drop | TCP Reno; Netflix `AIMDLimit` |
 * | `vegas` | the mean round trip, against one measured with half the limit | up or down by log10 of itself, to keep a queue of 2 to 3 log10 | TCP Vegas; Netflix `VegasLimit` |
 * | `gradient2` | the mean round trip, against a long exponential mean | times their ratio, plus `queueSize`, smoothed | Netflix `Gradient2Limit` |
 * | `gradient` | the mean round trip, against one measured with few calls under way | times their ratio, plus a third of its square root | Envoy, adaptive concurrency |
 *
 * Where this differs from the sources: `aimd` backs off once a window and not once a drop, since a burst of drops would
 * collapse it. `vegas` and `gradient` compare means, which noise does not move, and `vegas` measures the round trip without load with
 * half the limit at the start and now and then; its source takes the shortest one ever seen, which noise makes too short, and
 * renews it under load, which makes the limit creep up.
 *
 * **Choosing**
 *
 * `vegas` unless you know better; `gradient2` where a dip of throughput now and then is not acceptable; `gradient` where the
 * latency without load changes often; `aimd` where the server says no (429, 503) or times out rather than slow down.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as estimators from "./internal/estimators.ts"

/**
 * An algorithm with its settings; made by the functions below.
 *
 * @category models
 * @since 0.1.0
 */
export type LimitAlgorithm =
  | (Bounds & { readonly _tag: "Fixed" })
  | (Bounds & { readonly _tag: "Aimd"; readonly backoffRatio: number; readonly timeout: Duration.Duration })
  | (Bounds & { readonly _tag: "Vegas"; readonly probeInterval: Duration.Duration; readonly probeRequests: number })
  | (Bounds & {
    readonly _tag: "Gradient2"
    readonly smoothing: number
    readonly queueSize: number
    readonly longWindow: number
    readonly tolerance: number
  })
  | (Bounds & {
    readonly _tag: "Gradient"
    readonly buffer: number
    readonly headroom: number
    readonly minRttInterval: Duration.Duration
    readonly minRttRequests: number
    readonly minRttConcurrency: number
    readonly jitter: number
  })

/**
 * What all algorithms have.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bounds {
  readonly initial: number
  readonly min: number
  readonly max: number
  readonly window: Duration.Duration
}

/**
 * Options of all algorithms.
 *
 * - `initial`: the limit to begin with; default 20.
 * - `min`, `max`: the limit stays between them; default 1 and 1000.
 * - `window`: the shortest time between changes; default 100 millis.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly initial?: number | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
  readonly window?: Duration.Input | undefined
}

/**
 * One call that ended.
 *
 * - `nowMillis`, `rttMillis`: when it ended and how long it took.
 * - `inFlight`: how many calls were under way when it began.
 * - `dropped`: it failed in a way that says "too much".
 * - `random`: draws from 0 to 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sample {
  readonly nowMillis: number
  readonly rttMillis: number
  readonly inFlight: number
  readonly dropped: boolean
  readonly random: () => number
}

/**
 * A running algorithm.
 *
 * @category models
 * @since 0.1.0
 */
export interface Estimator {
  readonly limit: number
  record(sample: Sample): void
}

/**
 * A limit that stays as it is, for comparison.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fixed = (limit: number): LimitAlgorithm => ({
  _tag: "Fixed",
  ...bounds("fixed", { initial: limit, min: limit, max: limit })
})

/**
 * Additive increase, multiplicative decrease.
 *
 * - `backoffRatio`: what a drop leaves of the limit, from 0.5 to below 1; default 0.9.
 * - `timeout`: a longer round trip counts as a drop; default 5 seconds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const aimd = (
  options: Options & {
    readonly backoffRatio?: number | undefined
    readonly timeout?: Duration.Input | undefined
  } = {}
): LimitAlgorithm => ({
  _tag: "Aimd",
  ...bounds("aimd", options),
  backoffRatio: between("aimd", "backoffRatio", options.backoffRatio ?? 0.9, 0.5, 0.999),
  timeout: Duration.fromInputUnsafe(options.timeout ?? "5 seconds")
})

/**
 * Keeps a short queue at the server, seen from the growth of the mean round trip.
 *
 * - `probeInterval`: how often the round trip without load is measured anew, with half the limit; default 30 seconds,
 *   less up to 15 % of it by chance.
 * - `probeRequests`: with how many calls; default 100.
 *
 * @category constructors
 * @since 0.1.0
 */
export const vegas = (
  options: Options & {
    readonly probeInterval?: Duration.Input | undefined
    readonly probeRequests?: number | undefined
  } = {}
): LimitAlgorithm => ({
  _tag: "Vegas",
  ...bounds("vegas", options),
  probeRequests: between("vegas", "probeRequests", options.probeRequests ?? 100, 1, 100_000),
  probeInterval: Duration.fromInputUnsafe(options.probeInterval ?? "30 seconds")
})

/**
 * Compares the mean round trip with its own long-term mean.
 *
 * - `smoothing`: the weight of a new estimate; default 0.2.
 * - `queueSize`: how much the limit grows while round trips stay short; default 2.
 * - `longWindow`: over how many windows the long-term mean extends; default 3000.
 * - `tolerance`: how many times the long-term mean is still normal; default 1.
 *
 * **Gotchas**
 *
 * Under an overload without end the long-term mean follows the short one, and the limit creeps up.
 *
 * @category constructors
 * @since 0.1.0
 */
export const gradient2 = (
  options: Options & {
    readonly smoothing?: number | undefined
    readonly queueSize?: number | undefined
    readonly longWindow?: number | undefined
    readonly tolerance?: number | undefined
  } = {}
): LimitAlgorithm => ({
  _tag: "Gradient2",
  ...bounds("gradient2", options),
  smoothing: between("gradient2", "smoothing", options.smoothing ?? 0.2, 0.001, 1),
  queueSize: between("gradient2", "queueSize", options.queueSize ?? 2, 0, 10_000),
  longWindow: between("gradient2", "longWindow", options.longWindow ?? 3000, 10, 1_000_000),
  tolerance: between("gradient2", "tolerance", options.tolerance ?? 1, 1, 10)
})

/**
 * Compares the mean round trip with one that is measured now and then with only a few calls under way.
 *
 * - `buffer`: how much longer than that is still normal, as a share of it; default 0.
 * - `headroom`: how much the limit grows while round trips stay short, as a multiple of its square root; default 0.35
 *   (Envoy: 1).
 * - `minRttInterval`: how often to measure; default 30 seconds, less up to `jitter` of it by chance.
 * - `minRttRequests`: how many calls to measure with; default 50.
 * - `minRttConcurrency`: how many calls are let in meanwhile; default 3.
 * - `jitter`: default 0.15.
 *
 * @category constructors
 * @since 0.1.0
 */
export const gradient = (
  options: Options & {
    readonly buffer?: number | undefined
    readonly headroom?: number | undefined
    readonly minRttInterval?: Duration.Input | undefined
    readonly minRttRequests?: number | undefined
    readonly minRttConcurrency?: number | undefined
    readonly jitter?: number | undefined
  } = {}
): LimitAlgorithm => ({
  _tag: "Gradient",
  ...bounds("gradient", options),
  buffer: between("gradient", "buffer", options.buffer ?? 0, 0, 10),
  headroom: between("gradient", "headroom", options.headroom ?? 0.35, 0, 10),
  minRttInterval: Duration.fromInputUnsafe(options.minRttInterval ?? "30 seconds"),
  minRttRequests: between("gradient", "minRttRequests", options.minRttRequests ?? 50, 1, 100_000),
  minRttConcurrency: between("gradient", "minRttConcurrency", options.minRttConcurrency ?? 3, 1, 1000),
  jitter: between("gradient", "jitter", options.jitter ?? 0.15, 0, 1)
})

/**
 * Starts an algorithm: what `ConcurrencyLimit` does for itself, and a simulation may want to.
 *
 * **Example** (A drop halves the wait for the next window)
 *
 * ```ts import.meta.vitest
 * import { LimitAlgorithm } from "@effect-resilience/limit"
 *
 * const estimator = LimitAlgorithm.start(LimitAlgorithm.aimd({ initial: 50 }))
 * for (let i = 1; i <= 20; i++) {
 *   estimator.record({ nowMillis: i * 10, rttMillis: 5, inFlight: 50, dropped: i === 7, random: () => 0.5 })
 * }
 * estimator.limit // => 45
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const start = (algorithm: LimitAlgorithm): Estimator => estimators.start(algorithm)

const bounds = (name: string, options: Options): Bounds => {
  const { max = 1000, min = 1 } = options
  const initial = options.initial ?? Math.min(Math.max(20, min), max)
  for (const [option, value] of [["min", min], ["max", max], ["initial", initial]] as const) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`LimitAlgorithm.${name}: ${option} must be an integer of at least 1, not ${value}`)
    }
  }
  if (min > initial || initial > max) {
    throw new RangeError(
      `LimitAlgorithm.${name}: min, initial and max must be in order, not ${min}, ${initial}, ${max}`
    )
  }
  return { initial, min, max, window: Duration.fromInputUnsafe(options.window ?? "100 millis") }
}

const between = (name: string, option: string, value: number, low: number, high: number): number => {
  if (!(value >= low && value <= high)) {
    throw new RangeError(`LimitAlgorithm.${name}: ${option} must be from ${low} to ${high}, not ${value}`)
  }
  return value
}
