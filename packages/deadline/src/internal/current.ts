// What reads the deadline, apart from what sets one: a program that retries loads no more.
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"

/**
 * The instant, in milliseconds of the fiber's monotonic clock; `Infinity` if there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Deadline {
  /** The instant, in milliseconds of the monotonic clock; not a time of day. */
  readonly atMillis: number
}

/**
 * No deadline.
 *
 * @category constants
 * @since 0.1.0
 */
export const none: Deadline = { atMillis: Infinity }

/**
 * The deadline of the running fiber.
 *
 * **Gotchas**
 *
 * A provided value informs readers, but interrupts no work: `withDeadline` does.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Deadline> = /* @__PURE__ */ Context.Reference<Deadline>(
  "@effect-resilience/deadline/Deadline/Current",
  { defaultValue: () => none }
)

/**
 * The remaining milliseconds of a fiber: negative after the deadline, and `Infinity` without one. For code that already has
 * the fiber and cannot afford an effect.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remainingMillisUnsafe = (caller: Policy.Caller): number => {
  const { atMillis } = caller.getRef(Current)
  return atMillis === Infinity ? Infinity : atMillis - Time.nowUnsafe(caller.context)
}
