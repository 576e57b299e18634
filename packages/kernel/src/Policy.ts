/**
 * What all policies have in common.
 *
 * **Why**
 *
 * A policy is data and a function from `Effect` to `Effect`. Code that composes, shows or tests policies needs to know nothing
 * else about them.
 *
 * **Details**
 *
 * A module of a policy has
 *
 * - `Options` and `fields`: the data, how it is written, with its defaults;
 * - `make`: an instance from options. It throws `RangeError` where an option makes no sense;
 * - `noop`: an instance that lets everything pass;
 * - `keyed`: an instance for each key, where instances have a state;
 * - a service of its own name with `layer` and `layerNoop`;
 * - a combinator, such as `withBulkhead`, for pipes.
 *
 * **Example** (A policy of one's own)
 *
 * ```ts import.meta.vitest
 * import * as Policy from "@effect-resilience/kernel/Policy"
 * import { Effect } from "effect"
 *
 * let calls = 0
 * const counting: Policy.Policy<never, { readonly calls: number }> = {
 *   name: "counting",
 *   execute: (self) => Effect.andThen(Effect.sync(() => calls++), self),
 *   admitUnsafe: undefined,
 *   snapshot: Effect.sync(() => ({ calls }))
 * }
 *
 * const program = Effect.succeed("stored").pipe(Policy.withPolicy(counting), Effect.andThen(counting.snapshot))
 * await Effect.runPromise(program) // => { calls: 1 }
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"

/**
 * A policy. `E` is what it rejects calls with; `A` and `R` are what it may return and need instead of the call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<out E = never, out Snapshot = unknown, out A = never, out R = never> {
  /** The name that errors, logs and metrics carry. */
  readonly name: string
  /** The module that it comes from, such as `"Bulkhead"`, in events and metrics; a policy of your own needs none. */
  readonly kind?: string | undefined
  /** Runs an effect through the policy. */
  execute<A2, E2, R2>(self: Effect.Effect<A2, E2, R2>): Effect.Effect<A | A2, E | E2, R | R2>
  /**
   * Lets a call begin at once, or says nothing: then `execute` decides. `undefined` where a policy does more than that.
   *
   * A call that was admitted has to report its exit. One that did not begin after all reports `neverBegan`, which leaves no
   * trace.
   */
  readonly admitUnsafe: ((caller: Caller) => Admission | undefined) | undefined
  /** What the policy looks like now. */
  readonly snapshot: Effect.Effect<Snapshot>
  /** Exists in types only, for `ErrorOf`. */
  readonly "~rejects"?: E
}

/**
 * Who makes a call: a fiber, or a call that needs none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Caller extends Pick<Fiber.Fiber<unknown, unknown>, "context" | "getRef"> {}

/**
 * What a policy rejects calls with.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorOf<P> = P extends { readonly "~rejects"?: infer E } ? Exclude<E, undefined> : never

/**
 * Takes the exit of a call that was admitted. An effect that it returns tells others what came of it.
 *
 * @category models
 * @since 0.1.0
 */
export type Admission = (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void> | undefined

/**
 * A combinator for one kind of policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Combinator<in P, E> {
  (policy: P): <A, E2, R>(self: Effect.Effect<A, E2, R>) => Effect.Effect<A, E | E2, R>
  <A, E2, R>(self: Effect.Effect<A, E2, R>, policy: P): Effect.Effect<A, E | E2, R>
}

/**
 * Runs an effect through a policy.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPolicy: {
  <E, S, A = never, R = never>(
    policy: Policy<E, S, A, R>
  ): <A2, E2, R2>(self: Effect.Effect<A2, E2, R2>) => Effect.Effect<A | A2, E | E2, R | R2>
  <A2, E2, R2, E, S, A = never, R = never>(
    self: Effect.Effect<A2, E2, R2>,
    policy: Policy<E, S, A, R>
  ): Effect.Effect<A | A2, E | E2, R | R2>
} = /* @__PURE__ */ dual(
  2,
  <A2, E2, R2, E, S, A, R>(self: Effect.Effect<A2, E2, R2>, policy: Policy<E, S, A, R>) => policy.execute(self)
)

/**
 * A policy that lets every call pass.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop = <Snapshot>(snapshot: Snapshot): Policy<never, Snapshot> => ({
  name: "noop",
  execute: (self) => self,
  admitUnsafe: () => unobserved,
  snapshot: Effect.succeed(snapshot)
})

/**
 * Admits a call whose exit does not matter.
 *
 * @category admissions
 * @since 0.1.0
 */
export const unobserved: Admission = () => undefined

/**
 * The exit of a call that was admitted and did not begin after all.
 *
 * @category admissions
 * @since 0.1.0
 */
export const neverBegan: Exit.Exit<never> = /* @__PURE__ */ Exit.interrupt()
