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
 * @since 0.1.0
 */
import type { Recovery } from "@effect-resilience/errors/Recovery"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * - `attempt`: 1 for the first call.
 * - `previous`: the recovery that the failure before this attempt asked for; `undefined` in the first.
 * - `hedge`: how many attempts the same hedge started before this one, which may still run; 0 outside a hedge.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly attempt: number
  readonly previous: Recovery | undefined
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
 * The call that the running attempt belongs to: one object for all its attempts, those of retries and of hedges. A policy that
 * stands inside them can key a `WeakMap` with it, to tell one attempt which address another uses. `undefined` where neither
 * `withCall` nor a hedge is around the attempt.
 *
 * @category references
 * @since 0.1.0
 */
export const Call: Context.Reference<object | undefined> = /* @__PURE__ */ Context.Reference<object | undefined>(
  "@effect-resilience/retry/Attempt/Call",
  { defaultValue: () => undefined }
)

/**
 * Begins a call: the attempts inside, of retries and of hedges, have a `Call` of their own.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withCall = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.provideService(self, Call, {}))
