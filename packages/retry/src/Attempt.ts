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

/**
 * - `attempt`: 1 for the first call.
 * - `previous`: the recovery that the failure before this attempt asked for; `undefined` in the first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly attempt: number
  readonly previous: Recovery | undefined
}

/**
 * The first attempt, and what everything outside a retry reads.
 *
 * @category constants
 * @since 0.1.0
 */
export const first: Attempt = { attempt: 1, previous: undefined }

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
