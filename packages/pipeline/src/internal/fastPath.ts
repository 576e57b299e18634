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
 * An attempt has the fiber that a timeout needs anyhow. What waits for it holds no frame. Attempts that follow pass the policies
 * inside the retry in the same way.
 */
const start = <A, E, R>(path: FastPath, self: Effect.Effect<A, E, R>): Effect.Effect<A, unknown, unknown> =>
  Effect.callback<A, unknown, unknown>((resume) => {
    const parent = Fiber.getCurrent()
    const admissions = parent && admit(path, parent)
    if (parent === undefined || admissions === undefined) return resume(path.slow(self))
    // The effect that is returned needs R, so the fiber that runs it has R.
    const outside = parent.context as Context.Context<R>
    const context = path.retry === undefined ? outside : begin(outside)
    return new Call(path, self, admissions, parent, context).begin(context, resume)
  })

/** What the retry would do before the first attempt. */
const begin = <R>(context: Context.Context<R>): Context.Context<R> => {
  const counted = AttemptBudget.depositUnsafe(context)
  return Attempt.callTracker()?.(counted) ?? counted
}

type Admissions = Array<Policy.Admission>

const admit = (path: FastPath, fiber: AnyFiber): Admissions | undefined => {
  if (path.retry !== undefined && fiber.getRef(Attempt.Current) !== Attempt.first) return undefined
  return admitFrom(path, 0, fiber)
}

/** The admissions of the policies from one inward, inside out. */
const admitFrom = ({ policies }: FastPath, from: number, fiber: AnyFiber): Admissions | undefined => {
  const admissions: Admissions = []
  for (let i = policies.length - 1; i >= from; i--) {
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

const none: Admissions = []

type Resume<A> = (effect: Effect.Effect<A, unknown, unknown>) => void

class Call<A, E, R> {
  readonly path: FastPath
  readonly parent: AnyFiber
  private readonly self: Effect.Effect<A, E, R>
  /** Inside out. */
  private readonly admissions: Admissions
  /** How many of them stand inside the retry, if there is one. */
  private readonly insideCount: number
  private readonly context: Context.Context<R>
  private attempted = false
  private left = false
  private loop: RetryPolicy.Loop<A, unknown, unknown> | undefined = undefined
  private running: Running<A, E, R> | undefined = undefined
  /** The admissions of an attempt after the first one. */
  private inside = none

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
    this.insideCount = admissions.length - path.insideFrom
    this.parent = parent
    this.context = context
  }

  /** Begins an attempt that is admitted. What is returned interrupts it. */
  begin(context: Context.Context<R>, resume: Resume<A>): Effect.Effect<void> | undefined {
    const child = Direct.startUnsafe(this.self, context)
    const exit = child.pollUnsafe()
    if (exit === undefined) return (this.running ??= new Running(this)).watch(child, resume)
    resume(this.ended(exit))
    return undefined
  }

  ended(exit: Exit.Exit<A, unknown>): Effect.Effect<A, unknown, unknown> {
    const { loop, path: { retry } } = this
    if (retry === undefined) return notifyThen(this.leave(exit), exit)
    if (loop !== undefined) {
      const news = this.reportInside(exit)
      return news === undefined
        ? this.follow(loop, exit)
        : Effect.andThen(news, Effect.suspend(() => this.follow(loop, exit)))
    }
    this.attempted = true
    const news = report(this.admissions, 0, this.insideCount, exit)
    // News of a success may be that a policy threw.
    if (news === undefined && Exit.isSuccess(exit)) return notifyThen(this.leave(exit), exit)
    const begun = RetryPolicy.loopUnsafe<A, unknown, unknown>(retry.policy, retry.options, (loop) => this.again(loop))
    this.loop = begun
    return this.around(notifyThen(news, Effect.suspend(() => this.follow(begun, exit))))
  }

  private follow(
    loop: RetryPolicy.Loop<A, unknown, unknown>,
    exit: Exit.Exit<A, unknown>
  ): Effect.Effect<A, unknown, unknown> {
    return Exit.isSuccess(exit) ? exit : RetryPolicy.followUnsafe(this.parent, loop, exit.cause)
  }

  /** Keeps the admissions around the retry until its last attempt has ended. */
  private around(attempts: Effect.Effect<A, unknown, unknown>): Effect.Effect<A, unknown, unknown> {
    // An interruption can come before the frame below is in place. It ends the fiber, and that the observer hears of.
    const forget = this.parent.addObserver(() => {
      this.leave(interrupted)
    })
    return Effect.onExitPrimitive(
      Effect.updateContext(attempts, () => this.context as Context.Context<unknown>),
      (exit) => {
        forget()
        return this.leave(exit)
      }
    )
  }

  /** Makes the attempt that the loop has come to; one by one where a policy rejects it or makes it wait. */
  private again(loop: RetryPolicy.Loop<A, unknown, unknown>): Effect.Effect<A, unknown, unknown> {
    return Effect.callback((resume) => {
      const { parent, path, self } = this
      const context = Context.add(this.context, Attempt.Current, loop.attempt)
      parent.setContext(context)
      const admissions = admitFrom(path, path.insideFrom, parent)
      parent.setContext(this.context)
      if (admissions === undefined) return resume(RetryPolicy.attemptUnsafe(path.attempt(self), loop))
      this.inside = admissions
      return this.begin(context, resume)
    })
  }

  private reportInside(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    const { inside } = this
    this.inside = none
    return report(inside, 0, inside.length, exit)
  }

  leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    if (this.left) return undefined
    this.left = true
    if (this.path.retry !== undefined) AttemptBudget.endUnsafe(this.context, exit)
    const news = this.reportInside(exit)
    const more = report(this.admissions, this.attempted ? this.insideCount : 0, this.admissions.length, exit)
    return news === undefined ? more : notifyThen(news, more ?? Effect.void)
  }
}

/** The attempt of a call that runs under its time limit. What is needed for each is made for the first one. */
class Running<A, E, R> {
  private child: Direct.Running<A> | undefined = undefined
  private wait: Timer.Wait | undefined = undefined
  private timedOut = false
  private exit: Exit.Exit<A, unknown> = interrupted
  private resume: Resume<A> | undefined = undefined
  private readonly call: Call<A, E, R>
  private readonly elapsed: () => void
  private readonly observer: (exit: Exit.Exit<A, unknown>) => void
  private readonly interrupt: Effect.Effect<void>

  constructor(call: Call<A, E, R>) {
    // Constants first: V8 keeps a function that is made for a property until the next full collection.
    const elapsed = () => {
      this.timedOut = true
      this.child?.interruptUnsafe()
    }
    const ended = Effect.suspend(() => this.ended())
    const observer = (exit: Exit.Exit<A, unknown>) => {
      this.exit = exit
      this.wait?.cancel()
      this.resume?.(ended)
    }
    this.call = call
    this.elapsed = elapsed
    this.observer = observer
    this.interrupt = Effect.suspend(() =>
      Effect.andThen(
        this.child === undefined ? Effect.void : Direct.interrupt(this.child),
        Effect.suspend(() => call.leave(interrupted) ?? Effect.void)
      )
    )
  }

  watch(child: Direct.Running<A>, resume: Resume<A>): Effect.Effect<void> {
    const { parent, path } = this.call
    this.child = child
    this.resume = resume
    this.timedOut = false
    this.wait = Timer.startUnsafe(parent.context, path.timeoutMillis, this.elapsed)
    child.addObserver(this.observer)
    return this.interrupt
  }

  private ended(): Effect.Effect<A, unknown, unknown> {
    const { call, exit } = this
    // What waits for the next attempt holds nothing of the last one.
    this.exit = interrupted
    this.child = undefined
    const late = this.timedOut && Exit.isFailure(exit) && !Cause.hasDies(exit.cause)
    return call.ended(late ? call.path.timedOut(call.parent) : exit)
  }
}

const notifyThen = <A, E, R>(
  news: Effect.Effect<void> | undefined,
  then: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => news === undefined ? then : Effect.andThen(news, then)
