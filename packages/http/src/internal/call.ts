import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Operation from "../Operation.ts"
import { reasonTag } from "./failure.ts"

/**
 * What the attempts of one call have in common. The fields about the response are those of the latest attempt. Mutable,
 * since attempts report to a call that began before them.
 */
export interface Call {
  id: string | undefined
  readonly operation: Operation.Operation | undefined
  /** Who tells of the call already: what stands inside, such as a client in an upload, is a part of it. */
  logged: boolean
  observed: boolean
  attempts: number
  running: number
  lastReason: string | undefined
  method: string | undefined
  status: number | undefined
  requestId: string | undefined
  bytesSent: number | undefined
  bytesReceived: number | undefined
}

/** One request, shared by all middleware around it. */
export interface CallAttempt {
  readonly call: Call
  readonly number: number
  readonly resendReason: string | undefined
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

const CurrentCall = /* @__PURE__ */ Context.Reference<Call | undefined>(
  "@effect-resilience/http/internal/call/CurrentCall",
  {
    defaultValue: () => undefined
  }
)

const CurrentAttempt = /* @__PURE__ */ Context.Reference<CallAttempt | undefined>(
  "@effect-resilience/http/internal/call/CurrentAttempt",
  { defaultValue: () => undefined }
)

// A login during an upload is a call of its own: it has another operation.
const callOf = (fiber: AnyFiber): Call | undefined => {
  const call = fiber.getRef(CurrentCall)
  return call !== undefined && call.operation === fiber.getRef(Operation.Current) ? call : undefined
}

const makeCall = (fiber: AnyFiber): Call => ({
  id: undefined,
  operation: fiber.getRef(Operation.Current),
  logged: false,
  observed: false,
  attempts: 0,
  running: 0,
  lastReason: undefined,
  method: undefined,
  status: undefined,
  requestId: undefined,
  bytesSent: undefined,
  bytesReceived: undefined
})

/** An id for the call, drawn on first use, so that a call that is not logged consumes no seeded randomness. */
export const callId = (call: Call, fiber: AnyFiber): string =>
  call.id ??= (fiber.getRef(Random.Random).nextIntUnsafe() >>> 0).toString(16).padStart(8, "0")

/**
 * What a middleware puts around a call or an attempt. `run` may change the fiber's context; `onExit` runs in the previous one.
 *
 * `Effect.provideService` and `Effect.acquireUseRelease` make several frames each, and an observed call goes through many.
 */
export interface Frame<A, E, R> {
  readonly run: Effect.Effect<A, E, R>
  readonly onExit: (exit: Exit.Exit<A, E>) => Effect.Effect<void> | undefined
}

/** Runs `f` within the call of this operation, which begins here unless middleware further out has begun it. */
export const withinCall = <A, E, R>(f: (call: Call, fiber: AnyFiber) => Frame<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const current = callOf(fiber)
    if (current !== undefined) return framed(fiber, f(current, fiber))
    const call = makeCall(fiber)
    const { onExit, run } = f(call, fiber)
    return framed(fiber, { run: entering(fiber, CurrentCall, call, run), onExit })
  })

/** Runs `f` within an attempt, which begins here unless middleware further out has begun it. */
export const withinAttempt = <A, E, R>(
  f: (attempt: CallAttempt, fiber: AnyFiber) => Frame<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const operation = fiber.getRef(Operation.Current)
    const outer = fiber.getRef(CurrentAttempt)
    if (outer !== undefined && outer.call.operation === operation) return framed(fiber, f(outer, fiber))
    const attempt = begin(fiber)
    const { onExit, run } = f(attempt, fiber)
    return framed(fiber, {
      run: entering(fiber, CurrentAttempt, attempt, run),
      onExit: (exit) => {
        end(attempt, exit)
        return onExit(exit)
      }
    })
  })

// The frame is set before the context changes, so that an interruption in between restores the context too.
const framed = <A, E, R>(fiber: AnyFiber, { onExit, run }: Frame<A, E, R>): Effect.Effect<A, E, R> => {
  const previous = fiber.context
  return Effect.onExitPrimitive(run, (exit) => {
    fiber.setContext(previous)
    return onExit(exit)
  })
}

const entering = <S, A, E, R>(
  fiber: AnyFiber,
  reference: Context.Reference<S>,
  value: S,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    fiber.setContext(Context.add(fiber.context, reference, value))
    return self
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
