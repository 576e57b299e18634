/**
 * Lets calls for the same thing at the same time share one.
 *
 * **Why**
 *
 * When a popular entry of a cache expires, all its readers ask for it at once. One call is enough.
 *
 * **Details**
 *
 * The first caller for a key starts the call. Those that come while it runs wait for it, and all get its result, be it a
 * success or an error. Nothing is kept: the next caller after its end starts another call.
 *
 * Interrupting some of the callers does not stop the call; interrupting all of them does. The call has no
 * deadline, since those that wait have different ones: each stops waiting at its own.
 *
 * **Gotchas**
 *
 * - A call must not ask for its own key: once it has waited for anything, it waits for itself, for ever.
 * - Share only what is safe to share: a key that lacks the user gives one user the response of another.
 * - What the call acquires for a `Scope` is in that of the first caller, and is released with it, also while others still wait.
 *   Put `Effect.scoped` around the call.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Field from "@effect-resilience/kernel/Field"
import * as Policy from "@effect-resilience/kernel/Policy"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"

/**
 * Calls under way, by key. All of them have results of one type, which is why `execute` takes less than that of other
 * policies.
 *
 * @category models
 * @since 0.1.0
 */
export interface Coalesce<in out A, in out E = never> extends Omit<Policy.Policy<never, Snapshot>, "execute"> {
  /** Joins the call that runs for the key, or starts it. */
  execute<R>(self: Effect.Effect<A, E, R>, key: string): Effect.Effect<A, E, R>
}

/**
 * How many calls are under way.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Calls that run at present; callers that share one count once. */
  readonly running: number
}

/**
 * How to make a place for calls with the same type of result.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name in metrics; default `"default"`. */
  readonly name?: string | undefined
}

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name
} satisfies Field.Fields<Options>

/**
 * Makes a place for calls with the same type of result. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, E = never>(options: Options = {}): Effect.Effect<Coalesce<A, E>> => {
  const { name } = Field.read("Coalesce", fields, options)
  return Effect.sync(() => {
    const shared = new Map<string, SharedCall<A, E>>()

    const start = (key: string, fiber: Fiber.Fiber<A, E>): SharedCall<A, E> => {
      const call = { fiber, waiting: 0 }
      shared.set(key, call)
      fiber.addObserver(() => forget(key, call))
      return call
    }

    // A call that asks for its own key before it waits for anything has begun another one, whose place it takes.
    const forget = (key: string, call: SharedCall<A, E>) => {
      if (shared.get(key) === call) shared.delete(key)
    }

    const leave = (key: string, call: SharedCall<A, E>): Effect.Effect<void> | undefined => {
      if (--call.waiting > 0 || call.fiber.pollUnsafe() !== undefined) return undefined
      forget(key, call)
      return Fiber.interrupt(call.fiber)
    }

    return {
      name,
      admitUnsafe: undefined,
      snapshot: Effect.sync(() => ({ running: shared.size })),
      execute: <R>(self: Effect.Effect<A, E, R>, key: string) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.contextWith((context: Context.Context<R>) => {
            const call = shared.get(key) ??
              start(key, Effect.runForkWith(context)(Effect.interruptible(Deadline.withoutDeadline(self))))
            call.waiting++
            return Effect.onExitPrimitive(restore(Fiber.join(call.fiber)), () => leave(key, call))
          })
        )
    }
  })
}

/**
 * Shares nothing: every caller makes its own call.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Policy.Policy<never, Snapshot> = /* @__PURE__ */ Policy.noop<Snapshot>({ running: 0 })

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

interface SharedCall<A, E> {
  readonly fiber: Fiber.Fiber<A, E>
  waiting: number
}
