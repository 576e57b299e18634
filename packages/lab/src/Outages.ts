/**
 * Outages that a policy should survive, and the table of what it does in them.
 *
 * **Example** (A test for each)
 *
 * ```ts import.meta.vitest
 * import { Lab, Outages, Verdict } from "@effect-resilience/lab"
 * import { Pipeline } from "@effect-resilience/pipeline"
 *
 * const survives = (name: Outages.Name) => {
 *   const result = Lab.simulate({
 *     ...Outages.during(name),
 *     arrivals: { open: { perSecond: 14 } },
 *     server: { workers: 2, serviceTime: { exponential: "100 millis" } },
 *     policy: { ...Pipeline.standard, name: "ledger", attemptTimeout: "1 second" }
 *   })
 *   return Verdict.judge(result, { recoverWithin: Outages.standard[name].within }).passes
 * }
 * survives("down") // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Lab from "./Lab.ts"

/**
 * An outage, and within what time of its end calls should succeed again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Known extends Lab.Outage {
  /** What it is, for people, such as `down for 10 s`. */
  readonly says: string
  /** The time after its end within which calls should succeed again. */
  readonly within: Duration.Input
}

/**
 * The outages that `Pipeline.standard` survives, at half to nine tenths of the capacity and with up to 100 processes (`bench`,
 * `OUTAGES.md`), and a restart with a cold cache. Each begins after 20 seconds of calm.
 *
 * @category constants
 * @since 0.1.0
 */
export const standard = {
  down: { says: "down for 10 s", from: "20 seconds", for: "10 seconds", fault: "down", within: "30 seconds" },
  long: { says: "down for 3 min", from: "20 seconds", for: "3 minutes", fault: "down", within: "1 minute" },
  failing: {
    says: "half of the calls fail for 1 min",
    from: "20 seconds",
    for: "1 minute",
    fault: { failing: 0.5 },
    within: "30 seconds"
  },
  slow: {
    says: "10 times slower for 1 min",
    from: "20 seconds",
    for: "1 minute",
    fault: { slow: 10 },
    within: "30 seconds"
  },
  restart: {
    says: "a restart of 5 s, then 30 s with a cold cache",
    from: "20 seconds",
    for: "5 seconds",
    fault: { restart: { cold: 2 } },
    within: "1 minute"
  }
} as const satisfies { readonly [name: string]: Known }

/**
 * The names of those outages.
 *
 * @category models
 * @since 0.1.0
 */
export type Name = keyof typeof standard

/**
 * The outage as `Lab.simulate` takes it.
 *
 * @category converting
 * @since 0.1.0
 */
export const outageOf = ({ says: _, within: __, ...outage }: Known): Lab.Outage => outage

/**
 * The part of the options of a simulation with one outage, which lasts until half a minute after the time to recover.
 *
 * @category converting
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const during = (outage: Name | Known): Pick<Lab.Options, "duration" | "outages"> => {
  const known: Known = typeof outage === "string" ? standard[outage] : outage
  const parts = [known.from, known.for, known.within, "30 seconds" as const]
  return {
    duration: Duration.millis(parts.reduce<number>((sum, part) => sum + Duration.toMillis(part), 0)),
    outages: outageOf(known)
  }
}
