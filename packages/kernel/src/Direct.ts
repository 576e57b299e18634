/**
 * Effects that can begin without a fiber.
 *
 * **Why**
 *
 * A limit of time runs its effect in a fiber of its own, which it can interrupt. Some effects are little more than a callback and its
 * cancellation, such as a call of promises or a request of a simulation, and a fiber costs them more than all the rest.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * The method of an effect that can begin without a fiber.
 *
 * @category symbols
 * @since 0.1.0
 */
export const direct: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/kernel/Direct")

/**
 * What such an effect has: it begins, and returns what runs. It does not wait for anything after its interruption.
 *
 * @category models
 * @since 0.1.0
 */
export interface Direct<out A, out E = unknown> {
  readonly [direct]: () => Running<A, E>
}

/**
 * What runs: such an effect, or a fiber. A direct effect has one observer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Running<out A, out E = unknown> {
  readonly pollUnsafe: () => Exit.Exit<A, E> | undefined
  readonly addObserver: (observer: (exit: Exit.Exit<A, E>) => void) => unknown
  readonly interruptUnsafe: () => void
}

/**
 * Begins an effect: without a fiber where it can, otherwise in one of its own.
 *
 * @category running
 * @since 0.1.0
 */
export const startUnsafe = <A, E, R>(self: Effect.Effect<A, E, R>, context: Context.Context<R>): Running<A, E> =>
  isDirect<A, E>(self) ? self[direct]() : Effect.runForkWith(context)(self)

/**
 * Interrupts what runs, and waits until it has ended.
 *
 * @category running
 * @since 0.1.0
 */
export const interrupt = (running: Running<unknown>): Effect.Effect<void> =>
  Fiber.isFiber(running) ? Fiber.interrupt(running) : Effect.sync(() => running.interruptUnsafe())

const isDirect = <A, E>(self: object): self is Direct<A, E> => direct in self
