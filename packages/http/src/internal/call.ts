import * as Direct from "@effect-resilience/kernel/Direct"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Random from "effect/Random"
import * as Operation from "../Operation.ts"
import { reasonTag } from "./failure.ts"
import type { Lifetime } from "./lifetime.ts"
import { around, isPrompt, send } from "./sending.ts"

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
  /** Who holds the attempt until the body of its response has ended, for `ErrorMapping`. */
  lifetime: Lifetime | undefined
  /** When it begins, for the first that asks next, if somebody has just looked at the clock. */
  now: number | undefined
}

type AnyContext = Context.Context<never>

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
const callOf = (context: AnyContext): Call | undefined => {
  const call = Context.get(context, CurrentCall)
  return call !== undefined && call.operation === Context.get(context, Operation.Current) ? call : undefined
}

/** How many attempts the call has begun so far. */
export const attemptsOf = (context: AnyContext): number => callOf(context)?.attempts ?? 0

/** The attempt that runs. */
export const attemptOf = (context: AnyContext): CallAttempt | undefined => {
  const attempt = Context.get(context, CurrentAttempt)
  return attempt !== undefined && attempt.call.operation === Context.get(context, Operation.Current)
    ? attempt
    : undefined
}

const makeCall = (context: AnyContext): Call => ({
  id: undefined,
  operation: Context.get(context, Operation.Current),
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
export const callId = (call: Call, context: AnyContext): string =>
  call.id ??= (Context.get(context, Random.Random).nextIntUnsafe() >>> 0).toString(16).padStart(8, "0")

/** What looks on at a call or an attempt: the context of what is inside, and what is done at the end. */
export interface Observation {
  readonly context: AnyContext
  readonly onExit: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void> | undefined
}

export type ObserveCall = (call: Call, context: AnyContext) => Observation | undefined

/** Looks on at the call of this operation, which begins here unless middleware further out has begun it. */
export const withinCall = <A, E, R>(self: Effect.Effect<A, E, R>, observe: ObserveCall): Effect.Effect<A, E, R> =>
  self instanceof WithinCall
    ? new WithinCall(self.self as Effect.Effect<A, E, R>, [observe, ...self.observers])
    : new WithinCall(self, [observe])

/** It begins without a fiber where what is inside does. What stands side by side has one frame, those outside first. */
class WithinCall<A, E, R> extends Effectable.Class<A, E, R> implements Direct.Direct<A, E> {
  readonly self: Effect.Effect<A, E, R>
  readonly observers: ReadonlyArray<ObserveCall>

  constructor(self: Effect.Effect<A, E, R>, observers: ReadonlyArray<ObserveCall>) {
    super()
    this.self = self
    this.observers = observers
  }

  // `Effect.provideService` and `Effect.acquireUseRelease` make several frames each, and an observed call goes through many.
  override asEffect(): Effect.Effect<A, E, R> {
    return Effect.withFiber((fiber) => {
      const previous = fiber.context
      const observations: Array<Observation> = []
      // The frame is set before the context changes, so that an interruption in between restores the context too.
      const run = Effect.suspend(() => {
        fiber.setContext(this.begin(previous, observations))
        return this.self
      })
      return Effect.onExitPrimitive(run, (exit) => {
        fiber.setContext(previous)
        return exitAll(observations, exit)
      })
    })
  }

  [Direct.direct](context: AnyContext): Direct.Running<A, E> {
    const observations: Array<Observation> = []
    let running: Direct.Running<A, E>
    try {
      const inside = this.begin(context, observations)
      // What begins the call has all that it needs.
      running = Direct.startUnsafe(this.self, inside as Context.Context<R>)
    } catch (thrown) {
      running = Direct.ended(Exit.die(thrown))
    }
    return observations.length === 0
      ? running
      : Direct.follow(running, context, (exit) => told(exit, exitAll(observations, exit)))
  }

  /** The context of what is inside. Those who look on are added one by one: where one throws, those before it hear of that. */
  private begin(outside: AnyContext, observations: Array<Observation>): AnyContext {
    const known = callOf(outside)
    const call = known ?? makeCall(outside)
    let context = known === undefined ? Context.add(outside, CurrentCall, call) : outside
    for (const observe of this.observers) {
      const observation = observe(call, context)
      if (observation === undefined) continue
      observations.push(observation)
      context = observation.context
    }
    return context
  }
}

/**
 * Those inside first, as if each had a frame of its own: one further out hears of what one inside throws, and when that has told its
 * news, in the span of who is around it.
 */
const exitAll = (
  observations: ReadonlyArray<Observation>,
  exit: Exit.Exit<unknown, unknown>,
  from = observations.length - 1
): Effect.Effect<void> | undefined => {
  let died: Exit.Exit<never> | undefined
  for (let i = from; i >= 0; i--) {
    let news: Effect.Effect<void> | undefined
    try {
      news = observations[i]?.onExit(died ?? exit)
    } catch (thrown) {
      died = Exit.die(thrown)
    }
    if (news === undefined) continue
    const around = observations[i - 1]?.context
    const known = died ?? exit
    const told = around === undefined
      ? news
      : Effect.onExitPrimitive(
        Effect.updateContext(news, (_: AnyContext) => around),
        (told) => exitAll(observations, Exit.isSuccess(told) ? known : told, i - 1)
      )
    return died === undefined ? told : Effect.andThen(told, died)
  }
  return died
}

/** An exit, once those who look on have heard of it. */
const told = <A, E>(exit: Exit.Exit<A, E>, news: Effect.Effect<void> | undefined): Effect.Effect<A, E> =>
  news === undefined ? exit : Effect.onExitPrimitive(exit, () => news)

/** What looks on at an attempt may send another request. */
export interface AttemptObservation extends Observation {
  readonly request: HttpClientRequest.HttpClientRequest
}

export type ObserveAttempt = (
  attempt: CallAttempt,
  request: HttpClientRequest.HttpClientRequest,
  context: AnyContext
) => AttemptObservation | undefined

const observing: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/http/observing")

/** A client whose attempts are looked on at, those outside first. */
interface Observing<E, R> {
  readonly client: HttpClient.HttpClient.With<E, R>
  readonly observers: ReadonlyArray<ObserveAttempt>
  readonly lifetime: LifetimeOf | undefined
}

type LifetimeOf = (context: AnyContext) => Lifetime | undefined

/**
 * Looks on at the attempts of a client, each of which begins here unless middleware further out has begun it. All middleware that
 * stands side by side has one frame. `lifetime` says who holds an attempt until the body of its response has ended.
 */
export const withinAttempts = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  observer: ObserveAttempt | undefined,
  lifetime?: LifetimeOf
): HttpClient.HttpClient.With<E, R> => {
  const inner = observing in client && isPrompt(client) ? client[observing] as Observing<E, R> : undefined
  const joined = inner?.lifetime === undefined ? inner : undefined
  const observers = [...observer === undefined ? [] : [observer], ...joined?.observers ?? []]
  const all: Observing<E, R> = { client: joined?.client ?? client, observers, lifetime }
  const attempt = (request: HttpClientRequest.HttpClientRequest) => Effect.withFiber(observe(all, request))
  return Object.assign(around<E, R>(attempt, client.preprocess), { [observing]: all })
}

const observe = <E, R>(
  { client, lifetime: lifetimeOf, observers }: Observing<E, R>,
  request: HttpClientRequest.HttpClientRequest
) =>
(fiber: Fiber.Fiber<unknown, unknown>) => {
  const previous = fiber.context
  const lifetime = lifetimeOf?.(previous)
  let began: CallAttempt | undefined
  const observations: Array<Observation> = []
  const run = Effect.suspend(() => {
    const outer = attemptOf(previous)
    const attempt = outer ?? (began = begin(previous))
    let context = outer === undefined ? Context.add(previous, CurrentAttempt, attempt) : previous
    let sent = request
    if (lifetime !== undefined) attempt.lifetime = lifetime
    for (const observer of observers) {
      const observation = observer(attempt, sent, context)
      if (observation === undefined) continue
      observations.push(observation)
      context = observation.context
      sent = observation.request
    }
    fiber.setContext(context)
    // What does not send at once would begin its limits in the past.
    if (!isPrompt(client)) attempt.now = undefined
    return send(client, sent)
  })
  const framed = Effect.onExitPrimitive(run, (exit) => {
    fiber.setContext(previous)
    if (began !== undefined) end(began, exit)
    return exitAll(observations, exit)
  })
  if (lifetime?.isReading !== true) return framed
  const waiting = attemptOf(previous)
  if (waiting !== undefined) waiting.now = undefined
  return Effect.andThen(lifetime.turn(), framed)
}

const begin = (context: AnyContext): CallAttempt => {
  const known = callOf(context)
  const call = known ?? makeCall(context)
  const resendReason = call.running > 0 ? "Hedge" : call.lastReason
  call.attempts = known === undefined ? Context.get(context, Attempt.Current).attempt : call.attempts + 1
  call.running++
  return { call, number: call.attempts, resendReason, lifetime: undefined, now: undefined }
}

const end = (attempt: CallAttempt, exit: Exit.Exit<unknown, unknown>): void => {
  attempt.call.running--
  attempt.call.lastReason = reasonTag(exit)
}
