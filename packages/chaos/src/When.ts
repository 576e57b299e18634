/**
 * When a fault strikes: by probability, by time, by key, so many times.
 *
 * **Example** (The first two calls of one customer)
 *
 * ```ts import.meta.vitest
 * import { Chaos, Fault } from "@effect-resilience/chaos"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const chaos = yield* Chaos.make({
 *     faults: [Fault.fail(() => "down", { only: (customer: string) => customer === "acme", times: 2 })],
 *     seed: 1
 *   })
 *   const call = (customer: string) => Effect.map(Effect.exit(chaos.inject(customer)(Effect.void)), ({ _tag }) => _tag)
 *   return yield* Effect.forEach(["acme", "other", "acme", "acme"], call)
 * })
 * await Effect.runPromise(program) // => ["Failure", "Success", "Failure", "Success"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as check from "./internal/check.ts"

/**
 * All conditions must be true. A fault without any strikes each time.
 *
 * @category models
 * @since 0.1.0
 */
export interface When<in S = unknown> {
  /** From 0 (never) to 1 (each time); default 1. */
  readonly probability?: number | undefined
  /** The calls or connections it concerns; default all. */
  readonly only?: ((subject: S) => boolean) | undefined
  /** How often it strikes at most; default without limit. */
  readonly times?: number | undefined
  /** The time from the start of the injector or relay to the fault's first period; default 0. */
  readonly from?: Duration.Input | undefined
  /** How long a period lasts; default without end. */
  readonly for?: Duration.Input | undefined
  /** From the start of one period to the start of the next; default a single period. Needs `for`. */
  readonly every?: Duration.Input | undefined
  /** Whether it is on at first; default `true`. */
  readonly enabled?: boolean | undefined
}

/**
 * A `When` that has been checked, with its times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan<in S = unknown> {
  /** The share of calls that are struck, from 0 to 1. */
  readonly probability: number
  /** Whether a call with this subject may be struck. */
  readonly only: (subject: S) => boolean
  /** How many calls are struck at most; `Infinity` is without a limit. */
  readonly times: number
  /** Whether the fault is on at the start. */
  readonly enabled: boolean
  /** Whether the fault is in a period at this time since the start, in milliseconds. */
  readonly at: (elapsed: number) => boolean
  /** The time since the start at which a period next begins or ends, `undefined` if none does. */
  readonly change: (elapsed: number) => number | undefined
}

/**
 * Checks a `When`. Throws a `RangeError` for one that makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const plan = <S>(when: When<S>): Plan<S> => {
  if (when.every !== undefined && when.for === undefined) {
    throw new RangeError("every needs for: how long a period lasts")
  }
  const from = check.millis("from", when.from ?? 0)
  const length = when.for === undefined ? Infinity : check.millis("for", when.for)
  const every = when.every === undefined
    ? Infinity
    : check.within("every", check.millis("every", when.every), Math.max(1, length), Number.MAX_VALUE)
  const into = (elapsed: number) => every === Infinity ? elapsed - from : (elapsed - from) % every
  const at = (elapsed: number) => elapsed >= from && into(elapsed) < length
  return {
    probability: check.within("probability", when.probability ?? 1, 0, 1),
    only: when.only ?? (() => true),
    times: when.times === undefined ? Infinity : check.whole("times", when.times, 1),
    enabled: when.enabled ?? true,
    at,
    change: (elapsed) => {
      if (elapsed < from) return from
      const next = elapsed - into(elapsed) + (at(elapsed) ? length : every)
      return next === Infinity ? undefined : next
    }
  }
}
