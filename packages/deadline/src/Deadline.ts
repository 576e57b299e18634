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
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as limit from "./internal/limit.ts"

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
 * The deadline was reached, or too little time is left. A retry within the same operation cannot help.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends ErrorMessage.TaggedError("DeadlineExceeded")<{
  /** The time left when the deadline was set, or the time that `demand` required. */
  readonly allowed: Duration.Duration
  /** Whether the work had begun. If not, the error is `NotAsked`. */
  readonly begun: boolean
  /**
   * Whether it was the deadline of a caller, earlier than that of `withDeadline`. A caller's lack of time says nothing about
   * the dependency.
   */
  readonly inherited: boolean
  /** True where the work had begun, must not be made twice (`Repetition.Current`), and may have been applied. */
  readonly outcomeUnknown?: true | undefined
}> {
  get [NotAsked.symbol](): boolean {
    return !this.begun
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.outcomeUnknown === true ? Recovery.verify : Recovery.giveUp
  }
  override get message(): string {
    const late = `not done by the deadline (${Duration.format(this.allowed)})`
    return this.outcomeUnknown === true ? `${late}. It may have been applied: check before repeating it.` : late
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
 * The remaining milliseconds of a fiber: negative after the deadline, and `Infinity` without one. For code that already has
 * the fiber and cannot afford an effect.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remainingMillisUnsafe = (fiber: Fiber.Fiber<unknown, unknown>): number => {
  const { atMillis } = fiber.getRef(Current)
  return atMillis === Infinity ? Infinity : atMillis - Time.nowUnsafe(fiber.context)
}

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

/** A limited effect. It needs no fiber but the one that it can interrupt. */
class Limited<A, E, R> extends Effectable.Class<A, E | DeadlineExceeded, R>
  implements Direct.Direct<A, E | DeadlineExceeded>
{
  private readonly self: Effect.Effect<A, E, R>
  private readonly wanted: number

  constructor(self: Effect.Effect<A, E, R>, wanted: number) {
    super()
    this.self = self
    this.wanted = wanted
  }

  override asEffect(): Effect.Effect<A, E | DeadlineExceeded, R> {
    return Effect.withFiber((fiber) => this.isUnlimited(fiber.getRef(Current)) ? this.self : Direct.wait(this))
  }

  [Direct.direct](outside: Context.Context<never>): Direct.Running<A, E | DeadlineExceeded> {
    const { self, wanted } = this
    // The effect needs R, so what runs it has R.
    const context = outside as Context.Context<R>
    const outer = Context.get(context, Current)
    if (this.isUnlimited(outer)) return Direct.startUnsafe(self, context)
    const now = Time.nowUnsafe(context)
    const millis = Math.min(wanted, outer.atMillis - now)
    const inherited = outer.atMillis <= now + wanted
    const exceeded = (begun: boolean) =>
      Exit.fail(
        new DeadlineExceeded({
          allowed: wholeMillis(Math.max(0, millis)),
          begun,
          inherited,
          ...(begun && Repetition.isDoubtful(Repetition.currentIn(context)) && { outcomeUnknown: true as const })
        })
      )
    if (millis <= 0) return Direct.ended(exceeded(false))
    const running = isRunning(outer) && inherited ? outer : new Running(now + millis)
    const inside = running === outer ? context : Context.add(context, Current, running)
    return limit.startUnsafe(self, inside, millis, () => exceeded(true), (look) => running.elapse(look), now)
  }

  private isUnlimited(outer: Deadline): boolean {
    return this.wanted === Infinity && outer.atMillis === Infinity
  }
}

class Running implements Deadline {
  atMillis: number
  private readonly until: number
  private isSuspended = false
  private look: (() => void) | undefined = undefined

  constructor(atMillis: number) {
    this.atMillis = atMillis
    this.until = atMillis
  }

  /** For how long the work may go on: not at all, or as long as it is suspended. `look` asks again. */
  elapse(look: () => void): number {
    this.atMillis = Infinity
    // After the interruption only finalizers still run, and they have no deadline.
    if (!this.isSuspended) return 0
    this.look = look
    return Infinity
  }
  suspend(): void {
    this.isSuspended = true
    this.atMillis = Infinity
  }
  resume(): void {
    if (!this.isSuspended) return
    this.isSuspended = false
    this.atMillis = this.until
    this.look?.()
  }
}

// Another copy of this module may have made it.
const isRunning = (deadline: Deadline): deadline is Running => "suspend" in deadline

const wholeMillis = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))
