/**
 * Asks a second time where the first answer is late, and takes whichever comes first.
 *
 * **Why**
 *
 * A retry helps against failures, not against the one call in a hundred that hangs behind a garbage collection. A second
 * request after the 95th percentile costs five percent more load and cuts the tail (Dean and Barroso, *The Tail at
 * Scale*, 2013).
 *
 * **Details**
 *
 * Attempts start `after` one another, at most `1 + times` of them. The first success wins and the others are
 * interrupted. A failure whose recovery is not to retry ends the hedge at once; after any other, the attempts that still
 * run may save the call, and the last failure stands where none does. Every further attempt is paid for from the
 * `AttemptBudget` of the surroundings; refused ones are left out. `Attempt.Current` counts them.
 *
 * **Gotchas**
 *
 * Both attempts may be processed. So the type asks for an effect that the caller has declared `idempotent`.
 *
 * **Example** (A slow first answer)
 *
 * ```ts import.meta.vitest
 * import { Attempt, Hedge } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const lookup = Effect.gen(function*() {
 *   const { attempt } = yield* Attempt.Current
 *   if (attempt === 1) yield* Effect.never
 *   return `answered by attempt ${attempt}`
 * })
 *
 * const hedged = lookup.pipe(Hedge.idempotent, Hedge.hedge(Hedge.make({ after: "5 millis" })))
 * await Effect.runPromise(hedged) // => "answered by attempt 2"
 * ```
 *
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Classifier from "@effect-resilience/errors/Classifier"
import * as Time from "@effect-resilience/kernel/Time"
import * as Timer from "@effect-resilience/kernel/Timer"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Attempt from "./Attempt.ts"
import * as AttemptBudget from "./AttemptBudget.ts"
import * as refuse from "./internal/refuse.ts"

/**
 * When to start a further attempt, and how many. `makeAdaptive` learns from the latencies that it is told.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hedge {
  readonly times: number
  readonly afterUnsafe: () => Duration.Duration
  readonly recordUnsafe: (latency: Duration.Duration) => void
}

/**
 * An effect that may run more than once at the same time with the result of one run, says the caller.
 *
 * @category models
 * @since 0.1.0
 */
export interface Idempotent<out A, out E = never, out R = never> {
  readonly _tag: "Idempotent"
  readonly effect: Effect.Effect<A, E, R>
}

/**
 * Declares that running an effect twice does no harm.
 *
 * @category constructors
 * @since 0.1.0
 */
export const idempotent = <A, E, R>(effect: Effect.Effect<A, E, R>): Idempotent<A, E, R> => ({
  _tag: "Idempotent",
  effect
})

/**
 * Starts further attempts at a fixed interval.
 *
 * - `after`: how long to wait for each attempt before the next one starts.
 * - `times`: further attempts at most; default 1.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: { readonly after: Duration.Input; readonly times?: number | undefined }): Hedge => {
  const after = Duration.fromInputUnsafe(options.after)
  refuse.unless(Duration.toMillis(after) >= 0, "Hedge: after must be 0 or more", after)
  return { times: wholeTimes(options.times), afterUnsafe: () => after, recordUnsafe: () => {} }
}

/**
 * Starts further attempts when one has taken longer than most recent ones did. Make one for each kind of call: it
 * remembers.
 *
 * - `percentile`: the share of recent latencies to wait for, between 0 and 1; default 0.95.
 * - `initial`: the wait until `samples / 4` latencies are known; default 100 millis.
 * - `min`, `max`: bounds of the wait; default 1 millis and 10 seconds.
 * - `samples`: how many latencies count; default 128.
 * - `times`: further attempts at most; default 1.
 *
 * An attempt that lost counts with the time until it was interrupted: leaving it out would make the percentile shrink
 * with each hedge.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeAdaptive = (options: {
  readonly percentile?: number | undefined
  readonly initial?: Duration.Input | undefined
  readonly min?: Duration.Input | undefined
  readonly max?: Duration.Input | undefined
  readonly samples?: number | undefined
  readonly times?: number | undefined
} = {}): Hedge => {
  const { percentile = 0.95, samples = 128 } = options
  const min = Duration.toMillis(options.min ?? 1)
  const max = Duration.toMillis(options.max ?? 10_000)
  const initial = Duration.toMillis(options.initial ?? 100)
  refuse.unless(min >= 0 && max >= min, "Hedge: max must be min or more, and min 0 or more", `${min} to ${max}`)
  refuse.unless(initial >= 0, "Hedge: initial must be 0 or more", initial)
  refuse.unless(percentile > 0 && percentile < 1, "Hedge: percentile must be between 0 and 1", percentile)
  refuse.unless(
    samples >= 4 && Number.isInteger(samples),
    "Hedge: samples must be a whole number of 4 or more",
    samples
  )
  const latencies: Array<number> = []
  let recorded = 0
  let after = Duration.millis(initial)
  const learn = () => {
    const sorted = latencies.toSorted((a, b) => a - b)
    const found = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * percentile))] ?? 0
    after = Duration.millis(Math.min(max, Math.max(min, Math.ceil(found))))
  }
  return {
    times: wholeTimes(options.times),
    afterUnsafe: () => after,
    recordUnsafe: (latency) => {
      latencies[recorded++ % samples] = Duration.toMillis(latency)
      // Sorting at every call would cost more than it tells.
      if (recorded % Math.ceil(samples / 16) === 0 && latencies.length >= samples / 4) learn()
    }
  }
}

/**
 * What a single use can add: `onHedge` is run as the first thing of each further attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly onHedge?: ((attempt: number) => Effect.Effect<unknown>) | undefined
}

/**
 * Runs an idempotent effect with further attempts where it is late.
 *
 * @category hedging
 * @since 0.1.0
 */
export const hedge: {
  (hedge: Hedge, options?: Options): <A, E, R>(self: Idempotent<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Idempotent<A, E, R>, hedge: Hedge, options?: Options): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  (args) => "effect" in args[0],
  <A, E, R>(self: Idempotent<A, E, R>, hedge: Hedge, options: Options = {}): Effect.Effect<A, E, R> =>
    Effect.contextWith((context: Context.Context<R>) =>
      Effect.callback<A, E, R>((resume) => {
        const race = new Race(self.effect, hedge, options, AttemptBudget.depositUnsafe(context), resume)
        race.launch()
        return Effect.suspend(() => race.stop())
      })
    )
)

class Race<A, E, R> {
  readonly effect: Effect.Effect<A, E, R>
  readonly hedge: Hedge
  readonly options: Options
  readonly context: Context.Context<R>
  readonly resume: (effect: Effect.Effect<A, E, R>) => void
  readonly running = new Map<Fiber.Fiber<A, E>, number>()
  launched = 0
  finished = false
  wait: Timer.Wait | undefined

  constructor(
    effect: Effect.Effect<A, E, R>,
    hedge: Hedge,
    options: Options,
    context: Context.Context<R>,
    resume: (effect: Effect.Effect<A, E, R>) => void
  ) {
    this.effect = effect
    this.hedge = hedge
    this.options = options
    this.context = context
    this.resume = resume
    this.wait = undefined
  }

  launch(): void {
    const index = this.launched++
    const started = Time.nowUnsafe(this.context)
    const fiber = Effect.runForkWith(this.context)(index === 0 ? this.effect : this.further(index))
    this.running.set(fiber, started)
    fiber.addObserver((exit) => this.ended(fiber, exit))
    if (!this.finished && this.launched <= this.hedge.times) {
      const after = Duration.toMillis(this.hedge.afterUnsafe())
      // A negative one would start them all at once.
      if (after >= 0 && after < Infinity) {
        this.wait = Timer.startUnsafe(this.context, after, () => this.launchIfAllowed())
      }
    }
  }

  launchIfAllowed(): void {
    const now = Time.nowUnsafe(this.context)
    if (this.finished || Context.get(this.context, Deadline.Current).atMillis <= now) return
    if (Context.get(this.context, AttemptBudget.Current).withdrawUnsafe(now)) this.launch()
  }

  further(index: number): Effect.Effect<A, E, R> {
    const attempt = Context.get(this.context, Attempt.Current).attempt + index
    const { onHedge } = this.options
    return Effect.provideService(
      onHedge === undefined ? this.effect : Effect.andThen(onHedge(attempt), this.effect),
      Attempt.Current,
      { attempt, previous: undefined }
    )
  }

  ended(fiber: Fiber.Fiber<A, E>, exit: Exit.Exit<A, E>): void {
    const started = this.running.get(fiber) ?? 0
    this.running.delete(fiber)
    if (this.finished) return
    if (Exit.isSuccess(exit)) this.record(started)
    else if (this.running.size > 0 && this.isTransient(exit.cause)) return
    const stopped = this.stop()
    this.resume(Effect.andThen(stopped, exit))
  }

  isTransient(cause: Cause.Cause<E>): boolean {
    return !Cause.hasDies(cause) && cause.reasons.some((reason) =>
      Cause.isFailReason(reason) &&
      Classifier.classify(reason.error, Context.get(this.context, Clock.Clock).currentTimeMillisUnsafe())._tag ===
        "Retry"
    )
  }

  // Interrupts what still runs before anything else can happen, then waits for its finalizers.
  stop(): Effect.Effect<void> {
    this.finished = true
    this.wait?.cancel()
    const losers = [...this.running]
    for (const [fiber, started] of losers) {
      this.record(started)
      fiber.interruptUnsafe()
    }
    return losers.length === 0 ? Effect.void : Effect.asVoid(Fiber.awaitAll(losers.map(([fiber]) => fiber)))
  }

  record(started: number): void {
    this.hedge.recordUnsafe(Duration.millis(Math.round(Time.nowUnsafe(this.context) - started)))
  }
}

const wholeTimes = (times: number | undefined = 1): number => {
  refuse.unless(times >= 0 && Number.isInteger(times), "Hedge: times must be a whole number", times)
  return times
}
