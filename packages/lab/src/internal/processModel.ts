import type * as Effect from "effect/Effect"

/** A process with policies of its own. */
export interface Process {
  /** A call: a request, with its policy around it. */
  readonly call: Effect.Effect<unknown, unknown>
  /** The state of its circuit breaker, where it has one. */
  readonly state: Effect.Effect<string | undefined> | undefined
}
