import * as Deadline from "@effect-resilience/deadline/Deadline"
import type * as Classifier from "@effect-resilience/errors/Classifier"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import { nameOf } from "@effect-resilience/kernel/ErrorName"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Time from "@effect-resilience/kernel/Time"
import * as Priority from "@effect-resilience/limit/Priority"
import * as RetryEvent from "@effect-resilience/retry/RetryEvent"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import type { Wrap } from "./marks.ts"

export interface Counts {
  agreed: number
  wouldHaveRejected: number
  wouldHaveAdmitted: number
  unknown: number
}

export const noCounts = (): Counts => ({ agreed: 0, wouldHaveRejected: 0, wouldHaveAdmitted: 0, unknown: 0 })

/** What decides together: the parts around a call, those around an attempt, and those that decide on a further attempt. */
export interface Level {
  readonly execute: Wrap
  readonly parts: ReadonlyArray<string>
}

export interface Settings {
  readonly name: string
  readonly call: Level
  readonly attempt: Level
  readonly retry: Level
  readonly deadlineMillis: number
  readonly classify: Classifier.Classifier | undefined
  readonly random: Random.Random
}

/** Decides beside the calls that it is told of, and counts. */
export class Judge {
  readonly settings: Settings
  readonly total = noCounts()
  readonly parts: ReadonlyMap<string, Counts>
  /** What its policies count is not mixed with what those in use count. */
  private readonly base: Context.Context<never>

  constructor(settings: Settings) {
    this.settings = settings
    const { attempt, call, random, retry } = settings
    this.parts = new Map([call, retry, attempt].flatMap(({ parts }) => parts).map((part) => [part, noCounts()]))
    this.base = Context.empty().pipe(
      Context.add(Metric.MetricRegistry, new Map()),
      Context.add(References.MinimumLogLevel, "None"),
      Context.add(Random.Random, random)
    )
  }

  /** The context of a decision: nothing of the caller's but time, patience and priority. */
  contextOf(outer: Context.Context<never>, deadline: Deadline.Deadline): Context.Context<never> {
    return this.base.pipe(
      Context.add(Clock.Clock, Context.get(outer, Clock.Clock)),
      Context.add(Scheduler.Scheduler, Context.get(outer, Scheduler.Scheduler)),
      Context.add(Priority.Current, Context.get(outer, Priority.Current)),
      Context.add(Deadline.Current, deadline)
    )
  }

  agreed(level: Level): void {
    this.total.agreed++
    for (const part of level.parts) this.count(part, "agreed")
  }

  bothRejected(part: string): void {
    this.total.agreed++
    this.count(part, "agreed")
  }

  unknown(level: Level): void {
    this.total.unknown++
    for (const part of level.parts) this.count(part, "unknown")
  }

  differs(decision: "wouldHaveRejected" | "wouldHaveAdmitted", part: string, context: Context.Context<never>): void {
    this.total[decision]++
    this.count(part, decision)
    PolicyEvent.emitUnsafe(context, {
      _tag: "Disagreed",
      policy: this.settings.name,
      kind: "Shadow",
      part,
      decision
    })
  }

  private count(part: string, decision: keyof Counts): void {
    const counts = this.parts.get(part)
    if (counts !== undefined) counts[decision]++
  }
}

/** One call or attempt through the parts of a level. Its inmost effect ends as the real one does. */
class Passage {
  private readonly judge: Judge
  private readonly level: Level
  private readonly outer: Context.Context<never>
  private readonly fiber: Fiber.Fiber<Exit.Exit<unknown, unknown>>
  private began = false
  private resume: ((exit: Exit.Exit<unknown, unknown>) => void) | undefined

  constructor(judge: Judge, level: Level, outer: Context.Context<never>, inner: Context.Context<never>) {
    this.judge = judge
    this.level = level
    this.outer = outer
    const real = Effect.callback<unknown, unknown>((resume) => {
      this.began = true
      this.resume = resume
    })
    this.fiber = Effect.runForkWith(inner)(
      Effect.exit(level.execute(real)) as Effect.Effect<Exit.Exit<unknown, unknown>>
    )
  }

  /** `began`: whether the real one began, or was rejected by a part of this level. */
  end(exit: Exit.Exit<unknown, unknown>, began: boolean): void {
    const { judge, level, outer } = this
    const own = this.fiber.pollUnsafe()
    if (own !== undefined) {
      // It ended before the real one did: a part rejected it, or its time was up.
      const part = partOfExit(Exit.isSuccess(own) ? own.value : own)
      if (began) judge.differs("wouldHaveRejected", part, outer)
      else judge.bothRejected(part)
    } else if (!this.began) {
      // It waits for a permit or its turn, and how long it would have waited cannot be known.
      judge.unknown(level)
      this.fiber.interruptUnsafe()
    } else {
      // Of a call that was not sent nothing is known, as of one that was interrupted. It ends before others hear of it, who may call.
      this.resume?.(began ? exit : Exit.interrupt())
      if (began) judge.agreed(level)
      else judge.differs("wouldHaveAdmitted", partOfExit(exit), outer)
    }
  }
}

/** Which part an error comes from: its key, or the name of the error of one that a shadow cannot judge. */
const partOfExit = (exit: Exit.Exit<unknown, unknown>): string => {
  const name = nameOf(errorOf(exit))
  return partsByTag[name] ?? name
}

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown => {
  if (Exit.isSuccess(exit)) return undefined
  const error = Cause.findErrorOption(exit.cause)
  return error._tag === "Some" ? error.value : undefined
}

const partsByTag: { readonly [tag: string]: string | undefined } = {
  BulkheadFull: "bulkhead",
  CircuitOpen: "circuitBreaker",
  Throttled: "throttle",
  PaceExceeded: "pacer",
  LimitReached: "concurrencyLimit",
  TimedOut: "attemptTimeout",
  DeadlineExceeded: "deadline"
}

/** A call: its own passage, and its retry, which fails when the real one does and never waits. */
class Call {
  private readonly judge: Judge
  private readonly outer: Context.Context<never>
  private readonly inner: Context.Context<never>
  /** The listener around the call. It alone hears of retries inside an attempt. */
  readonly listener: RetryEvent.Observer | undefined
  private readonly passage: Passage | undefined
  private readonly retrying: Fiber.Fiber<unknown, unknown> | undefined
  /** Ends the attempt that the retry has under way. */
  private resume: ((exit: Exit.Exit<unknown, unknown>) => void) | undefined
  private decision: RetryEvent.RetryEvent | undefined
  private attempts = 0
  private stopped = false

  constructor(judge: Judge, outer: Context.Context<never>) {
    this.judge = judge
    this.outer = outer
    const { call, deadlineMillis, retry } = judge.settings
    const deadline = Context.get(outer, Deadline.Current)
    const atMillis = Time.nowUnsafe(outer) + deadlineMillis
    this.inner = judge.contextOf(outer, atMillis < deadline.atMillis ? { atMillis } : deadline)
    this.listener = Context.get(outer, RetryEvent.CurrentObserver)
    this.passage = call.parts.length === 0 ? undefined : new Passage(judge, call, outer, this.inner)
    this.retrying = retry.parts.includes("retry") ? this.retry(retry) : undefined
  }

  private retry(level: Level): Fiber.Fiber<unknown, unknown> {
    const attempt = Effect.callback<unknown, unknown>((resume) => {
      this.resume = resume
    })
    const context = this.inner.pipe(
      Context.add(Clock.Clock, new Impatient(Context.get(this.outer, Clock.Clock))),
      Context.add(RetryEvent.CurrentObserver, (event) => {
        this.decision = event
        return Effect.void
      })
    )
    return Effect.runForkWith(context)(Effect.exit(level.execute(attempt)) as Effect.Effect<unknown>)
  }

  /** The context of the real call. */
  around(context: Context.Context<never>): Context.Context<never> {
    const { listener } = this
    return context.pipe(
      Context.add(Current, this),
      Context.add(RetryEvent.CurrentObserver, (event) => {
        this.retried(event.error, event.recovery, event)
        return listener === undefined ? Effect.void : listener(event)
      })
    )
  }

  /** The real retry decided. */
  private retried(error: unknown, recovery: Recovery.Recovery, real: RetryEvent.RetryEvent | undefined): void {
    const { judge, outer } = this
    const level = judge.settings.retry
    if (this.stopped || this.resume === undefined) return
    const own = this.ownDecision(viewOf(error, judge.settings.classify?.(error) ?? recovery))
    const goesOn = real?._tag === "Retrying"
    this.stopped = !goesOn
    if (own === undefined) judge.unknown(level)
    else if ((own._tag === "Retrying") === goesOn) judge.agreed(level)
    else if (goesOn) judge.differs("wouldHaveRejected", partOfStop(own), outer)
    else judge.differs("wouldHaveAdmitted", partOfStop(real), outer)
  }

  /** What its own retry decides at once. */
  private ownDecision(error: object): RetryEvent.RetryEvent | undefined {
    const { resume } = this
    this.decision = this.resume = undefined
    resume?.(Exit.fail(error))
    return this.decision
  }

  attempt(): Passage | undefined {
    this.attempts++
    const { attempt } = this.judge.settings
    return attempt.parts.length === 0
      ? undefined
      : new Passage(this.judge, attempt, this.outer, this.inner)
  }

  end(exit: Exit.Exit<unknown, unknown>): void {
    const error = errorOf(exit)
    const began = this.attempts > 0 || !NotAsked.isNotAsked(error)
    this.passage?.end(exit, began)
    // A call that fails without a word was not retried at all.
    if (error !== undefined && began && !Cause.hasDies(Exit.isFailure(exit) ? exit.cause : Cause.empty)) {
      this.retried(error, Recovery.of(error), undefined)
    }
    // A budget may give a refund for a success.
    if (Exit.isSuccess(exit)) this.resume?.(exit)
    this.retrying?.interruptUnsafe()
  }
}

const partOfStop = (event: RetryEvent.RetryEvent | undefined): string =>
  event?._tag === "Stopped" && event.why._tag === "BudgetExhausted" ? "budget" : "retry"

/** An error like another one. What is remembered of that one, such as the history of its retry, stays as it is. */
const viewOf = (error: unknown, recovery: Recovery.Recovery): object =>
  Object.create(Predicate.isObject(error) ? error : { error }, { [Recovery.symbol]: { value: () => recovery } })

/** The time of another clock, and no waits. */
class Impatient implements Clock.Clock {
  private readonly clock: Clock.Clock
  readonly currentTimeMillis: Effect.Effect<number>
  readonly currentTimeNanos: Effect.Effect<bigint>
  readonly monotonicTimeNanos: Effect.Effect<bigint>

  constructor(clock: Clock.Clock) {
    this.clock = clock
    this.currentTimeMillis = clock.currentTimeMillis
    this.currentTimeNanos = clock.currentTimeNanos
    this.monotonicTimeNanos = clock.monotonicTimeNanos
  }

  currentTimeMillisUnsafe(): number {
    return this.clock.currentTimeMillisUnsafe()
  }

  currentTimeNanosUnsafe(): bigint {
    return this.clock.currentTimeNanosUnsafe()
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.clock.monotonicTimeNanosUnsafe()
  }

  sleep(_duration: Duration.Duration): Effect.Effect<void> {
    return Effect.void
  }
}

const Current = /* @__PURE__ */ Context.Reference<Call | undefined>(
  "@effect-resilience/pipeline/Shadow/Current",
  { defaultValue: () => undefined }
)

/** Watches a call. The frame comes first, so that no interruption can come between the beginning and it. */
export const watchCall = <A, E, R>(judge: Judge, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let call: Call | undefined
    const begin = Effect.withFiber((fiber) => {
      const begun = call = new Call(judge, fiber.context)
      return Effect.updateContext(self, (context: Context.Context<R>) => begun.around(context) as Context.Context<R>)
    })
    return Effect.onExitPrimitive(begin, (exit): undefined => call?.end(exit) as undefined)
  })

/** Watches an attempt of the call around it. Retries inside it are another's. */
export const watchAttempt = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let passage: Passage | undefined
    const begin = Effect.withFiber((fiber) => {
      const call = fiber.getRef(Current)
      if (call === undefined) return self
      passage = call.attempt()
      return Effect.updateContext(self, (context: Context.Context<R>) =>
        context.pipe(
          Context.add(Current, undefined),
          Context.add(RetryEvent.CurrentObserver, call.listener)
        ) as Context.Context<R>)
    })
    return Effect.onExitPrimitive(begin, (exit): undefined =>
      passage?.end(exit, !NotAsked.isNotAsked(errorOf(exit))) as undefined)
  })
