/**
 * What a retry does, for observers.
 *
 * **When to use**
 *
 * Use `observe` to watch all retries inside an effect: those of libraries too, which take no hook of yours. To watch one
 * retry, give `RetryPolicy.retry` an `onEvent`.
 *
 * **Example** (Counting the retries of a whole program)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { Backoff, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const policy = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })
 * const call = Effect.fail("unavailable").pipe(RetryPolicy.retry(policy, { classify: () => Recovery.retry }))
 *
 * const seen: Array<string> = []
 * const program = call.pipe(
 *   RetryEvent.observe((event) => Effect.sync(() => seen.push(`${event._tag} ${event.attempt}`))),
 *   Effect.ignore
 * )
 * await Effect.runPromise(program)
 * seen // => ["Retrying 1", "Retrying 2", "Stopped 3"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import { fullNameOf } from "@effect-resilience/kernel/ErrorName"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as LogLevel from "effect/LogLevel"
import * as Predicate from "effect/Predicate"
import { endings } from "./internal/endings.ts"
import type { RetryEvent, StopReason } from "./internal/events.ts"

export type { RetryEvent, StopReason } from "./internal/events.ts"

/**
 * Stands for an error in the events of a call that retries after some results (`RetryPolicy.retryWhen`).
 *
 * @category models
 * @since 0.1.0
 */
export class RetriedResult<out A = unknown> {
  readonly _tag = "RetriedResult"
  /** The result. */
  readonly result: A

  constructor(result: A) {
    this.result = result
  }
}

/**
 * Tells whether the error of an event stands for a result, whichever copy of the package made it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRetriedResult = (u: unknown): u is RetriedResult => Predicate.isTagged(u, "RetriedResult")

/**
 * What happened before the last failure of a retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface History {
  /**
   * The event of each failure, in order: `Retrying` with the wait that followed, and `Stopped` at the end. At most the last
   * 100.
   */
  readonly attempts: ReadonlyArray<RetryEvent>
  /** How many came before those and are not kept; 0 as a rule. */
  readonly dropped: number
  /** Why there was no further attempt. */
  readonly why: StopReason
}

/**
 * Why no further attempt followed an error that came out of a retry; `undefined` for any other. It is the `why` of
 * `RetryPolicy.history`, for what loads no policies, such as a log.
 *
 * @category accessors
 * @since 0.1.0
 */
export const whyStopped = (error: unknown): StopReason | undefined =>
  Predicate.isObject(error) ? endings.get(error)?.why : undefined

/**
 * Listens to retries.
 *
 * @category models
 * @since 0.1.0
 */
export type Observer<in E = unknown> = (event: RetryEvent<E>) => Effect.Effect<unknown>

/**
 * The listener of the running fiber; by default there is none.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentObserver: Context.Reference<Observer | undefined> = /* @__PURE__ */ Context.Reference<
  Observer | undefined
>("@effect-resilience/retry/RetryEvent/CurrentObserver", { defaultValue: () => undefined })

/**
 * Sends the events of every retry inside an effect to `observer`, after those that listen already.
 *
 * @category observing
 * @since 0.1.0
 */
export const observe: {
  (observer: Observer): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, observer: Observer): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, observer: Observer): Effect.Effect<A, E, R> =>
    Effect.updateService(
      self,
      CurrentObserver,
      (outer) => outer === undefined ? observer : (event) => Effect.andThen(outer(event), observer(event))
    )
)

/**
 * An observer that logs each event as one line with annotations: `retry.attempt`, `retry.delayMs`, `retry.recovery`,
 * `retry.stopped` and `error.type` (the error's tag). Nothing of the error's contents is logged.
 *
 * @category observing
 * @since 0.1.0
 */
export const logger = (level: LogLevel.Severity = "Info"): Observer => (event) =>
  Effect.annotateLogs(Effect.logWithLevel(level)(describe(event)), {
    "retry.attempt": event.attempt,
    "retry.recovery": event.recovery._tag,
    "error.type": fullNameOf(event.error),
    ...(event._tag === "Retrying"
      ? { "retry.delayMs": Duration.toMillis(event.delay) }
      : { "retry.stopped": event.why._tag })
  })

/**
 * One line for people. It names the error's tag, not its contents.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (event: RetryEvent): string => {
  const failed = isRetriedResult(event.error)
    ? `attempt ${event.attempt} had a result to retry`
    : `attempt ${event.attempt} failed with ${fullNameOf(event.error)}`
  return event._tag === "Retrying"
    ? `${failed}, next in ${Duration.format(event.delay)}`
    : `${failed}, no further attempt: ${describeWhy(event.why, event.recovery)}`
}

const describeWhy = (why: StopReason, recovery: Recovery.Recovery): string => {
  switch (why._tag) {
    case "NotRetryable":
      return recovery._tag === "Retry" ? "the caller declines" : Recovery.describe(recovery)
    case "TimesUsedUp":
      return `${why.times === 1 ? "the one retry" : `all ${why.times} retries`}${
        why.kind === undefined ? "" : ` after ${why.kind} failures`
      } ${why.times === 1 ? "is" : "are"} used up`
    case "RetryAfterTooLong":
      return `the server asks for ${Duration.format(why.after)}, more than ${Duration.format(why.max)}`
    case "OutOfTime":
      return why.limit === "deadline" ? "the deadline is too near" : "the time for retries is used up"
    case "BudgetExhausted":
      return `the budget "${why.budget}" rejects`
  }
}
