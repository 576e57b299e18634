/**
 * Tries again, as often and as patiently as a plain description says.
 *
 * **Why**
 *
 * A policy decides from the failure's `Recovery` alone: only `Retry` is retried, never before the time that a server
 * named, and never a defect or an interruption. The policy itself is data, so it can be printed, compared and
 * previewed; what depends on a single call (`when`, hooks) is given where the policy is used.
 *
 * **Details**
 *
 * The own properties of a policy are its options as they were written, with the defaults and without its name: `JSON.stringify`
 * prints them, `make({ ...RetryPolicy.standard, times: 5 })` varies a policy, and the description of a pipeline or a client takes
 * one as it is: `{ retry: RetryPolicy.aws2026 }`.
 *
 * **Example** (Three attempts)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Data, Effect } from "effect"
 *
 * class Busy extends Data.TaggedError("Busy") {
 *   [Recovery.symbol]() {
 *     return Recovery.retry
 *   }
 * }
 *
 * let calls = 0
 * const call = Effect.suspend(() => ++calls < 3 ? Effect.fail(new Busy()) : Effect.succeed("done"))
 *
 * const policy = RetryPolicy.make({ times: 2, backoff: Backoff.exponential({ base: "1 millis" }) })
 * await Effect.runPromise(call.pipe(RetryPolicy.retry(policy))) // => "done"
 * calls // => 3
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Time from "@effect-resilience/kernel/Time"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import { begin } from "./internal/delays.ts"
import type { CallOptions, Next, ResultOptions, RetryWhen } from "./internal/engine.ts"
import * as engine from "./internal/engine.ts"
import type { AnyPolicy, Options } from "./internal/policy.ts"
import { make, plain, RetryPolicy, retryWith, settingsOf } from "./internal/policy.ts"
import { noop } from "./internal/presets.ts"
import type { Call, Verdict, When } from "./internal/verdict.ts"
import { decide } from "./internal/verdict.ts"
import type * as RetryEvent from "./RetryEvent.ts"

export type { KindOptions, Kinds, Options, Snapshot } from "./internal/policy.ts"
export { fields, make, RetryPolicy } from "./internal/policy.ts"
export { aws, aws2026, basic, dynamodb2026, google, grpc, noop, polly, standard } from "./internal/presets.ts"
export type { CallOptions, Next, ResultOptions, RetryWhen, When }

/**
 * Retries an effect.
 *
 * **Details**
 *
 * An attempt reads its number from `Attempt.Current`. The last failure is passed on as it was; `history` tells what
 * happened before. Only typed failures are retried: a defect or an interruption ends the retry at once.
 *
 * Where the server named a time that is longer than the backoff's delay, that time is waited, and with a jittered
 * backoff the delay on top, so that callers do not all come back in the same instant. A policy with `clampRetryAfter` bounds that
 * time instead.
 *
 * A call can also retry after some of its results: see `retryWhen`, which `options` may have too.
 *
 * @category retrying
 * @since 0.1.0
 */
export function retry<T extends Timeout.TimedOut>(
  policy: RetryPolicy<T>
): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | T, R>
export function retry<E, T extends Timeout.TimedOut>(
  policy: RetryPolicy<T>,
  options: CallOptions<NoInfer<E> | T>
): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | T, R>
export function retry<A, E, T extends Timeout.TimedOut>(
  policy: RetryPolicy<T>,
  options: ResultOptions<NoInfer<E> | T, A>
): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | T, R>
export function retry<A, E, R, T extends Timeout.TimedOut>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<T>,
  options?: CallOptions<NoInfer<E> | T>
): Effect.Effect<A, E | T, R>
export function retry<A, E, R, T extends Timeout.TimedOut>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<T>,
  options: ResultOptions<NoInfer<E> | T, NoInfer<A>>
): Effect.Effect<A, E | T, R>
// hack: overloads. `dual` would gather the arguments in arrays.
export function retry<A, E, R>(
  first: Effect.Effect<A, E, R> | AnyPolicy,
  second?: AnyPolicy | engine.Options<E | Timeout.TimedOut, A>,
  third?: engine.Options<E | Timeout.TimedOut, A>
) {
  if (Effect.isEffect(first)) return retryWith(first, second as AnyPolicy, third ?? plain)
  const options = second as engine.Options<E | Timeout.TimedOut, A> | undefined ?? plain
  return (self: Effect.Effect<A, E, R>) => retryWith(self, first, options)
}

/**
 * Retries an effect after failures, as `retry` does, and after the results that `retryWhen` names: a job that is still pending, a
 * page that is not complete, a response 202.
 *
 * **Details**
 *
 * Such a result is paid for by the budget, waits in the same backoff and is an event, with a `RetryEvent.RetriedResult` as its
 * error. When there is no further attempt, the last result comes out as it is; `history` tells what happened before, where the
 * result is an object.
 *
 * **Gotchas**
 *
 * A result shows that the call was applied. Retry it only if the call may be applied twice.
 *
 * **Example** (Waiting for a job)
 *
 * ```ts import.meta.vitest
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * let looks = 0
 * const look = Effect.sync(() => ({ state: ++looks < 3 ? "pending" : "done", looks }))
 *
 * const policy = RetryPolicy.make({ times: 5, backoff: Backoff.linear({ base: "1 millis" }) })
 * const job = look.pipe(RetryPolicy.retryWhen(policy, ({ state }) => state === "pending"))
 * await Effect.runPromise(job) // => { state: "done", looks: 3 }
 * ```
 *
 * @category retrying
 * @since 0.1.0
 */
export const retryWhen: {
  <A, T extends Timeout.TimedOut>(
    policy: RetryPolicy<T>,
    retryWhen: RetryWhen<A>
  ): <E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | T, R>
  <A, E, R, T extends Timeout.TimedOut>(
    self: Effect.Effect<A, E, R>,
    policy: RetryPolicy<T>,
    retryWhen: RetryWhen<NoInfer<A>>
  ): Effect.Effect<A, E | T, R>
} = /* @__PURE__ */ dual(
  3,
  <A, E, R>(self: Effect.Effect<A, E, R>, policy: AnyPolicy, retryWhen: RetryWhen<A>) =>
    retryWith(self, policy, { retryWhen })
)

/**
 * Retries an effect, as `retry` does without options for the call.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withRetryPolicy: {
  <E extends Timeout.TimedOut>(
    policy: RetryPolicy<E>
  ): <A, E2, R>(self: Effect.Effect<A, E2, R>) => Effect.Effect<A, E | E2, R>
  <A, E2, R, E extends Timeout.TimedOut>(
    self: Effect.Effect<A, E2, R>,
    policy: RetryPolicy<E>
  ): Effect.Effect<A, E | E2, R>
} = Policy.withPolicy

/**
 * Provides a policy of retries.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<RetryPolicy<Timeout.TimedOut>> =>
  Layer.succeed(RetryPolicy, make(options))

/**
 * Provides a policy that never tries again.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<RetryPolicy<Timeout.TimedOut>> = /* @__PURE__ */ Layer.succeed(RetryPolicy, noop)

/**
 * The same policy as a `Schedule`, for everything in Effect that takes one: `Stream.retry`, `HttpClient.retry`. Its output is the
 * delay before the next attempt.
 *
 * **Gotchas**
 *
 * Effect runs the attempts, so there is neither `Attempt.Current` nor `history`, nothing is deposited in the
 * `AttemptBudget`, an `attemptTimeout` has to be applied by hand, and `maxDuration` counts from the first failure.
 *
 * **Example** (Retrying a stream)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect, Stream } from "effect"
 *
 * let opened = 0
 * const source = Stream.suspend(() => ++opened < 3 ? Stream.fail("unavailable") : Stream.make(1, 2))
 * const policy = RetryPolicy.make({ backoff: Backoff.immediate })
 * const rows = source.pipe(Stream.retry(RetryPolicy.toSchedule(policy, { classify: () => Recovery.retry })))
 * await Effect.runPromise(Stream.runCollect(rows)) // => [1, 2]
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const toSchedule = <E>(
  policy: RetryPolicy,
  options: CallOptions<E> = {}
): Schedule.Schedule<Duration.Duration, E> =>
  Schedule.fromStepWithMetadata(Effect.sync(() => {
    const call: Call & { startMillis: number } = {
      ...begin(),
      settings: settingsOf(policy),
      startMillis: 0,
      kinds: undefined
    }
    return ({ attempt, elapsed, input: error }: Schedule.InputMetadata<E>) =>
      Effect.withFiber((fiber) => {
        const recovery = engine.recoveryOf(fiber, options, error)
        call.startMillis = Time.nowUnsafe(fiber.context) - elapsed
        const step = (verdict: Verdict) => {
          const then = typeof verdict === "number" ? next(verdict) : Cause.done(Duration.zero)
          const observer = engine.observerOf(fiber, options)
          return observer === undefined
            ? then
            : Effect.andThen(observer(engine.eventOf(error, recovery, attempt, verdict)), then)
        }
        const verdict = decide(fiber, call, error, recovery, attempt, options.when)
        return Effect.isEffect(verdict) ? Effect.flatMap(verdict, step) : step(verdict)
      })
  }))

const next = (millis: number): Effect.Effect<[Duration.Duration, Duration.Duration]> =>
  Effect.succeed([Duration.millis(millis), Duration.millis(millis)])

/**
 * The history of an error that came out of `retry`; `undefined` for any other, and for one that is not an object.
 *
 * **Details**
 *
 * The error itself is left as it was. Its history is kept beside it for as long as the error lives.
 *
 * **Gotchas**
 *
 * One error value that fails several retries has the history of the last.
 *
 * **Example** (Why did it stop?)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { RetryPolicy } from "@effect-resilience/retry"
 * import { Data, Effect } from "effect"
 *
 * class Throttled extends Data.TaggedError("Throttled") {
 *   [Recovery.symbol]() {
 *     return Recovery.retryAfter("1 hour")
 *   }
 * }
 *
 * const call = Effect.fail(new Throttled()).pipe(RetryPolicy.retry(RetryPolicy.standard), Effect.flip)
 * const error = await Effect.runPromise(call)
 * RetryPolicy.history(error)?.why._tag // => "RetryAfterTooLong"
 * RetryPolicy.history(error)?.attempts.length // => 1
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const history = (error: unknown): RetryEvent.History | undefined =>
  Predicate.isObject(error) ? engine.historyOf(error) : undefined

/**
 * The attempts of one call after the first one has failed.
 *
 * - `attempt`: the one that runs, or that comes next.
 *
 * @category loops
 * @since 0.1.0
 */
export interface Loop<A, E> extends engine.Run<A, E> {}

/**
 * The loop of a call whose attempts a pipeline makes in its own way. Where one fails, `nextUnsafe` says what follows.
 *
 * **Gotchas**
 *
 * It does not tell the budget that a call begins, since that comes before the first attempt. A policy with a `maxDuration` needs
 * to see the first attempt, so use `retry` for it.
 *
 * @category loops
 * @since 0.1.0
 */
export const loopUnsafe = <A, E>(policy: RetryPolicy, options: CallOptions<unknown>): Loop<A, E> =>
  engine.makeRun<A, E>(settingsOf(policy), options, 0)

/**
 * What follows an attempt that failed: so many milliseconds and the next one, or how the call ends. It is an effect where others have
 * a say in it or hear of it.
 *
 * @category loops
 * @since 0.1.0
 */
export const nextUnsafe: <A, E>(
  caller: Policy.Caller,
  loop: Loop<A, E>,
  cause: Cause.Cause<E>
) => Next<A, E> | Effect.Effect<Next<A, E>> = engine.next
