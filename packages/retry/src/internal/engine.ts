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
import type * as RetryEvent from "../RetryEvent.ts"
import type { History, Options, RetryPolicy } from "../RetryPolicy.ts"
import * as current from "./current.ts"
import type { Position } from "./delays.ts"
import { next } from "./delays.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>
type AnyPolicy = RetryPolicy<Duration.Duration | undefined>

/** Beside the errors, not in them: an error keeps its type, its tag and what it prints. */
export const histories = /* @__PURE__ */ new WeakMap<object, History>()

/** Runs the first attempt. Nothing of a retry exists before it has failed. */
export const start = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  policy: AnyPolicy,
  options: Options<E>
): Effect.Effect<A, E, R> => {
  const guarded = (startMillis: number) =>
    Effect.catchCause(self, (cause) => afterFailure(makeRun(self, policy, options, startMillis), cause))
  if (Duration.isFinite(policy.maxDuration)) {
    return Effect.withFiber((fiber) => begin(fiber, guarded(Time.nowUnsafe(fiber.context))))
  }
  const timeless = guarded(0)
  return Effect.withFiber((fiber) => begin(fiber, timeless))
}

const begin = <A, E, R>(fiber: AnyFiber, guarded: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const inside = current.deposit(fiber.context)
  const counted = inside === undefined ? guarded : Effect.provideService(guarded, current.budget, inside)
  return fiber.getRef(Attempt.Current) === Attempt.first
    ? counted
    : Effect.provideService(counted, Attempt.Current, Attempt.first)
}

// One retried call, made when its first attempt has failed. 100,000 of them can wait at once, so it holds what it must,
// and the next attempt is built only when its time has come.
interface Run<A, E, R> extends Position {
  attempt: Attempt.Attempt
  failures: Failure<E> | undefined
  readonly policy: AnyPolicy
  readonly options: Options<E>
  readonly startMillis: number
  readonly again: Effect.Effect<A, E, R>
}

const makeRun = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  policy: AnyPolicy,
  options: Options<E>,
  startMillis: number
): Run<A, E, R> => {
  const run: Run<A, E, R> = {
    retries: 0,
    previous: 0,
    attempt: Attempt.first,
    failures: undefined,
    policy,
    options,
    startMillis,
    again: Effect.suspend(() =>
      Effect.catchCause(
        Effect.provideService(self, Attempt.Current, run.attempt),
        (cause) => afterFailure(run, cause)
      )
    )
  }
  return run
}

interface Failure<out E> {
  readonly error: E
  readonly recovery: Recovery.Recovery
  readonly delayMillis: number
  earlier: Failure<E> | undefined
}

// So many events a history has, the last one included.
const kept = 100

const afterFailure = <A, E, R>(run: Run<A, E, R>, cause: Cause.Cause<E>): Effect.Effect<A, E, R> => {
  const failure = recoverable(cause)
  return failure === undefined
    ? Effect.failCause(cause)
    : Effect.withFiber((fiber) => afterError(run, fiber, failure.error, cause))
}

const afterError = <A, E, R>(
  run: Run<A, E, R>,
  fiber: AnyFiber,
  error: E,
  cause: Cause.Cause<E>
): Effect.Effect<A, E, R> => {
  const { options, policy } = run
  const { attempt } = run.attempt
  const recovery = recoveryOf(fiber, options, error)
  const elapsed = Duration.isFinite(policy.maxDuration) ? Time.nowUnsafe(fiber.context) - run.startMillis : 0
  const verdict = decide(fiber, policy, options, error, recovery, attempt, elapsed, run)
  if (typeof verdict !== "number") {
    const stopped: RetryEvent.RetryEvent<E> = { _tag: "Stopped", attempt, error, recovery, why: verdict }
    if (Predicate.isObject(error)) {
      const attempts = [...earlierEvents(run.failures, attempt), stopped]
      histories.set(error, { attempts, dropped: attempt - attempts.length, why: verdict })
    }
    return tell(fiber, options, Effect.failCause(cause), () => stopped)
  }
  run.failures = { error, recovery, delayMillis: verdict, earlier: run.failures }
  // Seldom, so that it costs nothing by the way.
  if (attempt % kept === 0) forgetBeyond(kept, run.failures)
  run.attempt = { attempt: attempt + 1, previous: recovery }
  return tell(fiber, options, Timer.delayUnsafe(fiber.context, run.again, verdict), () => ({
    _tag: "Retrying",
    attempt,
    error,
    recovery,
    delay: Duration.millis(verdict)
  }))
}

const forgetBeyond = (count: number, last: Failure<unknown>): void => {
  let failure = last
  for (let left = count; left > 1 && failure.earlier !== undefined; left--) failure = failure.earlier
  failure.earlier = undefined
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

// As `Effect.catch` sees it: a defect beside the failure forbids recovery.
const recoverable = <E>(cause: Cause.Cause<E>): Cause.Fail<E> | undefined => {
  let failure: Cause.Fail<E> | undefined
  for (const reason of cause.reasons) {
    if (Cause.isDieReason(reason)) return undefined
    if (failure === undefined && Cause.isFailReason(reason)) failure = reason
  }
  return failure
}

export const recoveryOf = <E>(fiber: AnyFiber, options: Options<E>, error: E): Recovery.Recovery =>
  options.classify?.(error) ?? Classifier.classify(error, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())

/** The wait before the next attempt, or why there is none. The budget is asked last, since asking it costs. */
export const decide = <E>(
  fiber: AnyFiber,
  policy: AnyPolicy,
  options: Options<E>,
  error: E,
  recovery: Recovery.Recovery,
  attempt: number,
  elapsed: number,
  position: Position
): number | RetryEvent.Why => {
  if (recovery._tag !== "Retry") return notRetryable
  if (attempt > policy.times) return { _tag: "TimesUsedUp", times: policy.times }
  if (options.when !== undefined && !options.when(error, attempt)) return notRetryable
  const { after } = recovery
  if (after !== undefined && Duration.isGreaterThan(after, policy.maxRetryAfter)) {
    return { _tag: "RetryAfterTooLong", after, max: policy.maxRetryAfter }
  }
  const delay = notBefore(
    policy,
    after === undefined ? 0 : Duration.toMillis(after),
    nextDelay(fiber, policy, position)
  )
  if (elapsed + delay > Duration.toMillis(policy.maxDuration)) return { _tag: "OutOfTime", limit: "maxDuration" }
  if (delay >= Deadline.remainingMillisUnsafe(fiber)) return { _tag: "OutOfTime", limit: "deadline" }
  const budget = fiber.getRef(current.budget)
  return budget === current.unlimited || budget.withdrawUnsafe(Time.nowUnsafe(fiber.context))
    ? delay
    : { _tag: "BudgetExhausted", budget: budget.name }
}

const notRetryable: RetryEvent.Why = { _tag: "NotRetryable" }

const notBefore = (policy: AnyPolicy, after: number, delay: number): number =>
  after <= delay ? delay : Math.ceil(policy.backoff.jitter === "none" ? after : after + delay)

const nextDelay = (fiber: AnyFiber, policy: AnyPolicy, position: Position): number => {
  const random = fiber.getRef(Random.Random)
  return next(policy.backoff, position, () => random.nextDoubleUnsafe())
}

/** Does `then`, after whoever listens has heard of the event. */
export const tell = <E, A, E2, R>(
  fiber: AnyFiber,
  options: Options<E>,
  then: Effect.Effect<A, E2, R>,
  event: () => RetryEvent.RetryEvent<E>
): Effect.Effect<A, E2, R> => {
  const observer = fiber.getRef(current.observer)
  if (observer === undefined && options.onEvent === undefined) return then
  const told = event()
  const heard = observer === undefined ? then : Effect.andThen(observer(told), then)
  return options.onEvent === undefined ? heard : Effect.andThen(options.onEvent(told), heard)
}
