import type * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"

/** Decides about a call when a fiber makes it. */
export interface Gate<out Rejection> {
  enter<A, E, R>(
    self: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>
  ): Effect.Effect<A, E | Rejection, R>
}

/**
 * `Effect.withFiber((fiber) => gate.enter(self, fiber))` without the closure.
 *
 * hack: gated
 */
export class Gated<A, E, R, Rejection> {
  readonly gate: Gate<Rejection>
  readonly self: Effect.Effect<A, E, R>

  constructor(gate: Gate<Rejection>, self: Effect.Effect<A, E, R>) {
    this.gate = gate
    this.self = self
  }
}

export interface Gated<A, E, R, Rejection> extends Effect.Effect<A, E | Rejection, R> {}

Object.setPrototypeOf(
  Gated.prototype,
  Effectable.Prototype<Gated<unknown, unknown, unknown, unknown>>({
    label: "Gated",
    evaluate(fiber) {
      return this.gate.enter(this.self, fiber)
    }
  })
)
