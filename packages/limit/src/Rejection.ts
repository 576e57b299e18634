/**
 * What all refusals of this package have in common.
 *
 * **Why**
 *
 * A bulkhead that is full says nothing about the health of the server behind it. So every error by which a policy
 * rejects a call carries this mark, and with it that of `NotAsked`: a circuit breaker does not count it, a fallback may
 * stand in for it, and a dashboard can tell "we did not ask" from "it did not work".
 *
 * **Example** (Telling a refusal from a failure)
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
 * @since 0.1.0
 */
import type * as NotAsked from "@effect-resilience/errors/NotAsked"
import type * as Recovery from "@effect-resilience/errors/Recovery"
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"

/**
 * The mark of a refusal.
 *
 * @category symbols
 * @since 0.1.0
 */
export const symbol: "~@effect-resilience/limit/Rejection" = "~@effect-resilience/limit/Rejection"

/**
 * A call that a policy refused before it ran. `retryAfter` is the wait after which another try makes sense, where that
 * is known.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rejection extends Recovery.Recoverable, NotAsked.NotAsked {
  readonly [symbol]: true
  readonly [NotAsked.symbol]: true
  readonly key: string
  readonly retryAfter: Duration.Duration | undefined
}

/**
 * Tells whether an error is a refusal of this package.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRejection = (u: unknown): u is Rejection => Predicate.hasProperty(u, symbol)
