/**
 * How an adaptive limit finds out how much a dependency can take, as plain data.
 *
 * **Details**
 *
 * All look at windows of at least `window` and twice the shortest round trip in it. A limit that is less than half used does
 * not grow. All but `aimd` let a window last until the mean round trip is known to 3 % or 2 calls of the limit, for at most
 * 2000 calls; a window of which a tenth or more was dropped takes half of that share off the limit at once.
 *
 * | algorithm | looks at | the limit after each window | source |
 * | --- | --- | --- | --- |
 * | `fixed` | nothing | stays | |
 * | `aimd` | drops, and round trips beyond `timeout` | one more, or times `backoffRatio` after a drop | TCP Reno; Netflix `AIMDLimit` |
 * | `vegas` | the mean round trip, against one measured without a queue | what the server works on at once, and the queue that may wait there | TCP Vegas; FAST TCP; Netflix `VegasLimit` |
 * | `gradient2` | the mean round trip, against a long exponential mean | times their ratio, plus `queueSize`, smoothed | Netflix `Gradient2Limit` |
 * | `gradient` | the mean round trip, against one measured with few calls under way | times their ratio, plus a third of its square root | Envoy, adaptive concurrency |
 *
 * Where this differs from the sources: `aimd` backs off once a window and not once a drop, since a burst of drops would
 * collapse it. The sources take ten calls, or the shortest round trip ever seen, for the truth. Where service times vary, both
 * are too short, and the limit sinks to a few calls. So here a ratio may be off by its standard error before it lowers the
 * limit. `vegas` finds the limit in one step rather than by log10 of it, as FAST TCP does.
 *
 * **Choosing**
 *
 * `vegas` unless you know better. Measured on 30 model servers (4, 12 or 50 workers, 100 ms a call, exponential or bimodal;
 * 0.5 to 3 times the load that they can serve, half or twice the workers after 70 of 100 seconds), as a share of what the best
 * fixed limit serves, with `test/limitComparison.test.ts`:
 *
 * | algorithm | worst | mean | mean round trip |
 * | --- | --- | --- | --- |
 * | `vegas` | 92 % | 97 % | 142 ms |
 * | `aimd` | 98 % | 100 % | 293 ms |
 * | `gradient` | 66 % | 93 % | 144 ms |
 * | `gradient` with Envoy's `buffer` 0.25 and `headroom` 1 | 93 % | 96 % | 192 ms |
 * | `gradient2` | 37 % | 89 % | 164 ms |
 * | `gradient2` with Netflix's `tolerance` 1.5, `queueSize` 4 and `longWindow` 600 | 73 % | 98 % | 216 ms |
 *
 * `aimd` lets the queue grow until calls time out, so it suits servers that say no (429, 503) rather than slow down.
 *
 * @stability stable
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
