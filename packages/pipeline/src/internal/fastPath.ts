import type * as Timeout from "@effect-resilience/deadline/Timeout"
import { TimedOut } from "@effect-resilience/deadline/Timeout"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type { AnyPolicy, Placed } from "../Part.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** What a time limit tells the fast path about itself. */
export const timed: unique symbol = Symbol.for("@effect-resilience/pipeline/timed")

export interface Timed {
  readonly [timed]: { readonly timeout: Duration.Duration }
}

/** What a retry tells the fast path about itself. */
export const retried: unique symbol = Symbol.for("@effect-resilience/pipeline/retried")

export interface Retried {
  readonly [retried]: Retry | undefined
}

interface Retry {
  readonly policy: RetryPolicy.RetryPolicy
  readonly options: RetryPolicy.CallOptions<unknown>
}

/**
 * Policies that a call meets in one step, while none of them rejects it or lets it wait.
 *
 * hack: fast-path
 */
export interface FastPath {
  /** Outside the retry, outside in. */
  readonly around: ReadonlyArray<Admitting>
  readonly retry: Retry | undefined
  /** Inside the retry, outside in. */
  readonly inside: ReadonlyArray<Admitting>
  readonly timeoutMillis: number
  readonly timedOut: () => Exit.Exit<never, Timeout.TimedOut>
}

interface Admitting {
  readonly admitUnsafe: (fiber: AnyFiber) => Policy.Admission | undefined
}

/**
 * The fast path through policies, outside in: admissions, perhaps a retry, admissions, a time limit. `undefined` where they are
 * not such a list.
 */
export const make = (placed: ReadonlyArray<Placed>): FastPath | undefined => {
  const limit = placed.at(-1)?.policy
  if (!isTimed(limit)) return undefined
  const { timeout } = limit[timed]
  const around: Array<Admitting> = []
  const inside: Array<Admitting> = []
  let retry: Retry | undefined
  for (const { policy } of placed.slice(0, -1)) {
    if (isAdmitting(policy)) (retry === undefined ? around : inside).push(policy)
    else if (retry === undefined && isRetried(policy) && policy[retried] !== undefined) retry = policy[retried]
    else return undefined
  }
  const exit = () => Exit.fail(new TimedOut({ timeout }))
  return { around, retry, inside, timeoutMillis: Duration.toMillis(timeout), timedOut: exit }
}

const isTimed = (u: unknown): u is Timed => Predicate.hasProperty(u, timed)

const isRetried = (u: AnyPolicy): u is AnyPolicy & Retried => Predicate.hasProperty(u, retried)

const isAdmitting = (policy: AnyPolicy): policy is AnyPolicy & Admitting => policy.admitUnsafe !== undefined

/**
 * Starts the first attempt of a call: all admissions, one fiber. Where a policy has to reject the call or to make it wait,
 * nothing has happened and the call takes the `slow` path.
 *
 * The attempt has the fiber that a timeout needs anyhow. What waits for it holds no frame, and what follows a failure goes
 * through the policies one by one: `attempt` is one attempt through those inside the retry.
 */
export const start = <A, E, R, Rejection>(
  path: FastPath,
  self: Effect.Effect<A, E, R>,
  attempt: () => Effect.Effect<A, E | Rejection, R>,
  slow: () => Effect.Effect<A, E | Rejection, R>
): Effect.Effect<A, E | Rejection | Timeout.TimedOut, R> =>
  Effect.callback((resume) => {
    const parent = Fiber.getCurrent()
    const admitted = parent && admit(path, parent)
    if (parent === undefined || admitted === undefined) return resume(slow())
    // The effect that is returned needs R, so the fiber that runs it has R.
    const outside = parent.context as Context.Context<R>
    const context = path.retry === undefined ? outside : AttemptBudget.depositUnsafe(outside)
    const child = Effect.runForkWith(context)(self)
    const call = new Call(path, attempt, admitted, parent, context)
    const exit = child.pollUnsafe()
    if (exit !== undefined) return resume(call.end(exit))
    let timedOut = false
    const wait = Timer.startUnsafe(parent.context, path.timeoutMillis, () => {
      timedOut = true
      child.interruptUnsafe()
    })
    child.addObserver((exit) => {
      wait.cancel()
      const late = timedOut && Exit.isFailure(exit) && !Cause.hasDies(exit.cause)
      resume(Effect.suspend(() => call.end(late ? path.timedOut() : exit)))
    })
    return Effect.suspend(() =>
      Effect.andThen(Fiber.interrupt(child), Effect.suspend(() => call.leave(interrupted) ?? Effect.void))
    )
  })

interface Admitted {
  readonly around: ReadonlyArray<Policy.Admission>
  readonly inside: ReadonlyArray<Policy.Admission>
}

const admit = (path: FastPath, fiber: AnyFiber): Admitted | undefined => {
  if (path.retry !== undefined && fiber.getRef(Attempt.Current) !== Attempt.first) return undefined
  const inside = admitAll(path.inside, fiber)
  if (inside === undefined) return undefined
  const around = admitAll(path.around, fiber)
  if (around !== undefined) return { around, inside }
  report(inside, Policy.neverBegan)
  return undefined
}

const admitAll = (policies: ReadonlyArray<Admitting>, fiber: AnyFiber): ReadonlyArray<Policy.Admission> | undefined => {
  const admissions: Array<Policy.Admission> = []
  for (const policy of policies) {
    const admission = policy.admitUnsafe(fiber)
    if (admission === undefined) {
      report(admissions, Policy.neverBegan)
      return undefined
    }
    admissions.push(admission)
  }
  return admissions
}

/** Tells the policies, the innermost first, how a call ended. The effect tells others what came of it. */
const report = (
  admissions: ReadonlyArray<Policy.Admission>,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> | undefined => {
  let news: Effect.Effect<void> | undefined
  for (let i = admissions.length - 1; i >= 0; i--) {
    const more = admissions[i]?.(exit)
    if (more !== undefined) news = news === undefined ? more : Effect.andThen(news, more)
  }
  return news
}

const interrupted = /* @__PURE__ */ Exit.interrupt()

class Call<A, E, R, Rejection> {
  private readonly path: FastPath
  private readonly attempt: () => Effect.Effect<A, E | Rejection, R>
  private readonly admitted: Admitted
  private readonly parent: AnyFiber
  private readonly context: Context.Context<R>
  private attempted = false
  private left = false

  constructor(
    path: FastPath,
    attempt: () => Effect.Effect<A, E | Rejection, R>,
    admitted: Admitted,
    parent: AnyFiber,
    context: Context.Context<R>
  ) {
    this.path = path
    this.attempt = attempt
    this.admitted = admitted
    this.parent = parent
    this.context = context
  }

  end(exit: Exit.Exit<A, E | Timeout.TimedOut>): Effect.Effect<A, E | Rejection | Timeout.TimedOut, R> {
    this.attempted = true
    const news = report(this.admitted.inside, exit)
    const { retry } = this.path
    if (retry !== undefined && Exit.isFailure(exit)) return this.retry(notifyThen(news, exit), retry)
    return notifyThen(news, notifyThen(this.leave(exit), exit))
  }

  /** Hands the first attempt to the retry as it ended, and keeps the admissions around it until the last one has. */
  private retry(
    ended: Effect.Effect<A, E | Timeout.TimedOut>,
    { options, policy }: Retry
  ): Effect.Effect<A, E | Rejection | Timeout.TimedOut, R> {
    let first = true
    const attempt = Effect.suspend((): Effect.Effect<A, E | Rejection | Timeout.TimedOut, R> => {
      if (!first) return this.attempt()
      first = false
      return ended
    })
    // An interruption can come before the frame below is in place. It ends the fiber, and that the observer hears of.
    const forget = this.parent.addObserver(() => {
      this.leave(interrupted)
    })
    const budget = Context.get(this.context, AttemptBudget.Current)
    const retrying = Effect.provideService(RetryPolicy.retry(attempt, policy, options), AttemptBudget.Current, budget)
    return Effect.onExitPrimitive(retrying, (exit) => {
      forget()
      return this.leave(exit)
    })
  }

  leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    if (this.left) return undefined
    this.left = true
    if (!this.attempted) report(this.admitted.inside, exit)
    return report(this.admitted.around, exit)
  }
}

const notifyThen = <A, E>(news: Effect.Effect<void> | undefined, then: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  news === undefined ? then : Effect.andThen(news, then)
