/**
 * What came of a simulation, and how it is read.
 *
 * **Example** (How much an outage amplified)
 *
 * ```ts import.meta.vitest
 * import { Lab, LabResult } from "@effect-resilience/lab"
 *
 * const result = Lab.simulate({
 *   duration: "30 seconds",
 *   arrivals: { open: { perSecond: 50 } },
 *   server: { workers: 20, serviceTime: { constant: "100 millis" } },
 *   outages: [{ from: "10 seconds", for: "10 seconds", fault: { failing: 1 } }],
 *   policy: { name: "ledger", retry: { times: 1, backoff: { base: "10 millis" } } }
 * })
 * const { offered, sent } = LabResult.between(result, "12 seconds", "20 seconds")
 * Math.round(sent / offered) // => 2
 * LabResult.recovery(result, { from: "20 seconds" })?.toString() // => "0 millis"
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * What was counted.
 *
 * - `offered`: calls that began.
 * - `sent`: requests, so all attempts of all calls.
 * - `good`: calls that succeeded.
 * - `failed`: calls that failed.
 * - `rejected`: calls that ended since a policy did not ask (`NotAsked`).
 *
 * In a second, `sent` has the requests of that second; the others have the calls that began in it, whenever they ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  readonly offered: number
  readonly sent: number
  readonly good: number
  readonly failed: number
  readonly rejected: number
}

/**
 * What was counted in a second, and how many requests waited at the server when it ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Second extends Counts {
  readonly queue: number
}

/**
 * How long good calls took, all attempts and waits included, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Latency {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/**
 * What came of a simulation.
 *
 * @category models
 * @since 0.1.0
 */
export interface LabResult {
  readonly total: Counts
  readonly seconds: ReadonlyArray<Second>
  readonly latency: Latency
}

/**
 * What was counted between two times.
 *
 * @category reading
 * @since 0.1.0
 */
export const between = (result: LabResult, from: Duration.Input, to: Duration.Input): Counts => {
  const seconds = result.seconds.slice(secondOf(from), secondOf(to))
  const sum = (name: keyof Counts) => seconds.reduce((total, second) => total + second[name], 0)
  return {
    offered: sum("offered"),
    sent: sum("sent"),
    good: sum("good"),
    failed: sum("failed"),
    rejected: sum("rejected")
  }
}

/**
 * How long after `from` calls succeed again; `undefined` where they do not before the end. They do so from the first second on after
 * which, for `window`, at least `goodput` of the calls that begin end well.
 *
 * - `from`: the end of the outage.
 * - `goodput`: default 0.95.
 * - `window`: default 10 seconds.
 *
 * @category reading
 * @since 0.1.0
 */
export const recovery = (result: LabResult, { from, goodput = 0.95, window = "10 seconds" }: {
  readonly from: Duration.Input
  readonly goodput?: number | undefined
  readonly window?: Duration.Input | undefined
}): Duration.Duration | undefined => {
  const length = secondOf(window)
  for (let second = secondOf(from); second + length <= result.seconds.length; second++) {
    const { good, offered } = between(result, second * 1000, (second + length) * 1000)
    if (good >= goodput * offered) return Duration.seconds(second - secondOf(from))
  }
  return undefined
}

const secondOf = (input: Duration.Input): number => Math.round(Duration.toSeconds(Duration.fromInputUnsafe(input)))
