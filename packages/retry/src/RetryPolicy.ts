/**
 * Tries again, as often and as patiently as a plain description says.
 *
 * **Why**
 *
 * A policy decides from the failure's `Recovery` alone: only `Retry` is retried, never before the time that a server
 * named, and never a defect or an interruption. The policy itself is data, so it can be printed, compared and
 * previewed; what depends on a single call (`when`, hooks) is given where the policy is used.
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
 * @since 0.1.0
 */
import * as Timeout from "@effect-resilience/deadline/Timeout"
import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Backoff from "./Backoff.ts"
import * as engine from "./internal/engine.ts"
import * as refuse from "./internal/refuse.ts"
import * as stored from "./internal/stored.ts"
import * as Preview from "./Preview.ts"
import type * as RetryEvent from "./RetryEvent.ts"

/**
 * A description of retries; `make` has the meaning and default of each field. The parameter tells whether attempts are
 * limited in time, and so whether `Timeout.TimedOut` joins the errors of what is retried.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy<out AttemptTimeout extends Duration.Duration | undefined = undefined> {
  readonly times: number
  readonly backoff: Backoff.Backoff
  readonly maxRetryAfter: Duration.Duration
  readonly maxDuration: Duration.Duration
  readonly attemptTimeout: AttemptTimeout
}

/**
 * What `make` takes besides `attemptTimeout`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly times?: number | undefined
  readonly backoff?: Backoff.Backoff | undefined
  readonly maxRetryAfter?: Duration.Input | undefined
  readonly maxDuration?: Duration.Input | undefined
}

/**
 * Describes retries. A policy can be varied: `make({ ...RetryPolicy.standard, times: 5 })`.
 *
 * - `times`: retries after the first attempt; default 3.
 * - `backoff`: the waits between attempts; default exponential from 100 millis to 20 seconds with full jitter.
 * - `maxRetryAfter`: the longest wait that a server may ask for. Where it asks for more, the retry stops at once; default
 *   1 minute.
 * - `maxDuration`: no attempt starts later than this after the first one; default infinite. A running attempt is not
 *   cut short: that is what a deadline does.
 * - `attemptTimeout`: an attempt that takes longer fails with `Timeout.TimedOut`, whose recovery is to retry; default no
 *   limit.
 *
 * A policy that was stored as JSON can be given as it was read. Throws `RangeError` where a value makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make(options?: Settings & { readonly attemptTimeout?: undefined }): RetryPolicy
export function make(
  options: Settings & { readonly attemptTimeout: Duration.Input }
): RetryPolicy<Duration.Duration>
export function make(
  options: Settings & { readonly attemptTimeout?: Duration.Input | undefined }
): RetryPolicy<Duration.Duration | undefined>
export function make(
  options: Settings & { readonly attemptTimeout?: Duration.Input | undefined } = {}
): RetryPolicy<Duration.Duration | undefined> {
  const { attemptTimeout } = options
  // JSON writes Infinity as null.
  const times = options.times === undefined ? 3 : options.times ?? Infinity
  refuse.unless(
    times === Infinity || (times >= 0 && Number.isInteger(times)),
    "RetryPolicy: times must be whole",
    times
  )
  return {
    times,
    backoff: Backoff.exponential(options.backoff),
    maxRetryAfter: notNegative("maxRetryAfter", options.maxRetryAfter ?? 60_000),
    maxDuration: notNegative("maxDuration", options.maxDuration ?? Duration.infinity),
    attemptTimeout: attemptTimeout === undefined ? undefined : notNegative("attemptTimeout", attemptTimeout)
  }
}

/**
 * Never tries again. Use it to switch retries off where a policy is configured.
 *
 * @category presets
 * @since 0.1.0
 */
export const none: RetryPolicy = /* @__PURE__ */ make({ times: 0 })

/**
 * What vendors' how-to pages recommend: 3 attempts, waiting 1 s and 2 s, without jitter.
 *
 * @category presets
 * @since 0.1.0
 */
export const howTo: RetryPolicy = /* @__PURE__ */ make({
  times: 2,
  backoff: /* @__PURE__ */ Backoff.exponential({ base: 1000, jitter: "none" })
})

/**
 * For calls between services where nothing else is known: 4 attempts with full jitter, up to 500 millis, 1 s and 2 s.
 *
 * @category presets
 * @since 0.1.0
 */
export const standard: RetryPolicy = /* @__PURE__ */ make({
  times: 3,
  backoff: /* @__PURE__ */ Backoff.exponential({ base: 500 })
})

/**
 * The *standard* mode of the AWS SDKs: 3 attempts, full jitter up to 1 s and 2 s, at most 20 s.
 *
 * Source: AWS SDKs and Tools Reference Guide, *Retry behavior*
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html). Its retry quota is a matter of
 * `AttemptBudget`.
 *
 * @category presets
 * @since 0.1.0
 */
export const aws: RetryPolicy = /* @__PURE__ */ make({
  times: 2,
  backoff: /* @__PURE__ */ Backoff.exponential({ base: 1000 })
})

/**
 * The default of Google's Python client libraries: as many retries as fit into 2 minutes, full jitter up to 1 s,
 * doubling to 1 minute.
 *
 * Source: `google.api_core.retry` (https://googleapis.dev/python/google-api-core/latest/retry.html).
 *
 * @category presets
 * @since 0.1.0
 */
export const google: RetryPolicy = /* @__PURE__ */ make({
  times: Infinity,
  backoff: /* @__PURE__ */ Backoff.exponential({ base: 1000, cap: 60_000 }),
  maxDuration: 120_000
})

/**
 * The standard handler of Microsoft.Extensions.Http.Resilience, built on Polly 8: 4 attempts of 10 s at most, exponential
 * from 2 s with Polly's jitter, within 30 s.
 *
 * Source: *Build resilient HTTP apps* (https://learn.microsoft.com/dotnet/core/resilience/http-resilience).
 *
 * @category presets
 * @since 0.1.0
 */
export const polly: RetryPolicy<Duration.Duration> = /* @__PURE__ */ make({
  times: 3,
  backoff: /* @__PURE__ */ Backoff.exponential({ base: 2000, cap: Duration.infinity, jitter: "polly" }),
  maxDuration: 30_000,
  attemptTimeout: 10_000
})

/**
 * The example policy of gRPC's proposal A6: 4 attempts, 100 millis doubling to 1 s, give or take 20 %.
 *
 * Source: gRFC A6, *gRPC Retry Design* (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
 *
 * @category presets
 * @since 0.1.0
 */
export const grpc: RetryPolicy = /* @__PURE__ */ make({
  times: 3,
  backoff: /* @__PURE__ */ Backoff.exponential({ base: 100, cap: 1000, jitter: 0.2 })
})

/**
 * What a single use of a policy can add.
 *
 * - `classify`: the recovery of errors that do not carry the right one; `undefined` falls back to
 *   `Classifier.classify`.
 * - `when`: has the last word on a failure that would be retried.
 * - `onEvent`: is told before each wait, and when there is no further attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E> {
  readonly classify?: Classifier.Classifier<E> | undefined
  readonly when?: ((error: E, attempt: number) => boolean) | undefined
  readonly onEvent?: RetryEvent.Observer<E> | undefined
}

/**
 * Retries an effect.
 *
 * **Details**
 *
 * An attempt reads its number from `Attempt.Current`. The last failure is passed on as it was; `history` tells what
 * happened before. Only typed failures are retried: a defect or an interruption ends the retry at once.
 *
 * Where the server named a time that is longer than the backoff's delay, that time is waited, and with a jittered
 * backoff the delay on top, lest all callers come back in the same instant.
 *
 * @category retrying
 * @since 0.1.0
 */
export function retry<T extends Duration.Duration | undefined>(
  policy: RetryPolicy<T>
): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TimedOutIf<T>, R>
export function retry<E, T extends Duration.Duration | undefined>(
  policy: RetryPolicy<T>,
  options: Options<NoInfer<E> | TimedOutIf<T>>
): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TimedOutIf<T>, R>
export function retry<A, E, R, T extends Duration.Duration | undefined>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<T>,
  options?: Options<NoInfer<E> | TimedOutIf<T>>
): Effect.Effect<A, E | TimedOutIf<T>, R>
// `dual` would gather the arguments in arrays, which costs more than all the rest of a call that succeeds.
export function retry<A, E, R>(
  first: Effect.Effect<A, E, R> | Limited,
  second?: Limited | Options<E | Timeout.TimedOut>,
  third?: Options<E | Timeout.TimedOut>
) {
  if (Effect.isEffect(first)) return retryWith(first, second as Limited, third ?? plain)
  const options = second as Options<E | Timeout.TimedOut> | undefined ?? plain
  return (self: Effect.Effect<A, E, R>) => retryWith(self, first, options)
}

/**
 * The error that a limit on attempts adds.
 *
 * @category models
 * @since 0.1.0
 */
export type TimedOutIf<AttemptTimeout> = AttemptTimeout extends Duration.Duration ? Timeout.TimedOut : never

/**
 * The same policy as a `Schedule`, for everything in Effect that takes one: `Stream.retry`, `HttpClient.retry`,
 * `Layer.retry`. Its output is the delay before the next attempt.
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
  options: Options<E> = {}
): Schedule.Schedule<Duration.Duration, E> =>
  Schedule.fromStepWithMetadata(Effect.sync(() => {
    const position = { retries: 0, previous: 0 }
    return ({ attempt, elapsed, input: error }: Schedule.InputMetadata<E>) =>
      Effect.withFiber((fiber) => {
        const recovery = engine.recoveryOf(fiber, options, error)
        const verdict = engine.decide(fiber, policy, options, error, recovery, attempt, elapsed, position)
        if (typeof verdict !== "number") {
          return engine.tell(fiber, options, Cause.done(Duration.zero), () => (
            { _tag: "Stopped", attempt, error, recovery, why: verdict }
          ))
        }
        const delay = Duration.millis(verdict)
        return engine.tell(
          fiber,
          options,
          Effect.succeed<[Duration.Duration, Duration.Duration]>([delay, delay]),
          () => ({ _tag: "Retrying", attempt, error, recovery, delay })
        )
      })
  }))

/**
 * What happened before the last failure.
 *
 * - `attempts`: the event of each failure, in order: `Retrying` with the wait that followed, and `Stopped` at the end. At
 *   most the last 100.
 * - `dropped`: how many came before those and are not kept; 0 as a rule.
 * - `why`: why there was no further attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface History {
  readonly attempts: ReadonlyArray<RetryEvent.RetryEvent>
  readonly dropped: number
  readonly why: RetryEvent.Why
}

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
export const history = (error: unknown): History | undefined =>
  Predicate.isObject(error) ? engine.histories.get(error) : undefined

/**
 * The distribution of the waits of a call that fails every time: a table, a plot or a picture by `Preview`.
 *
 * @category converting
 * @since 0.1.0
 */
export const preview: (policy: Limited, options?: {
  readonly samples?: number | undefined
  readonly seed?: string | number | undefined
}) => Preview.Preview = Preview.make

type Limited = RetryPolicy<Duration.Duration | undefined>

const plain: Options<unknown> = {}

const retryWith = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  given: Limited,
  options: Options<E | Timeout.TimedOut>
): Effect.Effect<A, E | Timeout.TimedOut, R> => {
  // One that was read from JSON and called a policy.
  const policy = Duration.isDuration(given.maxDuration) ? given : make(given)
  return engine.start(
    policy.attemptTimeout === undefined ? self : Timeout.after(self, policy.attemptTimeout),
    policy,
    options
  )
}

// Hoisted, since the presets above need it.
function notNegative(name: string, input: Duration.Input): Duration.Duration {
  const duration = stored.duration(input)
  refuse.unless(Duration.toMillis(duration) >= 0, `RetryPolicy: ${name} must be 0 or more`, duration)
  return duration
}
