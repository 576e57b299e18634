import * as Policy from "@effect-resilience/kernel/Policy"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Permit } from "./circuitState.ts"

export type AnyFiber = Fiber.Fiber<unknown, unknown>

export interface Stopwatch {
  readonly startedAt: number
  readonly now: () => number
}

export const stopwatch = (fiber: AnyFiber): Stopwatch => {
  const clock = fiber.getRef(Clock.Clock)
  return { startedAt: monotonicMillis(clock), now: () => monotonicMillis(clock) }
}

export const nowMillis = (fiber: AnyFiber): number => monotonicMillis(fiber.getRef(Clock.Clock))

/** Changes a circuit and tells others, as one. */
export const told = <A>(change: (fiber: AnyFiber) => Effect.Effect<A>): Effect.Effect<A> =>
  Effect.uninterruptible(Effect.withFiber(change))

export const permit = (fiber: AnyFiber, admission: Policy.Admission): Permit => {
  const { context } = fiber
  let settled = false
  const record = (exit: Exit.Exit<unknown, unknown>) =>
    Effect.suspend(() => {
      if (settled) return Effect.void
      settled = true
      return admission(exit) ?? Effect.void
    })
  return {
    record,
    recordUnsafe: (exit) => {
      Effect.runForkWith(context)(record(exit))
    },
    release: record(Policy.neverBegan)
  }
}
