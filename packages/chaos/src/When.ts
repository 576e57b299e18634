/**
 * When a fault strikes: by probability, by time, by key, so many times.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as check from "./internal/check.ts"

/**
 * All conditions must be true. A fault without any strikes each time.
 *
 * - `probability`: from 0 (never) to 1 (each time); default 1.
 * - `only`: the calls or connections it concerns; default all.
 * - `times`: how often it strikes at most; default without limit.
 * - `from`: the time from the start of the injector or relay to the fault's first period; default 0.
 * - `for`: how long a period lasts; default without end.
 * - `every`: from the start of one period to the start of the next; default a single period. Needs `for`.
 * - `enabled`: whether it is on at first; default `true`.
 *
 * @category models
 * @since 0.1.0
 */
export interface When<in S = unknown> {
  readonly probability?: number | undefined
  readonly only?: ((subject: S) => boolean) | undefined
  readonly times?: number | undefined
  readonly from?: Duration.Input | undefined
  readonly for?: Duration.Input | undefined
  readonly every?: Duration.Input | undefined
  readonly enabled?: boolean | undefined
}

/**
 * A `When` that has been checked, with its times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan<in S = unknown> {
  readonly probability: number
  readonly only: (subject: S) => boolean
  readonly times: number
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
