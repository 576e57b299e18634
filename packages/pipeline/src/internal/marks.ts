import type * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { AnyPolicy, Placed } from "../Part.ts"

/** What a time limit tells the fast path about itself. It brings the fast path, which no other pipeline has to load. */
export const timed: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/pipeline/timed")

export interface Timed {
  readonly [timed]: { readonly timeout: Duration.Duration; readonly through: Through }
}

/**
 * The fast path through policies, outside in: admissions, perhaps a retry, admissions, a time limit. `undefined` where they are
 * not such a list.
 */
type Through = (
  placed: ReadonlyArray<Placed>,
  oneByOne: (placed: ReadonlyArray<Placed>) => Wrap
) => Wrap | undefined

/** What a retry tells the fast path about itself. */
export const retried: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/pipeline/retried")

export interface Retried {
  readonly [retried]: Retry | undefined
}

export interface Retry {
  readonly policy: RetryPolicy.RetryPolicy
  readonly options: RetryPolicy.CallOptions<unknown>
}

export type Wrap = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, unknown, unknown>

export const isTimed = (u: unknown): u is Timed => Predicate.hasProperty(u, timed)

export const isRetried = (u: AnyPolicy): u is AnyPolicy & Retried => Predicate.hasProperty(u, retried)
