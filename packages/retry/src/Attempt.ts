/**
 * Which attempt is running, readable inside the attempt.
 *
 * **When to use**
 *
 * Use in an access log, a span (`http.request.resend_count` is `attempt - 1`) or a test double that has to tell a first
 * call from a repeated one.
 *
 * **Example** (Reading the attempt)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { Attempt, Backoff, RetryPolicy } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const flaky = Effect.gen(function*() {
 *   const { attempt } = yield* Attempt.Current
 *   return attempt < 3 ? yield* Effect.fail("unavailable") : attempt
 * })
 *
 * const policy = RetryPolicy.make({ times: 5, backoff: Backoff.immediate })
 * const run = flaky.pipe(RetryPolicy.retry(policy, { classify: () => Recovery.retry }))
 * await Effect.runPromise(run) // => 3
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type { Recovery } from "@effect-resilience/errors/Recovery"
import * as Context from "effect/Context"

/**
 * Which attempt of a call runs, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** 1 for the first call. */
  readonly attempt: number
  /** The recovery that the failure before this attempt asked for; `undefined` in the first. */
  readonly previous: Recovery | undefined
  /** How many attempts the same hedge started before this one, which may still run; 0 outside a hedge. */
  readonly hedge: number
}

/**
 * The first attempt, and what everything outside a retry reads.
 *
 * @category constants
 * @since 0.1.0
 */
export const first: Attempt = { attempt: 1, previous: undefined, hedge: 0 }

/**
 * The attempt of the innermost retry around the running code.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Attempt> = /* @__PURE__ */ Context.Reference<Attempt>(
  "@effect-resilience/retry/Attempt/Current",
  { defaultValue: () => first }
)

/**
 * Says that the attempt around the running code has a response, and goes on with reading it. Until that attempt ends, a hedge starts no
 * other, which could only wait for it.
 *
 * @category references
 * @since 0.1.0
 */
export const Responding: Context.Reference<() => void> = /* @__PURE__ */ Context.Reference<() => void>(
  "@effect-resilience/retry/Attempt/Responding",
  { defaultValue: () => () => {} }
)

/**
 * One call, with all its attempts: those of a retry or of a hedge. `around` is where the call is a part of a larger one: a
 * retry inside a hedge, say.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly around: Place | undefined
}

/**
 * An attempt of a call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  /** What the attempts of one call have in common. */
  readonly call: Call
  /** Which of them it is. */
  readonly attempt: Attempt
}

/**
 * The innermost call around the running code, one object for all its attempts. A policy that stands inside them can key a
 * `WeakMap` with it, to tell one attempt which address another uses. `undefined` outside of retries and hedges; a retry has
 * one where something asked for it with `trackCalls`.
 *
 * @category references
 * @since 0.1.0
 */
export const Call: Context.Reference<Call | undefined> = /* @__PURE__ */ Context.Reference<Call | undefined>(
  "@effect-resilience/retry/Attempt/Call",
  { defaultValue: () => undefined }
)

let tracker: typeof asCall | undefined

/**
 * From now on each retry that begins has a `Call`. Until a policy asks for that, retries do not pay for it.
 *
 * @category tracking
 * @since 0.1.0
 */
export const trackCalls = (): void => {
  tracker = asCall
}

/**
 * Begins the call of a retry; `undefined` while none asks for it.
 *
 * @category tracking
 * @since 0.1.0
 */
export const callTracker = (): typeof asCall | undefined => tracker

/**
 * Begins a call: for those that make attempts. Each of them has an `Attempt` of its own.
 *
 * @category tracking
 * @since 0.1.0
 */
export const asCall = <R>(context: Context.Context<R>): Context.Context<R> => {
  const call = Context.get(context, Call)
  const around = call === undefined ? undefined : { call, attempt: Context.get(context, Current) }
  return Context.add(context, Call, { around })
}
