// What a policy of retries is, how it is made from options and how it runs.
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Backoff from "../Backoff.ts"
import * as engine from "./engine.ts"

/**
 * A policy of retries: its options, and what runs effects through it. `E` is `Timeout.TimedOut` where attempts are limited in
 * time.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy<E extends Timeout.TimedOut = never> extends Policy.Policy<E, Snapshot> {
  /** Retries at most, so calls at most `1 + times`. */
  readonly times: number
  /** The delays between attempts. */
  readonly backoff: Backoff.Backoff
  /** A server that wants a longer wait than this ends the call. */
  readonly maxRetryAfter: Duration.Input
  /** No retry starts later than this after the call began. */
  readonly maxDuration: Duration.Input
  /** The limit of each attempt; `undefined` is none. */
  readonly attemptTimeout: [E] extends [never] ? undefined : Duration.Input | undefined
  /** A server's time is waited for at most this much longer than the backoff's delay; absent waits as the server says. */
  readonly clampRetryAfter?: Duration.Input | undefined
  /** What a retry costs the budget; absent is 1. */
  readonly cost?: number | undefined
  /** What differs by the kind of failure; absent is nothing. */
  readonly kinds?: Kinds | undefined
}

/**
 * A look at a policy. A retry keeps nothing from one call to the next.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** How many retries a call has at most. */
  readonly times: number
}

/**
 * How to retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** For those who look at several policies; default `"default"`. */
  readonly name?: string | undefined
  /** Retries after the first attempt; default 3. `Infinity` is possible, with a `maxDuration` or a deadline. */
  readonly times?: number | undefined
  /**
   * The waits between attempts; default exponential from 500 millis to 20 seconds with full jitter. `Backoff` has linear
   * delays, lists and functions too.
   */
  readonly backoff?: Backoff.Options | undefined
  /**
   * What a retry takes from the `AttemptBudget`; default 1. It has to fit into the budget's `burst`, or no retry is ever paid.
   */
  readonly cost?: number | undefined
  /** What is different after failures of one kind; default nothing, and a 401 is not retried. */
  readonly kinds?: Kinds | undefined
  /** The longest wait that a server may ask for. Where it asks for more, the retry stops at once; default 1 minute. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /**
   * A server's time is waited for at most this much longer than the backoff's delay, without jitter on top; default no bound
   * but `maxRetryAfter`. AWS's SDKs have 5 seconds.
   */
  readonly clampRetryAfter?: Duration.Input | undefined
  /**
   * No attempt starts later than this after the first one; default infinite. A running attempt is not cut short: that is what a
   * deadline does.
   */
  readonly maxDuration?: Duration.Input | undefined
  /** An attempt that takes longer fails with `Timeout.TimedOut`, whose recovery is to retry; default no limit. */
  readonly attemptTimeout?: Duration.Input | undefined
}

/**
 * What is different after failures of one kind. `Recovery.kindOf` tells the kind of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export interface KindOptions {
  /** The waits after them; by default those of the policy. What it leaves out is the default of `Backoff`, not the policy's. */
  readonly backoff?: Backoff.Options | undefined
  /** By default that of the policy. */
  readonly cost?: number | undefined
  /** How many of the policy's `times` may follow them; by default all. */
  readonly times?: number | undefined
}

/**
 * The kinds of failures that a policy treats in their own way. Retries of all kinds grow one backoff: the third retry waits as
 * the third, whatever the first two followed.
 *
 * - `transient`, `throttled`, `overloaded`: as a `Recovery` says, or a status.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kinds {
  readonly transient?: KindOptions | undefined
  readonly throttled?: KindOptions | undefined
  readonly overloaded?: KindOptions | undefined
  /**
   * The token is no longer accepted. Such a failure is retried only where this is named, by default once and at once. Do not
   * name it where something inside replays it with a new token, as `Authenticated` does.
   */
  readonly expired?: KindOptions | undefined
}

const defaults = { maxRetryAfter: "1 minute", maxDuration: "Infinity" } as const

const times = /* @__PURE__ */ Field.integer({ min: 0, infinite: true })

const cost = /* @__PURE__ */ Field.number({ min: 0 })

const kindFields = {
  backoff: /* @__PURE__ */ Field.optional(Backoff.field),
  cost: /* @__PURE__ */ Field.optional(cost),
  times: /* @__PURE__ */ Field.withDefault(times, Infinity)
} satisfies Field.Fields<KindOptions>

const kind = /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.struct(kindFields))

const kindsFields = {
  transient: kind,
  throttled: kind,
  overloaded: kind,
  expired: /* @__PURE__ */ Field.optional(
    /* @__PURE__ */ Field.struct({
      ...kindFields,
      backoff: /* @__PURE__ */ Field.withDefault(Backoff.field, Backoff.immediate),
      times: /* @__PURE__ */ Field.withDefault(times, 1)
    })
  )
} satisfies Field.Fields<Kinds>

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: /* @__PURE__ */ Field.optional(Field.text),
  times: /* @__PURE__ */ Field.withDefault(times, 3),
  backoff: /* @__PURE__ */ Field.withDefault(Backoff.field, {}),
  cost: /* @__PURE__ */ Field.withDefault(cost, 1),
  kinds: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.struct(kindsFields)),
  maxRetryAfter: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), defaults.maxRetryAfter),
  clampRetryAfter: /* @__PURE__ */ Field.optional(
    /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.duration(), Duration.toMillis)
  ),
  maxDuration: /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), defaults.maxDuration),
    Duration.toMillis
  ),
  attemptTimeout: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.duration())
} satisfies Field.Fields<Options>

type Settings = Field.Settings<typeof fields>

const settingsSymbol: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/retry/RetryPolicy/settings")

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
 * - `attemptTimeout`: absent: attempts are not limited in time, so the policy adds no error.
 *
 * @category constructors
 * @since 0.1.0
 */
export function make(options?: Options & { readonly attemptTimeout?: undefined }): RetryPolicy
export function make(options: Options): RetryPolicy<Timeout.TimedOut>
export function make(options: Options = {}): RetryPolicy<Timeout.TimedOut> {
  const settings = Field.read("RetryPolicy", fields, options)
  const { attemptTimeout, clampRetryAfter, cost, kinds, maxDuration, maxRetryAfter, name } = options
  return Object.assign(
    // The name is not among the data: what is made of them, such as a part of a pipeline, has its own.
    Object.create(prototype, { [settingsSymbol]: { value: settings }, name: { value: name ?? prototype.name } }),
    {
      times: settings.times,
      backoff: settings.backoff.backoff,
      maxRetryAfter: maxRetryAfter ?? defaults.maxRetryAfter,
      maxDuration: maxDuration ?? defaults.maxDuration,
      attemptTimeout,
      ...(clampRetryAfter !== undefined && { clampRetryAfter }),
      ...(cost !== undefined && { cost }),
      ...(kinds !== undefined && { kinds })
    }
  )
}

/**
 * The service for programs that have one policy of retries.
 *
 * @category services
 * @since 0.1.0
 */
export const RetryPolicy: Context.Service<RetryPolicy<Timeout.TimedOut>, RetryPolicy<Timeout.TimedOut>> =
  /* @__PURE__ */ Context.Service<RetryPolicy<Timeout.TimedOut>>("@effect-resilience/retry/RetryPolicy")

export type AnyPolicy = RetryPolicy<Timeout.TimedOut>

// One that was read from JSON and called a policy has none.
export const settingsOf = (policy: AnyPolicy | Made): Settings =>
  settingsSymbol in policy ? policy[settingsSymbol] : settingsOf(make(policy))

export const plain: engine.CallOptions<unknown> = {}

/** Runs an effect through a policy. */
export const retryWith = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  policy: AnyPolicy,
  options: engine.Options<E | Timeout.TimedOut, A>
): Effect.Effect<A, E | Timeout.TimedOut, R> => {
  const settings = settingsOf(policy)
  const { attemptTimeout } = settings
  return engine.start(
    attemptTimeout === undefined ? self : Timeout.withTimeout(self, attemptTimeout),
    settings,
    options
  )
}
