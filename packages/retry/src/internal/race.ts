import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Classifier from "@effect-resilience/errors/Classifier"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Attempt from "../Attempt.ts"
import * as budgets from "./budget.ts"
import type { Wait } from "./hedgeWait.ts"

/**
 * What a race needs of its hedge.
 */
export interface Hedging extends Wait {
  readonly name: string
  /** How many further attempts it starts at most. */
  readonly times: number
  /** The recovery of errors that do not carry the right one. */
  readonly classify: Classifier.Classifier | undefined
  /** A call begins, which earns its share of a further attempt. */
  readonly depositUnsafe: () => void
  /** Whether a further attempt may start now; pays for it here and in the budget of the context. */
  readonly withdrawUnsafe: (context: Context.Context<never>) => boolean
  /** A further attempt has saved its call. */
  readonly wonUnsafe: () => void
}

/**
 * What a single call adds to a hedge.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  /** Runs as the first thing of each further attempt. */
  readonly onHedge?: ((attempt: number) => Effect.Effect<unknown>) | undefined
}

/** Runs an effect with the further attempts of a hedge. */
export const race = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  hedge: Hedging,
  options: CallOptions
): Effect.Effect<A, E, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.callback<A, E, R>((resume) => {
      const race = new Race(self, hedge, options, context, resume)
      race.launch()
      return Effect.suspend(() => race.leave())
    })
  )

interface Running<A, E> {
  readonly index: number
  readonly startMillis: number
  readonly fiber: Fiber.Fiber<A, E>
  readonly scope: Scope.Closeable | undefined
  /** Whether its response is being read. */
  isResponding: boolean
}

// A server that asks for longer gets no further attempt. So it is with retries, by default.
const longestPause = 60_000

const interrupted = /* @__PURE__ */ Exit.interrupt()

class Race<A, E, R> {
  private readonly effect: Effect.Effect<A, E, R>
  private readonly hedge: Hedging
  private readonly options: CallOptions
  private readonly context: Context.Context<R>
  private readonly entered: budgets.AttemptBudget | undefined
  private readonly resume: (effect: Effect.Effect<A, E, R>) => void
  private readonly scope: Scope.Scope | undefined
  private readonly running = new Set<Running<A, E>>()
  private launched = 0
  /** How many attempts there may be. */
  private most: number
  private wait: Timer.Wait | undefined
  /** Failures that did not end the call. */
  private readonly failures: Array<Exit.Failure<A, E>> = []
  private state: "Running" | "Ended" | "Interrupted" = "Running"

  constructor(
    effect: Effect.Effect<A, E, R>,
    hedge: Hedging,
    options: CallOptions,
    context: Context.Context<R>,
    resume: (effect: Effect.Effect<A, E, R>) => void
  ) {
    this.effect = effect
    this.hedge = hedge
    this.options = options
    this.entered = budgets.deposit(context)
    const counted = this.entered === undefined ? context : Context.add(context, budgets.current, this.entered)
    this.context = Attempt.asCall(counted)
    this.resume = resume
    this.scope = Option.getOrUndefined(Context.getOption(context, Scope.Scope))
    this.most = 1 + hedge.times
    this.wait = undefined
    hedge.depositUnsafe()
  }

  launch(): void {
    const index = this.launched++
    const scope = this.scope && Scope.makeUnsafe()
    const startMillis = this.now()
    let attempt: Running<A, E> | undefined
    const known = (fiber: Fiber.Fiber<A, E>) => {
      if (attempt !== undefined || this.state !== "Running") return
      attempt = { index, startMillis, fiber, scope, isResponding: false }
      this.running.add(attempt)
    }
    const outer = Context.get(this.context, Attempt.Responding)
    const responds = () => {
      outer()
      if (attempt !== undefined) this.responding(attempt)
    }
    // Known before it does anything, since it may be what interrupts the call; or from now on, where it yields before that.
    const fiber = Effect.runForkWith(this.contextOf(index, scope, responds))(Effect.withFiber<A, E, R>((fiber) => {
      known(fiber as Fiber.Fiber<A, E>)
      return attempt === undefined ? Effect.interrupt : this.effectOf(index)
    }))
    known(fiber)
    fiber.addObserver((exit) => {
      if (attempt !== undefined) this.ended(attempt, exit)
    })
    if (this.wait === undefined) this.launchAfter(Duration.toMillis(this.hedge.afterUnsafe()))
  }

  /** Ends all attempts, and waits for them. */
  leave(): Effect.Effect<void> {
    const stopped = this.stop("Interrupted", interrupted)
    return Effect.forEach(
      stopped,
      (attempt) => Effect.flatMap(Fiber.await(attempt.fiber), (exit) => this.discarded(attempt, exit)),
      { discard: true }
    )
  }

  private contextOf(index: number, scope: Scope.Scope | undefined, responds: () => void): Context.Context<R> {
    const own = Context.add(this.context, Attempt.Responding, responds)
    const inside = index === 0 ? own : Context.add(own, Attempt.Current, this.attemptOf(index))
    return scope === undefined ? inside : Context.add(inside, Scope.Scope, scope)
  }

  private attemptOf(index: number): Attempt.Attempt {
    const { attempt, previous } = Context.get(this.context, Attempt.Current)
    return { attempt: attempt + index, previous, hedge: index }
  }

  private effectOf(index: number): Effect.Effect<A, E, R> {
    const { onHedge } = this.options
    return index === 0 || onHedge === undefined
      ? this.effect
      : Effect.andThen(onHedge(this.attemptOf(index).attempt), this.effect)
  }

  private get mayLaunch(): boolean {
    return this.state === "Running" && this.launched < this.most &&
      !Array.from(this.running).some(({ isResponding }) => isResponding)
  }

  /** No other is needed unless this one fails. */
  private responding(attempt: Running<A, E>): void {
    attempt.isResponding = true
    this.wait?.cancel()
    this.wait = undefined
  }

  private launchAfter(millis: number): void {
    if (!this.mayLaunch || millis === Infinity) return
    const elapsed = Effect.sync(() => {
      this.wait = undefined
      try {
        this.launchIfAllowed()
      } finally {
        // Also where who hears of it throws.
        this.endIfNoneIsLeft()
      }
    })
    // In a fiber, since a fiber goes on in the asynchronous context in which it began, and a timer that calls share does not.
    Effect.runForkWith(this.context)(Effect.callback((resume) => {
      this.wait = Timer.startUnsafe(this.context, millis, () => resume(elapsed))
    }))
  }

  private launchIfAllowed(): void {
    if (!this.mayLaunch) return
    if (this.millisLeft() > 0 && this.hedge.withdrawUnsafe(this.context)) {
      const { attempt } = this.attemptOf(this.launched)
      PolicyEvent.emitUnsafe(this.context, { _tag: "Hedged", policy: this.hedge.name, kind: "Hedge", attempt })
      this.launch()
    } else this.most = this.launched
  }

  private ended(attempt: Running<A, E>, exit: Exit.Exit<A, E>): void {
    this.running.delete(attempt)
    if (this.state === "Interrupted") return
    if (this.state === "Ended") return this.run(this.discarded(attempt, exit))
    if (Exit.isSuccess(exit)) {
      this.record(attempt, exit)
      if (attempt.index > 0) this.hedge.wonUnsafe()
      this.keep(attempt)
      return this.end(exit)
    }
    try {
      this.failed(attempt, exit)
    } catch (thrown) {
      // The classifier is the user's.
      this.end(Exit.die(thrown))
    }
  }

  private failed({ index, scope }: Running<A, E>, exit: Exit.Failure<A, E>): void {
    const released = scope && this.released(scope, exit)
    if (released !== undefined) this.run(released)
    const failure = exit.cause.reasons.find(Cause.isFailReason)
    if (failure === undefined || Cause.hasDies(exit.cause)) return this.end(exit)
    const { error } = failure
    const verdict = this.judge(error)
    if (verdict === "end") return this.end(exit)
    Context.get(this.context, budgets.current).failedUnsafe?.(index > 0, error, verdict === "stop")
    this.wait?.cancel()
    this.wait = undefined
    this.failures.push(exit)
    if (verdict === "stop" || verdict > longestPause || verdict >= this.millisLeft()) {
      this.most = this.launched
    } else if (verdict > 0) this.launchAfter(verdict)
    else this.launchIfAllowed()
    this.endIfNoneIsLeft()
  }

  /** What follows a failure: the end of the call, no further attempt, or one after so many milliseconds. */
  private judge(error: E): "end" | "stop" | number {
    const recovery = this.hedge.classify?.(error) ??
      (NotAsked.isNotAsked(error)
        ? Recovery.giveUp
        : Classifier.classify(error, this.clock().currentTimeMillisUnsafe()))
    switch (recovery._tag) {
      case "Retry":
        if (recovery.after !== undefined) return Duration.toMillis(recovery.after)
        return recovery.kind === "throttled" ? Infinity : 0
      case "GiveUp":
        return "stop"
      default:
        return "end"
    }
  }

  private endIfNoneIsLeft(): void {
    if (this.state !== "Running" || this.running.size > 0 || this.wait !== undefined) return
    const last = this.failures.findLast(({ cause }) => !isNotAsked(cause)) ?? this.failures.at(-1)
    if (last !== undefined) this.end(last)
  }

  private end(exit: Exit.Exit<A, E>): void {
    this.stop("Ended", exit)
    for (const failure of this.failures) {
      if (failure !== exit) this.run(this.logged(failure.cause))
    }
    this.resume(exit)
  }

  private stop(state: "Ended" | "Interrupted", exit: Exit.Exit<A, E>): ReadonlyArray<Running<A, E>> {
    this.state = state
    if (this.entered !== undefined && budgets.isEntered(this.entered)) this.entered.endUnsafe(exit)
    this.wait?.cancel()
    this.wait = undefined
    const stopped = [...this.running]
    for (const attempt of stopped) {
      this.record(attempt, exit)
      attempt.fiber.interruptUnsafe()
    }
    return stopped
  }

  private run(effect: Effect.Effect<void>): void {
    Effect.runForkWith(this.context)(effect)
  }

  /** What the winner holds, the caller holds from now on. */
  private keep({ scope: own }: Running<A, E>): void {
    const { scope } = this
    if (scope !== undefined && own !== undefined) {
      this.run(Scope.addFinalizerExit(scope, (exit) => Scope.close(own, exit)))
    }
  }

  /** Releases what a loser holds, and logs its failure. */
  private discarded({ scope }: Running<A, E>, exit: Exit.Exit<A, E>): Effect.Effect<void> {
    const released = scope && this.released(scope, exit) || Effect.void
    return Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)
      ? released
      : Effect.andThen(this.logged(exit.cause), released)
  }

  private released(scope: Scope.Closeable, exit: Exit.Exit<A, E>): Effect.Effect<void> | undefined {
    const releasing = Scope.closeUnsafe(scope, exit)
    return releasing && Effect.catchCause(releasing, (cause) => this.logged(cause))
  }

  private logged(cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.logDebug(`An attempt failed that the hedge "${this.hedge.name}" did not need.`, cause)
  }

  /** What began while the response of another attempt was read says nothing. */
  private record({ startMillis }: Running<A, E>, exit: Exit.Exit<A, E>): void {
    const took = Time.respondedMillis(exit, this.now()) - startMillis
    if (took >= 0) this.hedge.recordUnsafe(Duration.millis(Math.round(took)))
  }

  private now(): number {
    return Time.monotonicMillis(this.clock())
  }

  private millisLeft(): number {
    return Context.get(this.context, Deadline.Current).atMillis - this.now()
  }

  private clock(): Clock.Clock {
    return Context.get(this.context, Clock.Clock)
  }
}

const isNotAsked = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && NotAsked.isNotAsked(reason.error))
