/**
 * Limits how long the calls to one store may take, so that a silent store does not stop its callers.
 *
 * **Why**
 *
 * A stopped Redis or Postgres rejects connections. One that is cut off is silent, and its clients wait: without end, or for
 * the quarter of an hour after which the operating system gives up. Their calls often cannot be interrupted, and each waiting
 * call stays in memory.
 *
 * **Details**
 *
 * - A call that takes too long fails with `TimedOut`. It is interrupted and not awaited: a call that cannot be interrupted
 *   continues in the background, and its result is lost. A call whose late success does harm undoes it in
 *   `Effect.onInterrupt`.
 * - After that the store counts as silent. Calls fail at once for 5 seconds, or for the limit if that is longer. Then one call
 *   asks the store, and the others follow as soon as it gets any response. So an outage makes one caller at a time wait, and
 *   leaves few calls behind.
 *
 * **Example** (A store that is silent)
 *
 * ```ts import.meta.vitest
 * import { StoreTimeout } from "@effect-resilience/deadline"
 * import { Effect } from "effect"
 *
 * const withStoreTimeout = StoreTimeout.make("10 millis")
 * const read = Effect.uninterruptible(Effect.never)
 * const value = withStoreTimeout(read).pipe(Effect.catchTag("TimedOut", () => Effect.succeed("continued without it")))
 * await Effect.runPromise(value) // => "continued without it"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Time from "@effect-resilience/kernel/Time"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { leaveAfter } from "./internal/leaveAfter.ts"
import * as Timeout from "./Timeout.ts"

/**
 * Runs a call to the store with its time limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreTimeout {
  <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E | Timeout.TimedOut, R>
}

/**
 * Makes the time limit of one store, which all its calls share. An infinite duration is no limit. Throws `RangeError` for a
 * duration that is not positive.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (duration: Duration.Input): StoreTimeout => {
  const { millis, timedOut } = checked(duration)
  if (millis === Infinity) return (call) => call
  // `-Infinity` while the store responds.
  let askAgainAt = -Infinity
  const responded = (exit: Exit.Exit<unknown, unknown>): undefined => {
    if (!Exit.hasInterrupts(exit)) askAgainAt = -Infinity
  }
  return (call) =>
    Effect.withFiber(({ context }) => {
      const now = Time.nowUnsafe(context)
      if (now < askAgainAt) return timedOut
      // Only one call at a time asks a silent store.
      if (askAgainAt > -Infinity) askAgainAt = now + millis
      const silent = () => {
        askAgainAt = Time.nowUnsafe(context) + Math.max(millis, pause)
        return timedOut
      }
      return leaveAfter(Effect.onExitPrimitive(call, responded), millis, silent)
    })
}

/**
 * Limits each call separately. For stores such as SQL, whose calls differ in length, so that a slow call says nothing about
 * the next.
 *
 * @category constructors
 * @since 0.1.0
 */
export const each = (duration: Duration.Input): StoreTimeout => {
  const { millis, timedOut } = checked(duration)
  return (call) => leaveAfter(call, millis, () => timedOut)
}

const pause = 5000

const checked = (duration: Duration.Input) => {
  const timeout = Duration.fromInputUnsafe(duration)
  const millis = Duration.toMillis(timeout)
  requireArgument(millis > 0, "StoreTimeout.duration", "above 0", timeout)
  return { millis, timedOut: Effect.suspend(() => Effect.fail(new Timeout.TimedOut({ timeout }))) }
}
