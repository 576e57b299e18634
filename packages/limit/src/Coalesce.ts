/**
 * Lets calls for the same thing at the same time share one.
 *
 * **Why**
 *
 * When a popular entry of a cache expires, everyone who wants it asks for it at once. One of them is enough.
 *
 * **Details**
 *
 * The first caller for a key starts the call, those who come while it runs wait for it too, and all get its result, be it a
 * success or an error. Nothing is kept: the next caller after its end starts anew.
 *
 * Interrupting some of the callers does not stop the call; interrupting all of them does. The call has no deadline of its
 * own, since those who wait have different ones: each stops waiting at its own.
 *
 * **Gotchas**
 *
 * Share only what is safe to share: a key that lacks the user gives one user the answer of another.
 *
 * **Example** (Three callers, one call)
 *
 * ```ts import.meta.vitest
 * import { Coalesce } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const coalesce = yield* Coalesce.make<number>()
 *   let calls = 0
 *   const load = Effect.andThen(Effect.yieldNow, Effect.sync(() => ++calls)).pipe(Coalesce.withCoalesce(coalesce, "k"))
 *   return yield* Effect.all([load, load, load], { concurrency: "unbounded" })
 * })
 *
 * await Effect.runPromise(program) // => [1, 1, 1]
 * ```
 *
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"

/**
 * Calls under way, by key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Coalesce<in out A, in out E = never> {
  /** Joins the call that runs for the key, or starts it. */
  execute<R>(self: Effect.Effect<A, E, R>, key: string): Effect.Effect<A, E, R>
  /** How many calls are under way. */
  readonly size: Effect.Effect<number>
}

/**
 * Makes a place for calls with the same type of result.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, E = never>(): Effect.Effect<Coalesce<A, E>> =>
  Effect.sync(() => {
    const flights = new Map<string, Flight<A, E>>()

    const start = (key: string, fiber: Fiber.Fiber<A, E>): Flight<A, E> => {
      const flight = { fiber, waiting: 0 }
      flights.set(key, flight)
      fiber.addObserver(() => {
        if (flights.get(key) === flight) flights.delete(key)
      })
      return flight
    }

    const leave = (key: string, flight: Flight<A, E>): Effect.Effect<void> | undefined => {
      if (--flight.waiting > 0 || flight.fiber.pollUnsafe() !== undefined) return undefined
      flights.delete(key)
      return Fiber.interrupt(flight.fiber)
    }

    return {
      size: Effect.sync(() => flights.size),
      execute: <R>(self: Effect.Effect<A, E, R>, key: string) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.contextWith((context: Context.Context<R>) => {
            const flight = flights.get(key) ??
              start(key, Effect.runForkWith(context)(Effect.interruptible(Deadline.unlimited(self))))
            flight.waiting++
            return Effect.onExitPrimitive(restore(Fiber.join(flight.fiber)), () => leave(key, flight), true)
          })
        )
    }
  })

/**
 * Shares nothing: every caller makes its own call.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop = <A, E = never>(): Coalesce<A, E> => ({ execute: (self) => self, size: Effect.succeed(0) })

/**
 * Joins the call that runs for the key, or starts it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withCoalesce: {
  <A, E>(coalesce: Coalesce<A, E>, key: string): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, coalesce: Coalesce<A, E>, key: string): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  3,
  <A, E, R>(self: Effect.Effect<A, E, R>, coalesce: Coalesce<A, E>, key: string) => coalesce.execute(self, key)
)

interface Flight<A, E> {
  readonly fiber: Fiber.Fiber<A, E>
  waiting: number
}
