/**
 * Limits how long an effect may take.
 *
 * **When to use**
 *
 * Use for one attempt, whose limit is a duration. For a whole operation with everything that it calls, use `Deadline`.
 *
 * **Details**
 *
 * Works as `Effect.timeout` does, at a third of the cost: only the effect runs in a fiber of its own, and the platform's
 * timer waits. Under a `TestClock` the test's time counts.
 *
 * **Gotchas**
 *
 * A timeout interrupts the effect and awaits its finalizers. An effect that cannot be interrupted therefore runs to its end,
 * and times out then. The timeout never replaces a defect.
 *
 * **Example** (A typed failure)
 *
 * ```ts import.meta.vitest
 * import { Timeout } from "@effect-resilience/deadline"
 * import { Effect } from "effect"
 *
 * const call = Effect.never.pipe(
 *   Timeout.withTimeout("1 millis"),
 *   Effect.catchTag("TimedOut", (error) => Effect.succeed(error.message))
 * )
 * await Effect.runPromise(call) // => "did not finish within 1ms"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Repetition from "@effect-resilience/errors/Repetition"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as limit from "./internal/limit.ts"
import { TimedOut } from "./internal/timedOut.ts"

export { TimedOut }

/**
 * The failure of an effect of a fiber that ran out of time. For code that cannot afford `withTimeout`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const timedOutUnsafe = (caller: Policy.Caller, timeout: Duration.Duration): TimedOut =>
  new TimedOut(
    Repetition.isDoubtful(Repetition.currentUnsafe(caller)) ? { timeout, outcomeUnknown: true } : { timeout }
  )

/**
 * Fails with `TimedOut` if the effect takes longer than `duration`. An infinite duration is no limit.
 *
 * @category limiting
 * @since 0.1.0
 */
export const withTimeout: {
  (duration: Duration.Input): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TimedOut, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input): Effect.Effect<A, E | TimedOut, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input): Effect.Effect<A, E | TimedOut, R> => {
    const allowed = Duration.fromInputUnsafe(duration)
    return limit.interruptAfter(
      self,
      Duration.toMillis(allowed),
      () => Effect.withFiber((fiber) => Effect.fail(timedOutUnsafe(fiber, allowed)))
    )
  }
)

/**
 * Continues with `orElse` if the effect takes longer than `duration`.
 *
 * @category limiting
 * @since 0.1.0
 */
export const withTimeoutOrElse: {
  <A2, E2, R2>(options: {
    readonly duration: Duration.Input
    readonly orElse: () => Effect.Effect<A2, E2, R2>
  }): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2, R | R2>
  <A, E, R, A2, E2, R2>(self: Effect.Effect<A, E, R>, options: {
    readonly duration: Duration.Input
    readonly orElse: () => Effect.Effect<A2, E2, R2>
  }): Effect.Effect<A | A2, E | E2, R | R2>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R, A2, E2, R2>(self: Effect.Effect<A, E, R>, options: {
    readonly duration: Duration.Input
    readonly orElse: () => Effect.Effect<A2, E2, R2>
  }): Effect.Effect<A | A2, E | E2, R | R2> =>
    limit.interruptAfter(self, Duration.toMillis(options.duration), options.orElse)
)

/**
 * Continues with `orElse` if an effect uses up its time, which it can extend while it runs, such as an upload whose bytes
 * move.
 *
 * - `remaining`: returns how many milliseconds are left. It is called at the beginning, and each time when that time has
 *   passed. `Infinity` ends the watch.
 *
 * **Example** (At most a minute between two signs of life)
 *
 * ```ts import.meta.vitest
 * import { Timeout } from "@effect-resilience/deadline"
 * import { Clock, Effect, Fiber } from "effect"
 * import { TestClock } from "effect/testing"
 *
 * const program = Effect.gen(function*() {
 *   const clock = yield* Clock.Clock
 *   let lastSign = clock.currentTimeMillisUnsafe()
 *   const sign = Effect.sync(() => lastSign = clock.currentTimeMillisUnsafe())
 *   const work = Effect.andThen(Effect.repeat(Effect.delay(sign, "40 seconds"), { times: 2 }), Effect.never)
 *   const fiber = yield* work.pipe(
 *     Timeout.withWatchdog({
 *       remaining: () => lastSign + 60_000 - clock.currentTimeMillisUnsafe(),
 *       orElse: () => Effect.map(Clock.currentTimeMillis, (now) => `silent since ${lastSign}, at ${now}`)
 *     }),
 *     Effect.forkChild
 *   )
 *   yield* TestClock.adjust("1 hour")
 *   return yield* Fiber.join(fiber)
 * })
 * await Effect.runPromise(Effect.provide(program, TestClock.layer())) // => "silent since 120000, at 180000"
 * ```
 *
 * @category limiting
 * @since 0.1.0
 */
export const withWatchdog: {
  <A2, E2, R2>(options: {
    readonly remaining: () => number
    readonly orElse: () => Effect.Effect<A2, E2, R2>
  }): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2, R | R2>
  <A, E, R, A2, E2, R2>(self: Effect.Effect<A, E, R>, options: {
    readonly remaining: () => number
    readonly orElse: () => Effect.Effect<A2, E2, R2>
  }): Effect.Effect<A | A2, E | E2, R | R2>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R, A2, E2, R2>(self: Effect.Effect<A, E, R>, { orElse, remaining }: {
    readonly remaining: () => number
    readonly orElse: () => Effect.Effect<A2, E2, R2>
  }): Effect.Effect<A | A2, E | E2, R | R2> =>
    Effect.suspend(() => limit.interruptAfter(self, remaining(), orElse, remaining))
)
