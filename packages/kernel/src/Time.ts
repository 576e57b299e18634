/**
 * Reads the monotonic time, which durations are measured with: it never goes back, and it has no date.
 *
 * **Example** (Measuring a duration)
 *
 * ```ts import.meta.vitest
 * import { Time } from "@effect-resilience/kernel"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const began = yield* Time.now
 *   yield* Effect.sleep("2 millis")
 *   return (yield* Time.now) - began >= 1
 * })
 *
 * await Effect.runPromise(program) // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * The monotonic time of a clock, in milliseconds. For code that holds the clock already.
 *
 * @category accessors
 * @since 0.1.0
 */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000

/**
 * The monotonic time of a fiber's context, in milliseconds.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nowUnsafe = (context: Context.Context<never>): number => monotonicMillis(Context.get(context, Clock.Clock))

/**
 * The monotonic time, in milliseconds.
 *
 * @category accessors
 * @since 0.1.0
 */
export const now: Effect.Effect<number> = /* @__PURE__ */ Effect.clockWith((clock) =>
  Effect.succeed(monotonicMillis(clock))
)
