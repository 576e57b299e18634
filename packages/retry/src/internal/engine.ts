import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Classifier from "@effect-resilience/errors/Classifier"
import type * as Recovery from "@effect-resilience/errors/Recovery"
import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Attempt from "../Attempt.ts"
import * as RetryEvent from "../RetryEvent.ts"
import * as budgets from "./budget.ts"
import type { Draw, Position } from "./delays.ts"
import { next } from "./delays.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** The options of a policy, as they were read. */
export interface Settings {
  readonly times: number
  readonly backoff: { readonly draw: Draw }
  readonly maxRetryAfter: Duration.Duration
  readonly maxDuration: number
}

/**
 * What a single call adds to a policy.
 *
 * - `classify`: the recovery of errors that do not carry the right one; `undefined` falls back to
 *   `Classifier.classify`.
 * - `when`: has the last word on a failure that would be retried.
 * - `onEvent`: runs before each wait, and when there is no further attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions<in E> {
  readonly classify?: Classifier.Classifier<E> | undefined
  readonly when?: ((error: E, attempt: number) => boolean) | undefined
  readonly onEvent?: RetryEvent.Observer<E> | undefined
}

/** Beside the errors, not in them: an error keeps its type, its tag and what it prints. */
export const histories = /* @__PURE__ */ new WeakMap<object, RetryEvent.History>()

// The loop: `start` runs the first attempt, `failed` decides after each, and `again` of the run is the next one.

/**
 * Runs the first attempt.
 *
 * hack: nothing-before-failure. Nothing of a retry exists before the first attempt has failed.
 */
export const start = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: Settings,
  options: CallOptions<E>
): Effect.Effect<A, E, R> => {
  const first = (startMillis: number) =>
    Effect.catchCause(self, (cause) => failed(makeRun(self, settings, options, startMillis), cause))
  if (settings.maxDuration < Infinity) {
    return Effect.withFiber((fiber) => begin(fiber, first(Time.nowUnsafe(fiber.context))))
  }
  const timeless = first(0)
  return Effect.withFiber((fiber) => begin(fiber, timeless))
}

const begin = <A, E, R>(fiber: AnyFiber, first: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const counted = budgets.counted(fiber.context, first)
  const begun = fiber.getRef(Attempt.Current) === Attempt.first
    ? counted
    : Effect.provideService(counted, Attempt.Current, Attempt.first)
  // Outside of what begins the first attempt: the attempt around the call is still the current one.
  const track = Attempt.callTracker()
  return track === undefined ? begun : Effect.updateContext(begun, track)
}

// One retried call, made when its first attempt has failed. 100,000 of them can wait at once, so it holds what it must,
// and the next attempt is built only when its time has come.
interface Run<A, E, R> extends Position {
  attempt: Attempt.Attempt
  failures: Failure<E> | undefined
  readonly settings: Settings
  readonly options: CallOptions<E>
  readonly startMillis: number
  readonly again: Effect.Effect<A, E, R>
}

const makeRun = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: Settings,
  options: CallOptions<E>,
  startMillis: number
): Run<A, E, R> => {
  const run: Run<A, E, R> = {
    retries: 0,
    previous: 0,
    attempt: Attempt.first,
    failures: undefined,
    settings,
    options,
    startMillis,
    again: Effect.suspend(() =>
      Effect.catchCause(
        Effect.provideService(self, Attempt.Current, run.attempt),
        (cause) => failed(run, cause)
      )
    )
  }
  return run
}

const failed = <A, E, R>(run: Run<A, E, R>, cause: Cause.Cause<E>): Effect.Effect<A, E, R> => {
  const failure = recoverable(cause)
  if (failure === undefined) return Effect.failCause(cause)
  return Effect.withFiber((fiber) => {
    const { error } = failure
    const { options, settings, startMillis } = run
    const { attempt } = run.attempt
    const recovery = recoveryOf(fiber, options, error)
    const elapsed = settings.maxDuration < Infinity ? Time.nowUnsafe(fiber.context) - startMillis : 0
    const verdict = decide(fiber, settings, options, error, recovery, attempt, elapsed, run)
    if (typeof verdict !== "number") {
      const stopped: RetryEvent.RetryEvent<E> = { _tag: "Stopped", attempt, error, recovery, why: verdict }
      remember(run, stopped, verdict)
      return notifyThen(fiber, options, Effect.failCause(cause), () => stopped)
    }
    prepareNext(run, error, recovery, verdict)
    return notifyThen(fiber, options, Timer.delayUnsafe(fiber.context, run.again, verdict), () => ({
      _tag: "Retrying",
      attempt,
      error,
      recovery,
      delay: Duration.millis(verdict)
    }))
  })
}

// As `Effect.catch` sees it: a defect beside the failure forbids recovery.
const recoverable = <E>(cause: Cause.Cause<E>): Cause.Fail<E> | undefined => {
  let failure: Cause.Fail<E> | undefined
  for (const reason of cause.reasons) {
    if (Cause.isDieReason(reason)) return undefined
    if (failure === undefined && Cause.isFailReason(reason)) failure = reason
  }
  return failure
}

export const recoveryOf = <E>(fiber: AnyFiber, options: CallOptions<E>, error: E): Recovery.Recovery =>
  options.classify?.(error) ?? Classifier.classify(error, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())

/** The wait before the next attempt, or why there is none. The budget is asked last, since asking it costs. */
export const decide = <E>(
  fiber: AnyFiber,
  settings: Settings,
  options: CallOptions<E>,
  error: E,
  recovery: Recovery.Recovery,
  attempt: number,
  elapsed: number,
  position: Position
): number | RetryEvent.StopReason => {
  if (recovery._tag !== "Retry") return notRetryable
  const budget = fiber.getRef(budgets.current)
  budget.failedUnsafe?.(attempt > 1)
  if (attempt > settings.times) return { _tag: "TimesUsedUp", times: settings.times }
  if (options.when !== undefined && !options.when(error, attempt)) return notRetryable
  const { after } = recovery
  if (after !== undefined && Duration.isGreaterThan(after, settings.maxRetryAfter)) {
    return { _tag: "RetryAfterTooLong", after, max: settings.maxRetryAfter }
  }
  const delay = delayOf(fiber, settings, position, after === undefined ? 0 : Duration.toMillis(after))
  if (elapsed + delay > settings.maxDuration) return { _tag: "OutOfTime", limit: "maxDuration" }
  if (delay >= Deadline.remainingMillisUnsafe(fiber)) return { _tag: "OutOfTime", limit: "deadline" }
  return budget === budgets.noop || budgets.withdraw(budget, fiber.context)
    ? delay
    : { _tag: "BudgetExhausted", budget: budget.name }
}

const notRetryable: RetryEvent.StopReason = { _tag: "NotRetryable" }

/** Never before `after`. Where chance has a part in the delay, that comes on top, so that callers do not return together. */
const delayOf = (fiber: AnyFiber, settings: Settings, position: Position, after: number): number => {
  const random = fiber.getRef(Random.Random)
  let drawn = false
  const delay = next(settings.backoff.draw, position, () => {
    drawn = true
    return random.nextDoubleUnsafe()
  })
  return after <= delay ? delay : Math.ceil(drawn ? after + delay : after)
}

/** Does `then`, after all observers have had the event. */
export const notifyThen = <E, A, E2, R>(
  fiber: AnyFiber,
  options: CallOptions<E>,
  then: Effect.Effect<A, E2, R>,
  event: () => RetryEvent.RetryEvent<E>
): Effect.Effect<A, E2, R> => {
  const observer = fiber.getRef(RetryEvent.CurrentObserver)
  if (observer === undefined && options.onEvent === undefined) return then
  const happened = event()
  const observed = observer === undefined ? then : Effect.andThen(observer(happened), then)
  return options.onEvent === undefined ? observed : Effect.andThen(options.onEvent(happened), observed)
}

// What a run keeps of its failures.

interface Failure<out E> {
  readonly error: E
  readonly recovery: Recovery.Recovery
  readonly delayMillis: number
  earlier: Failure<E> | undefined
}

// How many events a history has, the last one included.
const kept = 100

const prepareNext = <A, E, R>(
  run: Run<A, E, R>,
  error: E,
  recovery: Recovery.Recovery,
  delayMillis: number
): void => {
  const { attempt } = run.attempt
  run.failures = { error, recovery, delayMillis, earlier: run.failures }
  // Seldom, so that it costs little.
  if (attempt % kept === 0) forgetBeyond(kept, run.failures)
  run.attempt = { attempt: attempt + 1, previous: recovery, hedge: 0 }
}

const forgetBeyond = (count: number, last: Failure<unknown>): void => {
  let failure = last
  for (let left = count; left > 1 && failure.earlier !== undefined; left--) failure = failure.earlier
  failure.earlier = undefined
}

const remember = <E>(
  { failures }: Run<unknown, E, unknown>,
  stopped: RetryEvent.RetryEvent<E>,
  why: RetryEvent.StopReason
): void => {
  const { attempt, error } = stopped
  if (!Predicate.isObject(error)) return
  const attempts = [...earlierEvents(failures, attempt), stopped]
  histories.set(error, { attempts, dropped: attempt - attempts.length, why })
}

const earlierEvents = <E>(last: Failure<E> | undefined, stoppedAt: number): Array<RetryEvent.RetryEvent<E>> => {
  const events: Array<RetryEvent.RetryEvent<E>> = []
  for (let failure = last; failure !== undefined && events.length < kept - 1; failure = failure.earlier) {
    const { delayMillis, error, recovery } = failure
    const attempt = stoppedAt - events.length - 1
    events.push({ _tag: "Retrying", attempt, error, recovery, delay: Duration.millis(delayMillis) })
  }
  return events.reverse()
}
