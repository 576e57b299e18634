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
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"

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

const respondedAt = "~@effect-resilience/kernel/Time/respondedAt"

/**
 * Notes on the result of a call, or on its error, when the other side had responded, for a call that ends later by the pace of its
 * caller: one that reads a stream. What measures calls counts until then.
 *
 * **Example** (A stream that is read for an hour)
 *
 * ```ts import.meta.vitest
 * import { Time } from "@effect-resilience/kernel"
 * import { Exit } from "effect"
 *
 * const response = Time.responded({ status: 200 }, 1_200)
 * Time.tookMillis(Exit.succeed(response), 1_000, 3_601_000) // => 200
 * Time.tookMillis(Exit.succeed("text"), 1_000, 3_601_000) // => 3600000
 * ```
 *
 * @category measuring
 * @since 0.1.0
 */
export const responded = <A extends object>(result: A, atMillis: number): A =>
  Object.defineProperty(result, respondedAt, { value: atMillis, configurable: true })

/**
 * When the other side of a call had responded: `nowMillis`, unless `responded` has noted another time.
 *
 * @category measuring
 * @since 0.1.0
 */
export const respondedMillis = (exit: Exit.Exit<unknown, unknown>, nowMillis: number): number => {
  const result = Exit.isSuccess(exit) ? exit.value : exit.cause.reasons.find(Cause.isFailReason)?.error
  return Predicate.hasProperty(result, respondedAt) ? Number(result[respondedAt]) : nowMillis
}

/**
 * How long a call took the other side, in milliseconds. A response that is older than the call is another's, from a cache say; then the
 * whole time counts.
 *
 * @category measuring
 * @since 0.1.0
 */
export const tookMillis = (exit: Exit.Exit<unknown, unknown>, startMillis: number, nowMillis: number): number => {
  const took = respondedMillis(exit, nowMillis) - startMillis
  return took < 0 ? nowMillis - startMillis : took
}
