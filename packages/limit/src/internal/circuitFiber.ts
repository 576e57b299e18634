import * as Policy from "@effect-resilience/kernel/Policy"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { Permit } from "./circuitState.ts"

export interface Stopwatch {
  readonly startedAt: number
  readonly now: () => number
}

export const stopwatch = (caller: Policy.Caller): Stopwatch => {
  const clock = caller.getRef(Clock.Clock)
  return { startedAt: monotonicMillis(clock), now: () => monotonicMillis(clock) }
}

export const nowMillis = (caller: Policy.Caller): number => monotonicMillis(caller.getRef(Clock.Clock))

/** Changes a circuit and tells others, as one. */
export const told = <A>(change: (caller: Policy.Caller) => Effect.Effect<A>): Effect.Effect<A> =>
  Effect.uninterruptible(Effect.withFiber(change))

export const permit = (caller: Policy.Caller, admission: Policy.Admission): Permit => {
  const { context } = caller
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
