/**
 * How important the running work is, carried by the fiber.
 *
 * **Why**
 *
 * When not everything can be served, the program has to say what goes first. A name ("live", "batch") that travels with the
 * fiber lets a limit decide deep inside a client, without every function between taking a parameter.
 *
 * **Example** (Naming the importance of a request)
 *
 * ```ts import.meta.vitest
 * import { Priority } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * await Effect.runPromise(Priority.Current.pipe(Priority.withPriority("live"))) // => "live"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"

/**
 * The priority of the running fiber; default `"default"`.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<string> = /* @__PURE__ */ Context.Reference<string>(
  "@effect-resilience/limit/Priority/Current",
  { defaultValue: () => "default" }
)

/**
 * Runs an effect with a priority.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPriority: {
  (priority: string): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, priority: string): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, priority: string) => Effect.provideService(self, Current, priority)
)
