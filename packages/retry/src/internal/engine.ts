import * as Classifier from "@effect-resilience/errors/Classifier"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Attempt from "../Attempt.ts"
import * as RetryEvent from "../RetryEvent.ts"
import * as budgets from "./budget.ts"
import { endings, type Failure } from "./endings.ts"
import type { Call, Settings, Verdict, When } from "./verdict.ts"
import { decide } from "./verdict.ts"

/**
 * What a single call adds to a policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions<in E> {
  /** The recovery of errors that do not carry the right one; `undefined` falls back to `Classifier.classify`. */
  readonly classify?: Classifier.Classifier<E> | undefined
  /**
   * Has the last word on a failure that would be retried. It may be an effect, for example one that looks at a feature flag.
   */
  readonly when?: When<E> | undefined
  /** Runs before each wait, and when there is no further attempt. */
  readonly onEvent?: RetryEvent.Observer<E> | undefined
  /** Whether another attempt is made after a result; calls that say so take `ResultOptions`. */
  readonly retryWhen?: undefined
}

/**
 * What a single call adds to a policy, and that it is retried after some results too.
 *
 * - `classify`, `when`: as in `CallOptions`. They are about failures.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResultOptions<in E, in A> {
  readonly classify?: Classifier.Classifier<E> | undefined
  readonly when?: When<E> | undefined
  /** A result that is retried is an event too, whose error is a `RetryEvent.RetriedResult`. */
  readonly onEvent?: RetryEvent.Observer<E | RetryEvent.RetriedResult<A>> | undefined
  /**
   * Whether another attempt is made after a result. `true` is short for `Recovery.retry`; any `Recovery` says more, such as a
   * time or a kind. When there is no further attempt, the last result comes out as it is.
   */
  readonly retryWhen: RetryWhen<A>
}

/**
 * Whether a result is retried, and how.
 *
 * @category models
 * @since 0.1.0
 */
export type RetryWhen<in A> = (result: A) => boolean | Recovery.Recovery | undefined

/** Both, as the loop reads them. */
export interface Options<in E, in A> extends Omit<ResultOptions<E, A>, "retryWhen"> {
  readonly retryWhen?: RetryWhen<A> | undefined
}

/** What a call that ended so had been through. */
export const historyOf = (ended: object): RetryEvent.History | undefined => {
  const ending = endings.get(ended)
  if (ending === undefined) return undefined
  const { failures, stopped, why } = ending
  const attempts = [...earlierEvents(failures, stopped.attempt), stopped]
  return { attempts, dropped: stopped.attempt - attempts.length, why }
}

// The loop: `start` runs the first attempt, `next` decides after each, and `again` makes another one.

/**
 * Runs the first attempt.
 *
 * hack: nothing-before-failure. Nothing of a retry exists before the first attempt has failed.
 */
export const start = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: Settings,
  options: Options<E, A>
): Effect.Effect<A, E, R> => {
  const first = (startMillis: number) =>
    attempted(self, self, options, () => makeRun<A, E>(settings, options, startMillis))
  if (settings.maxDuration < Infinity) {
    return Effect.withFiber((fiber) => begin(fiber, first(Time.nowUnsafe(fiber.context))))
  }
  const timeless = first(0)
  return Effect.withFiber((fiber) => begin(fiber, timeless))
}

/** An attempt, and what follows it where it fails or where its result is retried. */
const attempted = <A, E, R>(
  attempt: Effect.Effect<A, E, R>,
  self: Effect.Effect<A, E, R>,
  { retryWhen }: Options<E, A>,
  run: () => Run<A, E>
): Effect.Effect<A, E, R> => {
  const failed = (cause: Cause.Cause<E>) =>
    Effect.withFiber((fiber) => {
      const begun = run()
      return goOn(fiber.context, self, begun, next(fiber, begun, cause))
    })
  if (retryWhen === undefined) return Effect.catchCause(attempt, failed)
  return Effect.matchCauseEffect(attempt, {
    onFailure: failed,
    onSuccess: (result) => {
      const wanted = retryWhen(result)
      if (wanted === undefined || wanted === false) return Effect.succeed(result)
      return Effect.withFiber((fiber) => {
        const recovery = Repetition.judgeUnsafe(fiber, result, wanted === true ? Recovery.retry : wanted)
        const begun = run()
        const retried = new RetryEvent.RetriedResult(result)
        return goOn(fiber.context, self, begun, proceed(fiber, begun, retried, recovery, undefined, undefined))
      })
    }
  })
}

const goOn = <A, E, R>(
  context: Context.Context<never>,
  self: Effect.Effect<A, E, R>,
  run: Run<A, E>,
  next: Next<A, E> | Effect.Effect<Next<A, E>>
): Effect.Effect<A, E, R> => {
  if (typeof next === "number") return Timer.delayUnsafe(context, Effect.suspend(() => again(self, run)), next)
  return Exit.isExit(next) ? next : Effect.flatMap(next, (next) => goOn(context, self, run, next))
}

const again = <A, E, R>(self: Effect.Effect<A, E, R>, run: Run<A, E>): Effect.Effect<A, E, R> => {
  const { attempt } = run
  const current = Effect.updateContext(
    self,
    (context: Context.Context<R>) => Context.add(context, Attempt.Current, attempt)
  )
  return attempted(current, self, run.options, () => run)
}

const begin = <A, E, R>(fiber: Policy.Caller, first: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const context = fiber.context as Context.Context<R>
  const budget = Context.get(context, budgets.current)
  return budget.enterUnsafe === undefined
    ? inside(first, context, budgets.deposit(context, budget))
    : budgets.followed(budget, (entered) => inside(first, context, entered))
}

/** What a call finds in its context: its budget, its first attempt, and perhaps itself. */
const inside = <A, E, R>(
  first: Effect.Effect<A, E, R>,
  context: Context.Context<R>,
  budget: budgets.AttemptBudget | undefined
): Effect.Effect<A, E, R> => {
  // Before the first attempt: the attempt around the call is still the current one.
  let begun = Attempt.callTracker()?.(context) ?? context
  if (Context.get(begun, Attempt.Current) !== Attempt.first) begun = Context.add(begun, Attempt.Current, Attempt.first)
  if (budget !== undefined) begun = Context.add(begun, budgets.current, budget)
  return begun === context ? first : Effect.updateContext(first, () => begun)
}

// One retried call, made when its first attempt has failed. 100,000 of them can wait at once, so it holds what it must,
// and the next attempt is built only when its time has come.
export interface Run<A, E> extends Call {
  /** The attempt that it has come to. */
  attempt: Attempt.Attempt
  /** The failures so far, the latest first. */
  failures: Failure<E | RetryEvent.RetriedResult<A>> | undefined
  /** What the call adds to the policy. */
  readonly options: Options<E, A>
}

export const makeRun = <A, E>(settings: Settings, options: Options<E, A>, startMillis: number): Run<A, E> => ({
  retries: 0,
  previous: 0,
  kinds: undefined,
  attempt: Attempt.first,
  failures: undefined,
  settings,
  options,
  startMillis
})

/**
 * What follows an attempt: so many milliseconds and the next one, or how the call ends.
 *
 * @category loops
 * @since 0.1.0
 */
export type Next<A, E> = number | Exit.Exit<A, E>

/** What follows an attempt that failed; an effect where others have a say in it or hear of it. */
export const next = <A, E>(
  caller: Policy.Caller,
  run: Run<A, E>,
  cause: Cause.Cause<E>
): Next<A, E> | Effect.Effect<Next<A, E>> => {
  const failure = recoverable(cause)
  if (failure === undefined) return Exit.failCause(cause)
  const { error } = failure
  const { options } = run
  return proceed(caller, run, error, recoveryOf(caller, options, error), options.when, cause)
}

const proceed = <A, E, Error extends E | RetryEvent.RetriedResult<A>>(
  caller: Policy.Caller,
  run: Run<A, E>,
  error: Error,
  recovery: Recovery.Recovery,
  when: When<Error> | undefined,
  cause: Cause.Cause<E> | undefined
): Next<A, E> | Effect.Effect<Next<A, E>> => {
  const verdict = decide(caller, run, error, recovery, run.attempt.attempt, when)
  return Effect.isEffect(verdict)
    ? Effect.flatMap(verdict, (verdict) => {
      const next = settle(caller, run, error, recovery, verdict, cause)
      return Effect.isEffect(next) && !Exit.isExit(next) ? next : Effect.succeed(next)
    })
    : settle(caller, run, error, recovery, verdict, cause)
}

// Without a further attempt, the call ends with what the last one ended with: its cause, or the result that was to be retried.
const settle = <A, E>(
  caller: Policy.Caller,
  run: Run<A, E>,
  error: E | RetryEvent.RetriedResult<A>,
  recovery: Recovery.Recovery,
  verdict: Verdict,
  cause: Cause.Cause<E> | undefined
): Next<A, E> | Effect.Effect<Next<A, E>> => {
  const { attempt } = run.attempt
  const observer = observerOf(caller, run.options)
  if (typeof verdict === "number") {
    prepareNext(run, error, recovery, verdict)
    return observer === undefined ? verdict : Effect.as(observer(eventOf(error, recovery, attempt, verdict)), verdict)
  }
  const stopped = eventOf(error, recovery, attempt, verdict)
  remember(run, stopped, verdict)
  const ended = cause === undefined
    ? Exit.succeed((error as RetryEvent.RetriedResult<A>).result)
    : Exit.failCause(cause)
  return observer === undefined ? ended : Effect.as(observer(stopped), ended)
}

export const eventOf = <E>(
  error: E,
  recovery: Recovery.Recovery,
  attempt: number,
  verdict: Verdict
): RetryEvent.RetryEvent<E> =>
  typeof verdict === "number"
    ? { _tag: "Retrying", attempt, error, recovery, delay: Duration.millis(verdict) }
    : { _tag: "Stopped", attempt, error, recovery, why: verdict }

// As `Effect.catch` sees it: a defect beside the failure forbids recovery.
const recoverable = <E>(cause: Cause.Cause<E>): Cause.Fail<E> | undefined => {
  let failure: Cause.Fail<E> | undefined
  for (const reason of cause.reasons) {
    if (Cause.isDieReason(reason)) return undefined
    if (failure === undefined && Cause.isFailReason(reason)) failure = reason
  }
  return failure
}

export const recoveryOf = <E>(
  caller: Policy.Caller,
  { classify }: { readonly classify?: Classifier.Classifier<E> | undefined },
  error: E
): Recovery.Recovery =>
  Repetition.judgeUnsafe(
    caller,
    error,
    classify?.(error) ?? Classifier.classify(error, caller.getRef(Clock.Clock).currentTimeMillisUnsafe())
  )

/** Who hears of the events of a call, if anybody does. */
export const observerOf = <E>(
  caller: Policy.Caller,
  { onEvent }: { readonly onEvent?: RetryEvent.Observer<E> | undefined }
): RetryEvent.Observer<E> | undefined => {
  const observer = caller.getRef(RetryEvent.CurrentObserver)
  if (observer === undefined || onEvent === undefined) return onEvent ?? observer
  return (event) => Effect.andThen(onEvent(event), observer(event))
}

// How many events a history has, the last one included.
const kept = 100

const prepareNext = <A, E>(
  run: Run<A, E>,
  error: E | RetryEvent.RetriedResult<A>,
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

const remember = <A, E>(
  { failures }: Run<A, E>,
  stopped: RetryEvent.RetryEvent<E | RetryEvent.RetriedResult<A>>,
  why: RetryEvent.StopReason
): void => {
  const { error } = stopped
  const ended = RetryEvent.isRetriedResult(error) ? error.result : error
  if (Predicate.isObject(ended)) endings.set(ended, { failures, stopped, why })
}

const earlierEvents = <E>(last: Failure<E> | undefined, stoppedAt: number): Array<RetryEvent.RetryEvent<E>> => {
  const events: Array<RetryEvent.RetryEvent<E>> = []
  for (let failure = last; failure !== undefined && events.length < kept - 1; failure = failure.earlier) {
    const { delayMillis, error, recovery } = failure
    const attempt = stoppedAt - events.length - 1
    events.push(eventOf(error, recovery, attempt, delayMillis))
  }
  return events.reverse()
}
