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
 * The own properties of a policy are its options as they were written, with the defaults: `JSON.stringify` prints them, and
 * `make({ ...RetryPolicy.standard, times: 5 })` varies a policy.
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
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Backoff from "./Backoff.ts"
import { begin } from "./internal/delays.ts"
import type { CallOptions } from "./internal/engine.ts"
import * as engine from "./internal/engine.ts"
import type * as RetryEvent from "./RetryEvent.ts"

export type { CallOptions }

/**
 * A policy of retries: its options, and what runs effects through it. `E` is `Timeout.TimedOut` where attempts are limited in
 * time.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy<E extends Timeout.TimedOut = never> extends Policy.Policy<E, Snapshot> {
  readonly times: number
  readonly backoff: Backoff.Backoff
  readonly maxRetryAfter: Duration.Input
  readonly maxDuration: Duration.Input
  readonly attemptTimeout: [E] extends [never] ? undefined : Duration.Input | undefined
}

/**
 * A look at a policy. A retry keeps nothing from one call to the next.
 *
 * - `times`: how many retries a call has at most.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly times: number
}

/**
 * How to retry.
 *
 * - `name`: for those who look at several policies; default `"default"`.
 * - `times`: retries after the first attempt; default 3. `Infinity` is possible, with a `maxDuration` or a deadline.
 * - `backoff`: the waits between attempts; default exponential from 500 millis to 20 seconds with full jitter.
 * - `maxRetryAfter`: the longest wait that a server may ask for. Where it asks for more, the retry stops at once; default
 *   1 minute.
 * - `maxDuration`: no attempt starts later than this after the first one; default infinite. A running attempt is not
 *   cut short: that is what a deadline does.
 * - `attemptTimeout`: an attempt that takes longer fails with `Timeout.TimedOut`, whose recovery is to retry; default no
 *   limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name?: string | undefined
  readonly times?: number | undefined
  readonly backoff?: Backoff.Options | undefined
  readonly maxRetryAfter?: Duration.Input | undefined
  readonly maxDuration?: Duration.Input | undefined
  readonly attemptTimeout?: Duration.Input | undefined
}

const defaults = { maxRetryAfter: "1 minute", maxDuration: "Infinity" } as const

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: /* @__PURE__ */ Field.optional(Field.text),
  times: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0, infinite: true }), 3),
  backoff: /* @__PURE__ */ Field.withDefault(Backoff.field, {}),
  maxRetryAfter: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), defaults.maxRetryAfter),
  maxDuration: /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), defaults.maxDuration),
    Duration.toMillis
  ),
  attemptTimeout: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.duration())
} satisfies Field.Fields<Options>

type Settings = Field.Settings<typeof fields>

const settingsSymbol: unique symbol = /* @__PURE__ */ Symbol("@effect-resilience/retry/RetryPolicy/settings")

interface Made extends AnyPolicy {
  readonly [settingsSymbol]: Settings
}

const prototype: Policy.Policy<Timeout.TimedOut, Snapshot> & ThisType<AnyPolicy> = {
  name: "default",
  admitUnsafe: undefined,
  execute(self) {
    return retryWith(self, this, plain)
  },
  get snapshot() {
    return Effect.succeed({ times: this.times })
  }
}

/**
 * Makes a policy. Throws `RangeError` where an option makes no sense. A policy that was stored as JSON can be given as it was
 * read.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make(options?: Options & { readonly attemptTimeout?: undefined }): RetryPolicy
export function make(options: Options): RetryPolicy<Timeout.TimedOut>
export function make(options: Options = {}): RetryPolicy<Timeout.TimedOut> {
  const settings = Field.read("RetryPolicy", fields, options)
  const { attemptTimeout, maxDuration, maxRetryAfter, name } = options
  const { draw: _, ...backoff } = settings.backoff
  return Object.assign(
    Object.create(prototype, { [settingsSymbol]: { value: settings } }),
    name === undefined ? {} : { name },
    {
      times: settings.times,
      backoff,
      maxRetryAfter: maxRetryAfter ?? defaults.maxRetryAfter,
      maxDuration: maxDuration ?? defaults.maxDuration,
      attemptTimeout
    }
  )
}

/**
 * Never tries again. Use it to switch retries off where a policy is configured.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: RetryPolicy = /* @__PURE__ */ make({ name: "noop", times: 0 })

/**
 * What `make` gives without options, for calls where nothing else is known: 4 attempts with full jitter, up to 500 millis,
 * 1 s and 2 s.
 *
 * @category presets
 * @since 0.1.0
 */
export const standard: RetryPolicy = /* @__PURE__ */ make()

/**
 * What vendors' guides show: 3 attempts, waiting 1 s and 2 s, without jitter. A fleet is better served by `standard`.
 *
 * @category presets
 * @since 0.1.0
 */
export const basic: RetryPolicy = /* @__PURE__ */ make({ times: 2, backoff: { base: "1 second", jitter: "none" } })

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
export const aws: RetryPolicy = /* @__PURE__ */ make({ times: 2, backoff: { base: "1 second" } })

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
  backoff: { base: "1 second", cap: "1 minute" },
  maxDuration: "2 minutes"
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
export const polly: RetryPolicy<Timeout.TimedOut> = /* @__PURE__ */ make({
  times: 3,
  backoff: { base: "2 seconds", cap: "Infinity", jitter: "polly" },
  maxDuration: "30 seconds",
  attemptTimeout: "10 seconds"
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
  backoff: { base: "100 millis", cap: "1 second", jitter: 0.2 }
})

/**
 * Retries an effect.
 *
 * **Details**
 *
 * An attempt reads its number from `Attempt.Current`. The last failure is passed on as it was; `history` tells what
 * happened before. Only typed failures are retried: a defect or an interruption ends the retry at once.
 *
 * Where the server named a time that is longer than the backoff's delay, that time is waited, and with a jittered
 * backoff the delay on top, so that callers do not all come back in the same instant.
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
export function retry<A, E, R, T extends Timeout.TimedOut>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy<T>,
  options?: CallOptions<NoInfer<E> | T>
): Effect.Effect<A, E | T, R>
// hack: overloads. `dual` would gather the arguments in arrays.
export function retry<A, E, R>(
  first: Effect.Effect<A, E, R> | AnyPolicy,
  second?: AnyPolicy | CallOptions<E | Timeout.TimedOut>,
  third?: CallOptions<E | Timeout.TimedOut>
) {
  if (Effect.isEffect(first)) return retryWith(first, second as AnyPolicy, third ?? plain)
  const options = second as CallOptions<E | Timeout.TimedOut> | undefined ?? plain
  return (self: Effect.Effect<A, E, R>) => retryWith(self, first, options)
}

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
 * The service for programs that have one policy of retries.
 *
 * @category services
 * @since 0.1.0
 */
export const RetryPolicy: Context.Service<RetryPolicy<Timeout.TimedOut>, RetryPolicy<Timeout.TimedOut>> =
  /* @__PURE__ */ Context.Service<RetryPolicy<Timeout.TimedOut>>("@effect-resilience/retry/RetryPolicy")

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
    const settings = settingsOf(policy)
    const position = begin()
    return ({ attempt, elapsed, input: error }: Schedule.InputMetadata<E>) =>
      Effect.withFiber((fiber) => {
        const recovery = engine.recoveryOf(fiber, options, error)
        const verdict = engine.decide(fiber, settings, options, error, recovery, attempt, elapsed, position)
        if (typeof verdict !== "number") {
          return engine.notifyThen(fiber, options, Cause.done(Duration.zero), () => (
            { _tag: "Stopped", attempt, error, recovery, why: verdict }
          ))
        }
        const delay = Duration.millis(verdict)
        return engine.notifyThen(
          fiber,
          options,
          Effect.succeed<[Duration.Duration, Duration.Duration]>([delay, delay]),
          () => ({ _tag: "Retrying", attempt, error, recovery, delay })
        )
      })
  }))

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
  Predicate.isObject(error) ? engine.histories.get(error) : undefined

type AnyPolicy = RetryPolicy<Timeout.TimedOut>

// One that was read from JSON and called a policy has none.
const settingsOf = (policy: AnyPolicy | Made): Settings =>
  settingsSymbol in policy ? policy[settingsSymbol] : settingsOf(make(policy))

const plain: CallOptions<unknown> = {}

const retryWith = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  policy: AnyPolicy,
  options: CallOptions<E | Timeout.TimedOut>
): Effect.Effect<A, E | Timeout.TimedOut, R> => {
  const settings = settingsOf(policy)
  const { attemptTimeout } = settings
  return engine.start(
    attemptTimeout === undefined ? self : Timeout.withTimeout(self, attemptTimeout),
    settings,
    options
  )
}
