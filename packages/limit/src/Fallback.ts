/**
 * Runs something else when a dependency fails.
 *
 * **Why**
 *
 * An empty list of recommendations is better than no page. But a substitute where the *request* was wrong hides a bug of the
 * caller. So a fallback steps in only where the dependency failed or was not asked. A 400, a 404, a rejected login or a
 * missing permission passes through.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Classifier from "@effect-resilience/errors/Classifier"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isRequestFault } from "./internal/requestFault.ts"
import * as Rejection from "./Rejection.ts"

/**
 * A fallback. It has no state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fallback<out A, out E = never, out R = never> extends Policy.Policy<E, void, A, R> {}

/**
 * How to make a fallback.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out A, out E = never, out R = never> {
  /** Default `"default"`. */
  readonly name?: string | undefined
  /** What to run instead, from the error of the call. */
  readonly orElse: (error: unknown) => Effect.Effect<A, E, R>
  /** For which errors; default those that speak of the dependency (see `applies`). Defects and interruptions always pass. */
  readonly when?: ((error: unknown) => boolean) | undefined
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
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  orElse: /* @__PURE__ */ Field.fn<Options<unknown, unknown, unknown>["orElse"]>(),
  when: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.fn<(error: unknown) => boolean>(), applies)
} satisfies Field.Fields<Options<unknown, unknown, unknown>>

/**
 * Makes a fallback. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, E = never, R = never>(options: Options<A, E, R>): Fallback<A, E, R> => {
  const { name, when } = Field.read("Fallback", fields, options)
  const { orElse } = options
  return {
    name,
    admitUnsafe: undefined,
    snapshot: Effect.void,
    execute: <A2, E2, R2>(self: Effect.Effect<A2, E2, R2>) =>
      Effect.catchCause(self, (cause): Effect.Effect<A, E | E2, R> => {
        const error = Cause.findErrorOption(cause)
        if (Option.isNone(error) || Cause.hasDies(cause) || !when(error.value)) return Effect.failCause(cause)
        return orElse(error.value)
      })
  }
}

/**
 * No fallback.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Fallback<never> = /* @__PURE__ */ Policy.noop<void>(undefined)

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
} = Policy.withPolicy
