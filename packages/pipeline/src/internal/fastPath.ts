import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Direct from "@effect-resilience/kernel/Direct"
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

/** What a time limit tells the fast path about itself. It brings the fast path, which no other pipeline has to load. */
export const timed: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/pipeline/timed")

export interface Timed {
  readonly [timed]: { readonly timeout: Duration.Duration; readonly through: typeof through }
}

/** What a retry tells the fast path about itself. */
export const retried: unique symbol = /* @__PURE__ */ Symbol.for("@effect-resilience/pipeline/retried")

export interface Retried {
  readonly [retried]: Retry | undefined
}

interface Retry {
  readonly policy: RetryPolicy.RetryPolicy
  readonly options: RetryPolicy.CallOptions<unknown>
}

/**
 * Policies that a call passes in one step, while none of them rejects it or lets it wait.
 *
 * hack: fast-path
 */
interface FastPath {
  /** Outside in. Those from `insideFrom` on stand inside the retry. */
  readonly policies: ReadonlyArray<Admitting>
  readonly insideFrom: number
  readonly retry: Retry | undefined
  readonly timeoutMillis: number
  readonly timedOut: (fiber: AnyFiber) => Exit.Exit<never, Timeout.TimedOut>
  /** One attempt through the policies inside the retry, one by one. */
  readonly attempt: Wrap
  /** A call through all policies, one by one. */
  readonly slow: Wrap
}

export type Wrap = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, unknown, unknown>

interface Admitting {
  readonly admitUnsafe: (fiber: AnyFiber) => Policy.Admission | undefined
}

/**
 * The fast path through policies, outside in: admissions, perhaps a retry, admissions, a time limit. `undefined` where they are
 * not such a list.
 */
export const through = (
  placed: ReadonlyArray<Placed>,
  oneByOne: (placed: ReadonlyArray<Placed>) => Wrap
): Wrap | undefined => {
  const path = make(placed, oneByOne)
  return path && ((self) => start(path, self))
}

const make = (
  placed: ReadonlyArray<Placed>,
  oneByOne: (placed: ReadonlyArray<Placed>) => Wrap
): FastPath | undefined => {
  const limit = placed.at(-1)?.policy
  if (!isTimed(limit)) return undefined
  const { timeout } = limit[timed]
  const policies: Array<Admitting> = []
  let insideFrom = 0
  let retry: Retry | undefined
  for (const { policy } of placed.slice(0, -1)) {
    if (isAdmitting(policy)) policies.push(policy)
    else if (retry === undefined && isRetried(policy) && policy[retried] !== undefined) {
      retry = policy[retried]
      insideFrom = policies.length
    } else return undefined
  }
  return {
    policies,
    insideFrom,
    retry,
    timeoutMillis: Duration.toMillis(timeout),
    timedOut: (fiber) => Exit.fail(Timeout.timedOutUnsafe(fiber, timeout)),
    attempt: oneByOne(retry === undefined ? placed : placed.slice(insideFrom + 1)),
    slow: oneByOne(placed)
  }
}

export const isTimed = (u: unknown): u is Timed => Predicate.hasProperty(u, timed)

const isRetried = (u: AnyPolicy): u is AnyPolicy & Retried => Predicate.hasProperty(u, retried)

const isAdmitting = (policy: AnyPolicy): policy is AnyPolicy & Admitting => policy.admitUnsafe !== undefined

/**
 * Starts the first attempt of a call: all admissions, one fiber. Where a policy has to reject the call or to make it wait,
 * nothing has happened and the call takes the slow path.
 *
 * The attempt has the fiber that a timeout needs anyhow. What waits for it holds no frame, and what follows a failure goes
 * through the policies one by one.
 */
const start = <A, E, R>(path: FastPath, self: Effect.Effect<A, E, R>): Effect.Effect<A, unknown, unknown> =>
  Effect.callback<A, unknown, unknown>((resume) => {
    const parent = Fiber.getCurrent()
    const admissions = parent && admit(path, parent)
    if (parent === undefined || admissions === undefined) return resume(path.slow(self))
    // The effect that is returned needs R, so the fiber that runs it has R.
    const outside = parent.context as Context.Context<R>
    const context = path.retry === undefined ? outside : begin(outside)
    const child = Direct.startUnsafe(self, context)
    const call = new Call(path, self, admissions, parent, context)
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
      resume(Effect.suspend(() => call.end(late ? path.timedOut(parent) : exit)))
    })
    return Effect.suspend(() =>
      Effect.andThen(Direct.interrupt(child), Effect.suspend(() => call.leave(interrupted) ?? Effect.void))
    )
  })

/** What the retry would do before the first attempt. */
const begin = <R>(context: Context.Context<R>): Context.Context<R> => {
  const counted = AttemptBudget.depositUnsafe(context)
  return Attempt.callTracker()?.(counted) ?? counted
}

/** The attempts that follow are others of the same call. */
const goOn = <R>(self: Context.Context<R>, begun: Context.Context<never>): Context.Context<R> => {
  const counted = Context.add(self, AttemptBudget.Current, Context.get(begun, AttemptBudget.Current))
  const call = Context.get(begun, Attempt.Call)
  return call === Context.get(self, Attempt.Call)
    ? counted
    : Context.add(Context.add(counted, Attempt.Call, call), Attempt.Current, { ...Attempt.first })
}

type Admissions = Array<Policy.Admission>

const admit = (path: FastPath, fiber: AnyFiber): Admissions | undefined => {
  if (path.retry !== undefined && fiber.getRef(Attempt.Current) !== Attempt.first) return undefined
  const { policies } = path
  const admissions: Admissions = []
  for (let i = policies.length - 1; i >= 0; i--) {
    const admission = policies[i]?.admitUnsafe(fiber)
    if (admission === undefined) {
      report(admissions, 0, admissions.length, Policy.neverBegan)
      return undefined
    }
    admissions.push(admission)
  }
  return admissions
}

/**
 * Tells policies how a call ended, those inside first. The effect tells others what came of it. Where a policy throws, as the
 * classifier of a user may, the call ends with that for all policies outside it.
 */
const report = (
  admissions: Admissions,
  from: number,
  to: number,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> | undefined => {
  let news: Effect.Effect<void> | undefined
  for (let i = from; i < to; i++) {
    try {
      const more = admissions[i]?.(exit)
      if (more !== undefined) news = notifyThen(news, more)
    } catch (thrown) {
      const rest = report(admissions, i + 1, to, Exit.die(thrown))
      return notifyThen(news, notifyThen(rest, Exit.die(thrown)))
    }
  }
  return news
}

const interrupted = /* @__PURE__ */ Exit.interrupt()

class Call<A, E, R> {
  private readonly path: FastPath
  private readonly self: Effect.Effect<A, E, R>
  /** Inside out. */
  private readonly admissions: Admissions
  /** How many of them stand inside the retry. */
  private readonly insideCount: number
  private readonly parent: AnyFiber
  private readonly context: Context.Context<R>
  private attempted = false
  private left = false

  constructor(
    path: FastPath,
    self: Effect.Effect<A, E, R>,
    admissions: Admissions,
    parent: AnyFiber,
    context: Context.Context<R>
  ) {
    this.path = path
    this.self = self
    this.admissions = admissions
    this.insideCount = path.retry === undefined ? 0 : admissions.length - path.insideFrom
    this.parent = parent
    this.context = context
  }

  end(exit: Exit.Exit<A, unknown>): Effect.Effect<A, unknown, unknown> {
    this.attempted = true
    const { retry } = this.path
    if (retry !== undefined) {
      const news = report(this.admissions, 0, this.insideCount, exit)
      // News of a success may be that a policy threw.
      if (news !== undefined || Exit.isFailure(exit)) return this.retry(notifyThen(news, exit), retry)
    }
    return notifyThen(this.leave(exit), exit)
  }

  /** Hands the first attempt to the retry as it ended, and keeps the admissions around it until the last one has. */
  private retry(
    ended: Effect.Effect<A, unknown>,
    { options, policy }: Retry
  ): Effect.Effect<A, unknown, unknown> {
    let first = true
    const attempt = Effect.suspend(() => {
      if (!first) return this.path.attempt(this.self)
      first = false
      return ended
    })
    // An interruption can come before the frame below is in place. It ends the fiber, and that the observer hears of.
    const forget = this.parent.addObserver(() => {
      this.leave(interrupted)
    })
    const retrying = Effect.updateContext(
      RetryPolicy.retry(attempt, policy, options),
      (context: Context.Context<unknown>) => {
        AttemptBudget.handOverUnsafe(this.context)
        return goOn(context, this.context)
      }
    )
    return Effect.onExitPrimitive(retrying, (exit) => {
      forget()
      return this.leave(exit)
    })
  }

  leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    if (this.left) return undefined
    this.left = true
    if (this.path.retry !== undefined) AttemptBudget.endUnsafe(this.context, exit)
    return report(this.admissions, this.attempted ? this.insideCount : 0, this.admissions.length, exit)
  }
}

const notifyThen = <A, E>(news: Effect.Effect<void> | undefined, then: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  news === undefined ? then : Effect.andThen(news, then)
