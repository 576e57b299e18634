import type * as Recovery from "@effect-resilience/errors/Recovery"
import type * as Duration from "effect/Duration"

/**
 * What a policy decided after a failed attempt.
 *
 * - `Retrying`: attempt number `attempt` failed; the next one starts after `delay`.
 * - `Stopped`: attempt number `attempt` failed and was the last; `why` tells why.
 *
 * Their fields:
 *
 * - `error`: the failure, or a `RetriedResult`.
 * - `recovery`: what the failure asked for.
 *
 * @category models
 * @since 0.1.0
 */
export type RetryEvent<E = unknown> =
  | {
    readonly _tag: "Retrying"
    readonly attempt: number
    readonly error: E
    readonly recovery: Recovery.Recovery
    readonly delay: Duration.Duration
  }
  | {
    readonly _tag: "Stopped"
    readonly attempt: number
    readonly error: E
    readonly recovery: Recovery.Recovery
    readonly why: StopReason
  }

/**
 * Why there was no further attempt.
 *
 * - `NotRetryable`: the failure's recovery is not to retry, or `when` said no.
 * - `TimesUsedUp`: as many retries as the policy allows, in all or after failures of this `kind`.
 * - `RetryAfterTooLong`: the server wants more patience than the policy's `maxRetryAfter`.
 * - `OutOfTime`: the next attempt would start after the policy's `maxDuration` or the fiber's deadline.
 * - `BudgetExhausted`: the attempt budget named `budget` rejected it.
 *
 * Their fields:
 *
 * - `times`: how many retries were allowed.
 * - `after`: the time that the server named.
 * - `max`: the policy's `maxRetryAfter`.
 * - `limit`: which of the two it was.
 *
 * @category models
 * @since 0.1.0
 */
export type StopReason =
  | { readonly _tag: "NotRetryable" }
  | { readonly _tag: "TimesUsedUp"; readonly times: number; readonly kind?: Recovery.Kind | undefined }
  | { readonly _tag: "RetryAfterTooLong"; readonly after: Duration.Duration; readonly max: Duration.Duration }
  | { readonly _tag: "OutOfTime"; readonly limit: "maxDuration" | "deadline" }
  | { readonly _tag: "BudgetExhausted"; readonly budget: string }
