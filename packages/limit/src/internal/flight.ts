import type * as Timeout from "@effect-resilience/deadline/Timeout"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Bulkhead } from "../Bulkhead.ts"
import type { CircuitBreaker } from "../CircuitBreaker.ts"

export interface Retry {
  readonly policy: RetryPolicy.RetryPolicy
  readonly options: RetryPolicy.CallOptions<unknown>
}

/** The parts that a call meets in one step, as long as nothing is amiss. */
export interface Route<Refusal> {
  readonly bulkhead: Bulkhead | undefined
  readonly retry: Retry | undefined
  readonly breaker: CircuitBreaker | undefined
  readonly timeoutMillis: number
  readonly timedOut: () => Exit.Exit<never, Timeout.TimedOut>
  readonly count: ((exit: Exit.Exit<unknown, unknown>, context: Context.Context<never>) => void) | undefined
  /** One attempt through the parts inside the retry, one by one. */
  readonly attempt: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Refusal, R>
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

/**
 * Starts the first attempt of a call: one permit, one look at the circuit, one fiber. Where a part has to refuse the call
 * or to make it wait, nothing has happened and the call goes `inParts`.
 *
 * The attempt has the fiber that a timeout needs anyhow. Whoever waits for it holds no frame, and what comes after a
 * failure goes through the parts one by one.
 */
export const start = <A, E, R, Refusal>(
  route: Route<Refusal>,
  self: Effect.Effect<A, E, R>,
  inParts: () => Effect.Effect<A, E | Refusal, R>
): Effect.Effect<A, E | Refusal | Timeout.TimedOut, R> =>
  Effect.callback((resume) => {
    const parent = Fiber.getCurrent()
    const admitted = parent && admit(route, parent)
    if (parent === undefined || admitted === undefined) return resume(inParts())
    // The effect that is returned needs R, so the fiber that runs it has R.
    const outside = parent.context as Context.Context<R>
    const context = route.retry === undefined ? outside : AttemptBudget.depositUnsafe(outside)
    const child = Effect.runForkWith(context)(self)
    const flight = new Flight(route, self, admitted, parent, context)
    const exit = child.pollUnsafe()
    if (exit !== undefined) return resume(flight.land(exit))
    let timedOut = false
    const wait = Timer.startUnsafe(parent.context, route.timeoutMillis, () => {
      timedOut = true
      child.interruptUnsafe()
    })
    child.addObserver((exit) => {
      wait.cancel()
      const late = timedOut && Exit.isFailure(exit) && !Cause.hasDies(exit.cause)
      resume(Effect.suspend(() => flight.land(late ? route.timedOut() : exit)))
    })
    return Effect.suspend(() => Effect.andThen(Fiber.interrupt(child), Effect.sync(() => flight.leave(interrupted))))
  })

interface Admitted {
  readonly settle: Policy.Admission
  readonly release: Policy.Admission
}

const admit = (route: Route<never>, parent: AnyFiber): Admitted | undefined => {
  const { breaker, bulkhead, retry } = route
  if (retry !== undefined && parent.getRef(Attempt.Current) !== Attempt.first) return undefined
  const settle = breaker === undefined ? ignore : breaker.admitUnsafe?.(parent)
  if (settle === undefined) return undefined
  const release = bulkhead === undefined ? ignore : bulkhead.admitUnsafe?.(parent)
  return release === undefined ? undefined : { settle, release }
}

const ignore: Policy.Admission = () => undefined

const interrupted = /* @__PURE__ */ Exit.interrupt()

class Flight<A, E, R, Refusal> {
  private readonly route: Route<Refusal>
  private readonly self: Effect.Effect<A, E, R>
  private readonly admitted: Admitted
  private readonly parent: AnyFiber
  private readonly context: Context.Context<R>
  private left = false

  constructor(
    route: Route<Refusal>,
    self: Effect.Effect<A, E, R>,
    admitted: Admitted,
    parent: AnyFiber,
    context: Context.Context<R>
  ) {
    this.route = route
    this.self = self
    this.admitted = admitted
    this.parent = parent
    this.context = context
  }

  land(exit: Exit.Exit<A, E | Timeout.TimedOut>): Effect.Effect<A, E | Refusal | Timeout.TimedOut, R> {
    const { retry } = this.route
    if (retry !== undefined && Exit.isFailure(exit)) return this.again(exit, retry)
    this.leave(exit)
    return told(this.admitted.settle, exit)
  }

  /** Hands the first attempt to the retry as it ended, and keeps the permit until the last one has. */
  private again(
    exit: Exit.Exit<A, E | Timeout.TimedOut>,
    { options, policy }: Retry
  ): Effect.Effect<A, E | Refusal | Timeout.TimedOut, R> {
    let first = true
    const attempt = Effect.suspend((): Effect.Effect<A, E | Refusal | Timeout.TimedOut, R> => {
      if (!first) return this.route.attempt(this.self)
      first = false
      return told(this.admitted.settle, exit)
    })
    // An interruption can come before the frame below is in place. It ends the fiber, and that the observer hears of.
    const forget = this.parent.addObserver(() => this.leave(interrupted))
    const budget = Context.get(this.context, AttemptBudget.Current)
    const retried = Effect.provideService(RetryPolicy.retry(attempt, policy, options), AttemptBudget.Current, budget)
    return Effect.onExitPrimitive(retried, (exit) => {
      forget()
      return this.leave(exit)
    })
  }

  leave(exit: Exit.Exit<unknown, unknown>): undefined {
    if (this.left) return
    this.left = true
    const { count } = this.route
    this.admitted.release(exit)
    if (count !== undefined) count(exit, this.parent.context)
  }
}

const told = <A, E>(settle: Policy.Admission, exit: Exit.Exit<A, E>): Effect.Effect<A, E> => {
  const news = settle(exit)
  return news === undefined ? exit : Effect.andThen(news, exit)
}
