import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Classifier from "@effect-resilience/errors/Classifier"
import type * as Recovery from "@effect-resilience/errors/Recovery"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Attempt from "../Attempt.ts"
import * as AttemptBudget from "../AttemptBudget.ts"
import * as RetryEvent from "../RetryEvent.ts"
import type { History, Options, RetryPolicy } from "../RetryPolicy.ts"
import { delays } from "./delays.ts"

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
  const begin = (startMillis: number) =>
    Effect.catchCause(self, (cause) => afterFailure({ self, policy, options, startMillis, failures: [] }, cause))
  const timeless = Duration.isFinite(policy.maxDuration) ? undefined : begin(0)
  return Effect.withFiber((fiber) => {
    fiber.getRef(AttemptBudget.Current).depositUnsafe()
    const guarded = timeless ?? begin(monotonicMillis(fiber))
    return fiber.getRef(Attempt.Current) === Attempt.first
      ? guarded
      : Effect.provideService(guarded, Attempt.Current, Attempt.first)
  })
}

// One retried call, made when its first attempt has failed.
interface Run<A, E, R> {
  readonly self: Effect.Effect<A, E, R>
  readonly policy: AnyPolicy
  readonly options: Options<E>
  readonly startMillis: number
  readonly failures: Array<History["attempts"][number]>
  next?: () => number
}

const afterFailure = <A, E, R>(run: Run<A, E, R>, cause: Cause.Cause<E>): Effect.Effect<A, E, R> => {
  const failure = recoverable(cause)
  if (failure === undefined) return Effect.failCause(cause)
  const { error } = failure
  const { failures, options, policy } = run
  return Effect.withFiber((fiber) => {
    const attempt = failures.length + 1
    const recovery = recoveryOf(fiber, options, error)
    const elapsed = Duration.isFinite(policy.maxDuration) ? monotonicMillis(fiber) - run.startMillis : 0
    run.next ??= nextDelay(fiber, policy)
    const verdict = decide(fiber, policy, options, error, recovery, attempt, elapsed, run.next)
    if (typeof verdict !== "number") {
      failures.push({ attempt, error, recovery, delay: undefined })
      if (Predicate.isObject(error)) histories.set(error, { attempts: failures, why: verdict })
      return tell(fiber, options, { _tag: "Stopped", attempt, error, recovery, why: verdict }, Effect.failCause(cause))
    }
    const delay = Duration.millis(verdict)
    failures.push({ attempt, error, recovery, delay })
    const again = Effect.catchCause(
      Effect.provideService(run.self, Attempt.Current, { attempt: attempt + 1, delay, previous: recovery }),
      (cause) => afterFailure(run, cause)
    )
    const then = verdict === 0 ? again : Effect.andThen(fiber.getRef(Clock.Clock).sleep(delay), again)
    return tell(fiber, options, { _tag: "Retrying", attempt, error, recovery, delay }, then)
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
  next: () => number
): number | RetryEvent.Why => {
  if (recovery._tag !== "Retry") return notRetryable
  if (attempt > policy.times) return { _tag: "TimesUsedUp", times: policy.times }
  if (options.when !== undefined && !options.when(error, attempt)) return notRetryable
  const { after } = recovery
  if (after !== undefined && Duration.isGreaterThan(after, policy.maxRetryAfter)) {
    return { _tag: "RetryAfterTooLong", after, max: policy.maxRetryAfter }
  }
  const delay = notBefore(policy, after === undefined ? 0 : Duration.toMillis(after), next())
  if (elapsed + delay > Duration.toMillis(policy.maxDuration)) return { _tag: "OutOfTime", limit: "maxDuration" }
  if (delay >= Deadline.remainingMillisUnsafe(fiber)) return { _tag: "OutOfTime", limit: "deadline" }
  const budget = fiber.getRef(AttemptBudget.Current)
  return budget === AttemptBudget.unlimited || budget.withdrawUnsafe(monotonicMillis(fiber))
    ? delay
    : { _tag: "BudgetExhausted", budget: budget.name }
}

const notRetryable: RetryEvent.Why = { _tag: "NotRetryable" }

const notBefore = (policy: AnyPolicy, after: number, delay: number): number => {
  if (after <= delay) return delay
  return Math.ceil(policy.backoff.jitter === "none" ? after : after + delay)
}

export const nextDelay = (fiber: AnyFiber, policy: AnyPolicy): () => number => {
  const random = fiber.getRef(Random.Random)
  return delays(policy.backoff, () => random.nextDoubleUnsafe())
}

export const tell = <E, A, E2, R>(
  fiber: AnyFiber,
  options: Options<E>,
  event: RetryEvent.RetryEvent<E>,
  then: Effect.Effect<A, E2, R>
): Effect.Effect<A, E2, R> => {
  const observer = fiber.getRef(RetryEvent.CurrentObserver)
  const heard = observer === undefined ? then : Effect.andThen(observer(event), then)
  return options.onEvent === undefined ? heard : Effect.andThen(options.onEvent(event), heard)
}

const monotonicMillis = (fiber: AnyFiber): number =>
  Number(fiber.getRef(Clock.Clock).monotonicTimeNanosUnsafe()) / 1_000_000
