import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Operation from "../Operation.ts"
import { reasonTag } from "./failure.ts"

/**
 * What the attempts of one call have in common. The fields about the answer are those of the latest attempt. Mutable,
 * since attempts report to a call that began before them.
 */
export interface Call {
  id: string | undefined
  readonly operation: Operation.Operation | undefined
  attempts: number
  running: number
  lastReason: string | undefined
  method: string | undefined
  status: number | undefined
  requestId: string | undefined
  bytesSent: number | undefined
  bytesReceived: number | undefined
}

/** One request on its way, shared by all middleware around it. */
export interface CallAttempt {
  readonly call: Call
  readonly number: number
  readonly resendReason: string | undefined
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

const CurrentCall = Context.Reference<Call | undefined>("@effect-resilience/http/internal/call/CurrentCall", {
  defaultValue: () => undefined
})

const CurrentAttempt = Context.Reference<CallAttempt | undefined>(
  "@effect-resilience/http/internal/call/CurrentAttempt",
  { defaultValue: () => undefined }
)

// A login in the midst of an upload is a call of its own: it has another operation.
const callOf = (fiber: AnyFiber): Call | undefined => {
  const call = fiber.getRef(CurrentCall)
  return call !== undefined && call.operation === fiber.getRef(Operation.Current) ? call : undefined
}

const makeCall = (fiber: AnyFiber): Call => ({
  id: undefined,
  operation: fiber.getRef(Operation.Current),
  attempts: 0,
  running: 0,
  lastReason: undefined,
  method: undefined,
  status: undefined,
  requestId: undefined,
  bytesSent: undefined,
  bytesReceived: undefined
})

/** A name for the call, drawn on first use, so that a call that nobody logs leaves seeded randomness alone. */
export const callId = (call: Call, fiber: AnyFiber): string =>
  call.id ??= (fiber.getRef(Random.Random).nextIntUnsafe() >>> 0).toString(16).padStart(8, "0")

/** Runs `f` within the call of this operation, which begins here unless middleware further out has begun it. */
export const withinCall = <A, E, R>(
  f: (call: Call, fiber: AnyFiber) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const current = callOf(fiber)
    if (current !== undefined) return f(current, fiber)
    const call = makeCall(fiber)
    return Effect.provideService(f(call, fiber), CurrentCall, call)
  })

/** Runs `f` within an attempt, which begins here unless middleware further out has begun it. */
export const withinAttempt = <A, E, R>(
  f: (attempt: CallAttempt, fiber: AnyFiber) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(CurrentAttempt)
    if (outer !== undefined && outer.call.operation === fiber.getRef(Operation.Current)) return f(outer, fiber)
    const attempt = begin(fiber)
    return Effect.onExitPrimitive(
      Effect.provideService(f(attempt, fiber), CurrentAttempt, attempt),
      (exit) => {
        end(attempt, exit)
        return undefined
      }
    )
  })

const begin = (fiber: AnyFiber): CallAttempt => {
  const known = callOf(fiber)
  const call = known ?? makeCall(fiber)
  const resendReason = call.running > 0 ? "Hedge" : call.lastReason
  call.attempts = known === undefined ? fiber.getRef(Attempt.Current).attempt : call.attempts + 1
  call.running++
  return { call, number: call.attempts, resendReason }
}

const end = (attempt: CallAttempt, exit: Exit.Exit<unknown, unknown>): void => {
  attempt.call.running--
  attempt.call.lastReason = reasonTag(exit)
}
