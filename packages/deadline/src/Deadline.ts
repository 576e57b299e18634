/**
 * An instant by which an operation must be done, with everything that it calls.
 *
 * **Why**
 *
 * Timeouts add up: three calls with three attempts of ten seconds each are a minute and a half to a caller who left after
 * five seconds. A deadline is one instant, carried by the fiber. Nested deadlines can only shorten it; retries, hedges,
 * queues and logins read what remains and do not start what cannot finish; clients write it into a header, so the next
 * service knows it too.
 *
 * **Details**
 *
 * The instant stands on the monotonic clock of the fiber's `Clock`, so a corrected wall clock does not move it.
 *
 * When the time is up, `within` interrupts the work and its deadline ends: finalizers have none, so that a clean-up with
 * retries or limits of its own runs. Give it a `within` of its own to bound it.
 *
 * **Gotchas**
 *
 * A fiber inherits the deadline of the one that forks it. Work that shall outlive the operation starts with `unlimited`.
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
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as limit from "./internal/limit.ts"

/**
 * The instant, in milliseconds of the fiber's monotonic clock; `Infinity` where there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Deadline {
  readonly atMillis: number
}

/**
 * The deadline was reached, or is too near for what was to come. Trying again within the same operation cannot help.
 *
 * - `allowed`: the time that the deadline left when it was set, or that `demand` asked for.
 * - `begun`: whether the work had begun. Where it had not, the error is `NotAsked`.
 * - `inherited`: whether the deadline was that of a caller, nearer than the one that `within` set. That a caller had little
 *   time says nothing about what was called.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends Data.TaggedError("DeadlineExceeded")<{
  readonly allowed: Duration.Duration
  readonly begun: boolean
  readonly inherited: boolean
}> {
  get [NotAsked.symbol](): boolean {
    return !this.begun
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `not done by the deadline (${Duration.format(this.allowed)})`
  }
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
 * Providing a value informs those who ask, but interrupts nobody: that is what `within` does.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Deadline> = /* @__PURE__ */ Context.Reference<Deadline>(
  "@effect-resilience/deadline/Deadline/Current",
  { defaultValue: () => none }
)

/**
 * Fails with `DeadlineExceeded` where the effect is not done `duration` from now, or by the deadline that holds already,
 * whichever is earlier. Where no time is left, the effect is not started.
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
    return Effect.withFiber((fiber) => {
      const outer = fiber.getRef(Current)
      if (wanted === Infinity && outer.atMillis === Infinity) return self
      const now = Time.nowUnsafe(fiber.context)
      const millis = Math.min(wanted, outer.atMillis - now)
      const inherited = outer.atMillis <= now + wanted
      const exceeded = (begun: boolean) =>
        Effect.fail(new DeadlineExceeded({ allowed: wholeMillis(Math.max(0, millis)), begun, inherited }))
      if (millis <= 0) return exceeded(false)
      const running = outer instanceof Running && inherited ? outer : new Running(now + millis)
      const known = running === outer ? self : Effect.provideService(self, Current, running)
      return limit.interruptAfter(known, millis, () => exceeded(true), () => running.end())
    })
  }
)

/**
 * The time that is left: never negative, and infinite without a deadline.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Duration.Duration> = /* @__PURE__ */ Effect.withFiber((fiber) =>
  Effect.succeed(Duration.millis(Math.max(0, remainingMillisUnsafe(fiber))))
)

/**
 * The milliseconds that are left to a fiber: negative once the deadline has passed, and `Infinity` without one. For code
 * that holds the fiber already and cannot afford an effect.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remainingMillisUnsafe = (fiber: Fiber.Fiber<unknown, unknown>): number => {
  const { atMillis } = fiber.getRef(Current)
  return atMillis === Infinity ? Infinity : atMillis - Time.nowUnsafe(fiber.context)
}

/**
 * Fails with `DeadlineExceeded` unless at least `duration` is left: a guard before work, or a wait, of known length.
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
 * Runs an effect without the deadline of its surroundings, for work that is meant to outlive them.
 *
 * **Gotchas**
 *
 * Fork it detached: a `within` around it still interrupts what runs in its own fiber.
 *
 * @category limiting
 * @since 0.1.0
 */
export const withoutDeadline = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Current, none)

// What still runs once the time is up and the work has been interrupted is clean-up, and that has no deadline.
class Running implements Deadline {
  atMillis: number

  constructor(atMillis: number) {
    this.atMillis = atMillis
  }

  end(): number {
    this.atMillis = Infinity
    return 0
  }
}

const wholeMillis = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))
