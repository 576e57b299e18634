/**
 * Limits how long the calls to one store may take, so that a store that falls silent stops no caller.
 *
 * **Why**
 *
 * A Redis or Postgres that is stopped refuses connections. One that is cut off says nothing, and its clients wait: for ever,
 * or for the quarter of an hour after which the operating system gives up. Their calls often cannot be interrupted, and
 * each one that waits is kept in memory.
 *
 * **Details**
 *
 * - A call that takes too long fails with `TimedOut`. It is asked to end and left behind: one that cannot be interrupted goes
 *   on in the background, and its result is lost. A call whose late success does harm undoes it in `Effect.onInterrupt`.
 * - After that the store counts as silent. For 5 seconds, or for as long again as the limit where that is longer, calls fail
 *   at once; then one of them asks, and the others follow as soon as it gets any response. So an outage costs one caller at a
 *   time the wait, and leaves few calls behind.
 *
 * **Example** (A store that is silent)
 *
 * ```ts import.meta.vitest
 * import { StoreTimeout } from "@effect-resilience/deadline"
 * import { Effect } from "effect"
 *
 * const within = StoreTimeout.make("10 millis")
 * const read = Effect.uninterruptible(Effect.never)
 * const value = within(read).pipe(Effect.catchTag("TimedOut", () => Effect.succeed("continued without it")))
 * await Effect.runPromise(value) // => "continued without it"
 * ```
 *
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Time from "@effect-resilience/kernel/Time"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as limit from "./internal/limit.ts"
import * as Timeout from "./Timeout.ts"

/**
 * Runs a call to the store within the time that it is given.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreTimeout {
  <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E | Timeout.TimedOut, R>
}

/**
 * Makes the time limit of one store, which all its calls share. An infinite duration is no limit. Throws `RangeError` for
 * one that is not longer than nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (duration: Duration.Input): StoreTimeout => {
  const { millis, timedOut } = checked(duration)
  if (millis === Infinity) return (call) => call
  // While the store speaks, never.
  let askAgainAt = -Infinity
  const spoke = (exit: Exit.Exit<unknown, unknown>): undefined => {
    if (!Exit.hasInterrupts(exit)) askAgainAt = -Infinity
  }
  return (call) =>
    Effect.withFiber(({ context }) => {
      const now = Time.nowUnsafe(context)
      if (now < askAgainAt) return timedOut
      // One that asks a silent store asks alone.
      if (askAgainAt > -Infinity) askAgainAt = now + millis
      const silent = () => {
        askAgainAt = Time.nowUnsafe(context) + Math.max(millis, pause)
        return timedOut
      }
      return limit.interruptAfter(Effect.onExitPrimitive(call, spoke), millis, silent, undefined, true)
    })
}

/**
 * Limits each call alone. For stores whose calls are of unlike length, where a slow one says nothing about the next: SQL.
 *
 * @category constructors
 * @since 0.1.0
 */
export const each = (duration: Duration.Input): StoreTimeout => {
  const { millis, timedOut } = checked(duration)
  return (call) => limit.interruptAfter(call, millis, () => timedOut, undefined, true)
}

const pause = 5000

const checked = (duration: Duration.Input) => {
  const timeout = Duration.fromInputUnsafe(duration)
  const millis = Duration.toMillis(timeout)
  requireArgument(millis > 0, "StoreTimeout.duration", "above 0", timeout)
  return { millis, timedOut: Effect.suspend(() => Effect.fail(new Timeout.TimedOut({ timeout }))) }
}
