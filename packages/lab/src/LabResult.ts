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
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * What was counted.
 *
 * In a second, `sent` has the requests of that second; the others have the calls that began in it, whenever they ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  /** Calls that began. */
  readonly offered: number
  /** Requests, so all attempts of all calls. */
  readonly sent: number
  /** Calls that succeeded. */
  readonly good: number
  /** Calls that failed. */
  readonly failed: number
  /** Calls that ended since a policy did not ask (`NotAsked`). */
  readonly rejected: number
}

/**
 * How many processes have a circuit breaker in each state: `{ Closed: 19, Open: 1 }`. Empty where none has one.
 *
 * @category models
 * @since 0.1.0
 */
export interface States {
  readonly [state: string]: number
}

/**
 * What was counted in a second.
 *
 * @category models
 * @since 0.1.0
 */
export interface Second extends Counts {
  /** How many requests waited at the first server when it ended, with those whose callers had gone. */
  readonly queue: number
  /** Of the circuit breakers when it ended. */
  readonly states: States
}

/**
 * How long good calls took, all attempts and waits included, in milliseconds. The quantiles come from a histogram, and can be one
 * 128th too long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Latency {
  /** The arithmetic mean, which is exact. */
  readonly mean: number
  /** The median. */
  readonly p50: number
  /** Nine of ten calls were at most this long. */
  readonly p90: number
  /** 99 of 100 calls were at most this long. */
  readonly p99: number
  /** 999 of 1,000 calls were at most this long. */
  readonly p999: number
  /** The longest. */
  readonly max: number
}

/**
 * What a server was asked and what came of it.
 *
 * - `seconds.received`: how many it received in the second.
 * - `seconds.queue`: how many waited at the end of the second.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerResult {
  /** The name of the server: `server`, or that of a tier. */
  readonly name: string
  /** Requests. */
  readonly received: number
  /** Services that ended well, with those whose callers had gone. */
  readonly served: number
  /** Requests whose turn came after their callers had gone. */
  readonly abandoned: number
  /** Requests that failed in service, when they came or in a restart. */
  readonly failed: number
  /** Those that its queue did not take or held too long. */
  readonly rejected: number
  /** How many it received in each second, and how many waited at its end. */
  readonly seconds: ReadonlyArray<{ readonly received: number; readonly queue: number }>
}

/**
 * What clients got.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientResult {
  /** The numbers of the whole simulation. */
  readonly total: Counts
  /** The numbers of each second, from the start. */
  readonly seconds: ReadonlyArray<Second>
  /** How long good calls took. */
  readonly latency: Latency
}

/**
 * What came of a simulation. All of it is data, so it can be JSON.
 *
 * - `total`, `seconds`, `latency`: of the clients.
 * - `outages.fromMillis`: when it began, in milliseconds from the start.
 * - `outages.toMillis`: when it ended, in milliseconds from the start.
 * - `outages.server`: the server that it struck.
 *
 * @category models
 * @since 0.1.0
 */
export interface LabResult extends ClientResult {
  /** The same of other clients of the same server. */
  readonly others: { readonly [name: string]: ClientResult }
  /** The server, and the tiers behind it in their order. */
  readonly servers: ReadonlyArray<ServerResult>
  /** When they were. */
  readonly outages: ReadonlyArray<{ readonly fromMillis: number; readonly toMillis: number; readonly server: string }>
}

/**
 * What was counted between two times.
 *
 * @category reading
 * @since 0.1.0
 */
export const between = (result: ClientResult, from: Duration.Input, to: Duration.Input): Counts => {
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
 * - `window`: default 10 seconds; at least 1.
 *
 * @category reading
 * @since 0.1.0
 */
export const recovery = (result: ClientResult, { from, goodput = 0.95, window = "10 seconds" }: {
  readonly from: Duration.Input
  readonly goodput?: number | undefined
  readonly window?: Duration.Input | undefined
}): Duration.Duration | undefined => {
  // In no time, nothing fails.
  const length = Math.max(1, secondOf(window))
  for (let second = secondOf(from); second + length <= result.seconds.length; second++) {
    const { good, offered } = between(result, second * 1000, (second + length) * 1000)
    if (good >= goodput * offered) return Duration.seconds(second - secondOf(from))
  }
  return undefined
}

/**
 * Requests for each call between two times; 0 where no call began.
 *
 * @category reading
 * @since 0.1.0
 */
export const amplification = (
  result: ClientResult,
  from: Duration.Input = 0,
  to: Duration.Input = Infinity
): number => {
  const { offered, sent } = between(result, from, to)
  return offered === 0 ? 0 : sent / offered
}

/**
 * The share of the calls that began between two times and ended well; 1 where none began.
 *
 * @category reading
 * @since 0.1.0
 */
export const goodput = (result: ClientResult, from: Duration.Input = 0, to: Duration.Input = Infinity): number => {
  const { good, offered } = between(result, from, to)
  return offered === 0 ? 1 : good / offered
}

const secondOf = (input: Duration.Input): number => Math.round(Duration.toSeconds(Duration.fromInputUnsafe(input)))
