/**
 * What the rejections of all policies have in common.
 *
 * **Why**
 *
 * A bulkhead that is full says nothing about the health of the server behind it. Every error with which a policy rejects a
 * call carries this mark, and that of `NotAsked`: a circuit breaker does not count it, a fallback may respond instead, and a
 * dashboard can tell "we did not ask" from "it did not work".
 *
 * **Example** (Telling a rejection from a failure)
 *
 * ```ts import.meta.vitest
 * import { Bulkhead, Rejection } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ permits: 1 })
 *   const inner = Effect.succeed("done").pipe(Bulkhead.withBulkhead(bulkhead))
 *   return yield* Effect.flip(inner.pipe(Bulkhead.withBulkhead(bulkhead)))
 * })
 *
 * const error = await Effect.runPromise(program)
 * Rejection.isRejection(error) // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"

/**
 * The mark of a rejection.
 *
 * @category symbols
 * @since 0.1.0
 */
export const symbol: "~@effect-resilience/limit/Rejection" = "~@effect-resilience/limit/Rejection"

/**
 * A call that a policy rejected before it ran.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rejection extends NotAsked.NotAsked {
  readonly [symbol]: true
  readonly [NotAsked.symbol]: true
  /** Tells to retry, after `retryAfter` where that is known. */
  [Recovery.symbol](): Recovery.Recovery
  /** The name of the policy. */
  readonly policy: string
  /** The wait after which another attempt makes sense, where that is known. */
  readonly retryAfter: Duration.Duration | undefined
}

/**
 * The base of the errors of policies, with the fields of one of them. Those that know when to come back have a field
 * `retryAfter`.
 *
 * **Example** (The error of a policy of one's own)
 *
 * ```ts import.meta.vitest
 * import { Recovery } from "@effect-resilience/errors"
 * import { Rejection } from "@effect-resilience/limit"
 *
 * class QuotaSpent extends Rejection.TaggedError("QuotaSpent")<{ readonly quota: number }> {}
 *
 * const error = new QuotaSpent({ policy: "ledger", quota: 10 })
 * Recovery.of(error)._tag // => "Retry"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const TaggedError = <Tag extends string>(
  tag: Tag
): new<Fields extends object = {}>(
  fields: { readonly policy: string } & Fields
) => Cause.YieldableError & { readonly _tag: Tag } & Rejection & Readonly<Fields> => {
  class Base extends ErrorMessage.TaggedError(tag)<Pick<Rejection, "policy" | "retryAfter">> {
    get [symbol](): true {
      return true
    }
    get [NotAsked.symbol](): true {
      return true
    }
    [Recovery.symbol](): Recovery.Recovery {
      return this.retryAfter === undefined ? Recovery.retry : Recovery.retryAfter(this.retryAfter)
    }
  }
  return ErrorMessage.acrossCopies(Base, tag) as never
}

/**
 * Tells whether an error is the rejection of a policy.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRejection = (u: unknown): u is Rejection => Predicate.hasProperty(u, symbol)
