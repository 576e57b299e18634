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
import * as Field from "@effect-resilience/kernel/Field"
import type { Estimator, Start } from "./internal/limitWindow.ts"
import * as algorithms from "./limitAlgorithm/index.ts"

export type { Estimator, Options, Sample } from "./internal/limitWindow.ts"
export * from "./limitAlgorithm/index.ts"

/**
 * An algorithm with its options, as the functions below write it.
 *
 * @category models
 * @since 0.1.0
 */
export type LimitAlgorithm = Field.OneOf<typeof algorithms>

/**
 * An option that is an algorithm; default `vegas`.
 *
 * @category fields
 * @since 0.1.0
 */
export const field: Field.Field<LimitAlgorithm | undefined, Start> = /* @__PURE__ */ Field.withDefault(
  /* @__PURE__ */ Field.variants(algorithms),
  "vegas"
)

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
export const start = (algorithm: LimitAlgorithm): Estimator => field.read(algorithm, "LimitAlgorithm")()
