/**
 * Answers something else when a dependency does not.
 *
 * **Why**
 *
 * An empty list of recommendations is better than no page. But an answer made up where the *request* was wrong hides a bug
 * of the caller. So a fallback steps in only where the dependency failed or was not asked, and lets a 400, a 404, a rejected
 * login or a missing permission through.
 *
 * **Example** (Default prices while the service is down)
 *
 * ```ts import.meta.vitest
 * import { ApiError } from "@effect-resilience/errors"
 * import { Fallback } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const listPrices = Fallback.make({ orElse: () => Effect.succeed("list prices") })
 * const down = Effect.fail(ApiError.reasonFromStatus(503, {})).pipe(Fallback.withFallback(listPrices))
 * const unknown = Effect.fail(ApiError.reasonFromStatus(404, {})).pipe(Fallback.withFallback(listPrices))
 *
 * await Effect.runPromise(down) // => "list prices"
 * const error = await Effect.runPromise(Effect.flip(unknown))
 * error._tag // => "NotFound"
 * ```
 *
 * @since 0.1.0
 */
import * as Classifier from "@effect-resilience/errors/Classifier"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import { isRequestFault } from "./internal/requestFault.ts"
import * as Rejection from "./Rejection.ts"

/**
 * What to answer instead, and when.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fallback<out A, out E = never, out R = never> {
  /** Runs an effect, and the other one where it fails. */
  execute<A2, E2, R2>(self: Effect.Effect<A2, E2, R2>): Effect.Effect<A | A2, E | E2, R | R2>
}

/**
 * Makes a fallback.
 *
 * - `orElse`: the other answer, from the error that the first one failed with.
 * - `when`: which errors it answers; default those that speak of the dependency (see `applies`). Defects and interruption
 *   always pass.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, E = never, R = never>(options: {
  readonly orElse: (error: unknown) => Effect.Effect<A, E, R>
  readonly when?: ((error: unknown) => boolean) | undefined
}): Fallback<A, E, R> => {
  const { orElse, when = applies } = options
  return {
    execute: <A2, E2, R2>(self: Effect.Effect<A2, E2, R2>) =>
      Effect.catchCause(self, (cause): Effect.Effect<A, E | E2, R> => {
        const error = Cause.findErrorOption(cause)
        return Option.isSome(error) && when(error.value) ? orElse(error.value) : Effect.failCause(cause)
      })
  }
}

/**
 * Tells whether an error speaks of the dependency, or of a policy that did not ask it, and not of the request.
 *
 * @category guards
 * @since 0.1.0
 */
export const applies = (error: unknown): boolean =>
  Rejection.isRejection(error) || !isRequestFault(Classifier.classify(error))

/**
 * No fallback.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Fallback<never> = { execute: (self) => self }

/**
 * Runs an effect with a fallback.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withFallback: {
  <A2, E2, R2>(
    fallback: Fallback<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    fallback: Fallback<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2, R | R2>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R, A2, E2, R2>(self: Effect.Effect<A, E, R>, fallback: Fallback<A2, E2, R2>) => fallback.execute(self)
)
