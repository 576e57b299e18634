/**
 * An instant by which an operation must be done, with everything that it calls.
 *
 * **Why**
 *
 * Timeouts add up: three calls with three attempts of ten seconds each take a minute and a half, although their caller left
 * after five seconds. A deadline is one instant, which the fiber carries. Nested deadlines can only shorten it. Retries,
 * hedges, queues and logins read the remaining time and do not start what cannot finish. Clients write it into a header, so
 * the next service knows it too.
 *
 * **Details**
 *
 * The instant is one of the monotonic time of the fiber's `Clock`, so a corrected wall clock does not move it.
 *
 * When the time is up, `withDeadline` interrupts the work and removes the deadline, so that finalizers with retries or
 * limits of their own run. To limit a finalizer, give it a `withDeadline` of its own.
 *
 * **Gotchas**
 *
 * A fiber inherits the deadline of the fiber that forks it. Start work that has to outlive the operation with
 * `withoutDeadline`.
 *
 * **Example** (Nested deadlines shrink)
 *
 * ```ts import.meta.vitest
 * import { Deadline } from "@effect-resilience/deadline"
 * import { Duration, Effect } from "effect"
 *
 * const inner = Deadline.remaining.pipe(Deadline.withDeadline("1 hour"))
 * const left = await Effect.runPromise(inner.pipe(Deadline.withDeadline("2 seconds")))
 * Duration.isLessThanOrEqualTo(left, Duration.seconds(2)) // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import { Current, type Deadline, none, remainingMillisUnsafe } from "./internal/current.ts"
import { DeadlineExceeded, isRunning, Limited } from "./internal/limited.ts"

export type { Deadline } from "./internal/current.ts"
export { Current, none, remainingMillisUnsafe } from "./internal/current.ts"
export { DeadlineExceeded } from "./internal/limited.ts"

/**
 * Fails with `DeadlineExceeded` if the effect is not done `duration` from now or by the current deadline, whichever is
 * earlier. If no time is left, the effect does not start.
 *
 * @category limiting
 * @since 0.1.0
 */
export const withDeadline: {
  (duration: Duration.Input): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DeadlineExceeded, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input): Effect.Effect<A, E | DeadlineExceeded, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input): Effect.Effect<A, E | DeadlineExceeded, R> => {
    const wanted = Duration.toMillis(duration)
    return new Limited(self, wanted)
  }
)

/**
 * The remaining time: never negative, and infinite without a deadline.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Duration.Duration> = /* @__PURE__ */ Effect.withFiber((fiber) =>
  Effect.succeed(Duration.millis(Math.max(0, remainingMillisUnsafe(fiber))))
)

/**
 * Fails with `DeadlineExceeded` unless at least `duration` is left. Use it before work, or a wait, of known length.
 *
 * @category limiting
 * @since 0.1.0
 */
export const demand = (duration: Duration.Input): Effect.Effect<void, DeadlineExceeded> => {
  const needed = Duration.fromInputUnsafe(duration)
  const millis = Duration.toMillis(needed)
  return Effect.withFiber((fiber) =>
    remainingMillisUnsafe(fiber) < millis
      ? Effect.fail(new DeadlineExceeded({ allowed: needed, begun: false, inherited: true }))
      : Effect.void
  )
}

/**
 * Runs an effect without the current deadline, for work that has to outlive the operation.
 *
 * **Gotchas**
 *
 * Fork the effect detached: an outer `withDeadline` still interrupts what runs in its own fiber.
 *
 * @category limiting
 * @since 0.1.0
 */
export const withoutDeadline = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Current, none)

/**
 * Suspends a deadline that `withDeadline` has set: it interrupts nothing and is not seen, until the function that is returned
 * resumes it. For work that has come to a part which may last, such as the stream of a response. Other deadlines stay as they are.
 *
 * @category limiting
 * @since 0.1.0
 */
export const suspendUnsafe = (deadline: Deadline): () => void => {
  if (!isRunning(deadline)) return nothing
  deadline.suspend()
  return () => deadline.resume()
}

const nothing = () => {}
