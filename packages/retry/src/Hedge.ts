/**
 * Starts a second attempt where the first response is late, and takes the response that comes first.
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
 * `AttemptBudget` of the surroundings; those that it rejects are left out. `Attempt.Current` counts them.
 *
 * **Gotchas**
 *
 * Both attempts may be processed. So `withHedge` asks for an effect that the caller has declared `idempotent`. Who calls
 * `execute`, or puts a hedge into a list of policies, declares the same of every effect that passes it.
 *
 * **Example** (A slow first response)
 *
 * ```ts import.meta.vitest
 * import { Attempt, Hedge } from "@effect-resilience/retry"
 * import { Effect } from "effect"
 *
 * const lookup = Effect.gen(function*() {
 *   const { attempt } = yield* Attempt.Current
 *   if (attempt === 1) yield* Effect.never
 *   return `attempt ${attempt}`
 * })
 *
 * const program = Effect.flatMap(Hedge.make({ after: "5 millis" }), (hedge) =>
 *   lookup.pipe(Hedge.idempotent, Hedge.withHedge(hedge)))
 * await Effect.runPromise(program) // => "attempt 2"
 * ```
 *
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Classifier from "@effect-resilience/errors/Classifier"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
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
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Attempt from "./Attempt.ts"
import * as AttemptBudget from "./AttemptBudget.ts"
import * as budgets from "./internal/budget.ts"

/**
 * A hedge.
 *
 * - `times`: how many further attempts it starts at most.
 * - `afterUnsafe`: the present wait before the next attempt.
 * - `recordUnsafe`: takes the latency of an attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hedge extends Policy.Policy<never, Snapshot> {
  readonly times: number
  readonly afterUnsafe: () => Duration.Duration
  readonly recordUnsafe: (latency: Duration.Duration) => void
}

/**
 * A look at a hedge.
 *
 * - `after`: how long it waits at present before it starts the next attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly after: Duration.Duration
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
 * When a further attempt starts, and how many.
 *
 * - `name`: the name for those who look at several policies; default `"default"`.
 * - `after`: how long to wait for each attempt before the next one starts. A `Percentile` learns it.
 * - `times`: further attempts at most; default 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name?: string | undefined
  readonly after: Duration.Input | Percentile
  readonly times?: number | undefined
}

/**
 * A wait that is longer than most recent attempts took.
 *
 * - `percentile`: the share of recent latencies to wait for, between 0 and 1; 0.95 is usual.
 * - `initial`: the wait until `samples / 4` latencies are known; default 100 millis.
 * - `min`, `max`: bounds of the wait; default 1 millis and 10 seconds.
 * - `samples`: how many latencies count; default 128.
 *
 * An attempt that lost counts with the time until it was interrupted: leaving it out would make the percentile shrink
 * with each hedge.
 *
 * @category models
 * @since 0.1.0
 */
export interface Percentile {
  readonly percentile: number
  readonly initial?: Duration.Input | undefined
  readonly min?: Duration.Input | undefined
  readonly max?: Duration.Input | undefined
  readonly samples?: number | undefined
}

/** A wait, and how it learns. */
interface Wait {
  readonly afterUnsafe: () => Duration.Duration
  readonly recordUnsafe: (latency: Duration.Duration) => void
}

const percentileFields = {
  percentile: /* @__PURE__ */ Field.number({ above: 0, below: 1 }),
  initial: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "100 millis"),
  min: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "1 millis"),
  max: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "10 seconds"),
  samples: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 4 }), 128)
} satisfies Field.Fields<Percentile>

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  after: /* @__PURE__ */ Field.either(
    Predicate.hasProperty("percentile"),
    /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.struct(percentileFields), learning),
    /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.duration(), fixed)
  ),
  times: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0 }), 1)
} satisfies Field.Fields<Options>

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
 * Makes a hedge. Make one for each kind of call where it learns its wait. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Hedge> => {
  const settings = Field.read("Hedge", fields, options)
  return Effect.sync(() => makeUnsafe(settings, settings.name))
}

/**
 * Makes a hedge for each key, which is its name.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. One that is forgotten learns anew.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed: (options: Options & Keyed.Options) => Effect.Effect<Keyed.Keyed<Hedge>> = /* @__PURE__ */ Keyed
  .policies("Hedge", fields, (settings, key) => makeUnsafe(settings, key), () => true)

/**
 * Starts no further attempts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Hedge = {
  .../* @__PURE__ */ Policy.noop<Snapshot>({ after: Duration.infinity }),
  .../* @__PURE__ */ fixed(Duration.infinity)(),
  times: 0
}

/**
 * What a single call adds to a hedge.
 *
 * - `onHedge`: runs as the first thing of each further attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  readonly onHedge?: ((attempt: number) => Effect.Effect<unknown>) | undefined
}

/**
 * Runs an idempotent effect with further attempts where it is late.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withHedge: {
  (hedge: Hedge, options?: CallOptions): <A, E, R>(self: Idempotent<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Idempotent<A, E, R>, hedge: Hedge, options?: CallOptions): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  (args) => "effect" in args[0],
  <A, E, R>(self: Idempotent<A, E, R>, hedge: Hedge, options: CallOptions = {}): Effect.Effect<A, E, R> =>
    race(self.effect, hedge, options)
)

/**
 * The service for programs that have one hedge.
 *
 * @category services
 * @since 0.1.0
 */
export const Hedge: Context.Service<Hedge, Hedge> = /* @__PURE__ */ Context.Service<Hedge>(
  "@effect-resilience/retry/Hedge"
)

/**
 * Provides a hedge.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Hedge> => Layer.effect(Hedge, make(options))

/**
 * Provides a hedge that starts no further attempts.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Hedge> = /* @__PURE__ */ Layer.succeed(Hedge, noop)

const makeUnsafe = ({ after, times }: Field.Settings<typeof fields>, name: string): Hedge => {
  const hedge: Hedge = {
    name,
    times,
    ...after(),
    admitUnsafe: undefined,
    execute: (self) => race(self, hedge, {}),
    snapshot: Effect.sync(() => ({ after: hedge.afterUnsafe() }))
  }
  return hedge
}

// Hoisted, since the fields above need it.
function fixed(after: Duration.Duration): () => Wait {
  return () => ({ afterUnsafe: () => after, recordUnsafe: () => {} })
}

function learning(
  { initial, max, min, percentile, samples }: Field.Settings<typeof percentileFields>,
  path: string
): () => Wait {
  const minMillis = Duration.toMillis(min)
  const maxMillis = Duration.toMillis(max)
  requireArgument(maxMillis >= minMillis, `${path}.max`, `at least min, ${min}`, max)
  return () => {
    const latencies: Array<number> = []
    let recorded = 0
    let after = initial
    const learn = () => {
      const sorted = latencies.toSorted((a, b) => a - b)
      const found = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * percentile))] ?? 0
      after = Duration.millis(Math.min(maxMillis, Math.max(minMillis, Math.ceil(found))))
    }
    return {
      afterUnsafe: () => after,
      recordUnsafe: (latency) => {
        latencies[recorded++ % samples] = Duration.toMillis(latency)
        // Sorting at every call would cost more than it tells.
        if (recorded % Math.ceil(samples / 16) === 0 && latencies.length >= samples / 4) learn()
      }
    }
  }
}

const race = <A, E, R>(self: Effect.Effect<A, E, R>, hedge: Hedge, options: CallOptions): Effect.Effect<A, E, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.callback<A, E, R>((resume) => {
      const race = new Race(self, hedge, options, Attempt.asCall(AttemptBudget.depositUnsafe(context)), resume)
      race.launch()
      return Effect.suspend(() => race.stop(interrupted))
    })
  )

const interrupted = /* @__PURE__ */ Exit.interrupt()

class Race<A, E, R> {
  readonly effect: Effect.Effect<A, E, R>
  readonly hedge: Hedge
  readonly options: CallOptions
  readonly context: Context.Context<R>
  readonly resume: (effect: Effect.Effect<A, E, R>) => void
  readonly running = new Map<Fiber.Fiber<A, E>, number>()
  launched = 0
  finished = false
  wait: Timer.Wait | undefined

  constructor(
    effect: Effect.Effect<A, E, R>,
    hedge: Hedge,
    options: CallOptions,
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
    fiber.addObserver((exit) => this.ended(fiber, exit, index))
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
    if (budgets.withdraw(Context.get(this.context, AttemptBudget.Current), this.context)) this.launch()
  }

  further(index: number): Effect.Effect<A, E, R> {
    const attempt = Context.get(this.context, Attempt.Current).attempt + index
    const { onHedge } = this.options
    return Effect.provideService(
      onHedge === undefined ? this.effect : Effect.andThen(onHedge(attempt), this.effect),
      Attempt.Current,
      { attempt, previous: undefined, hedge: index }
    )
  }

  ended(fiber: Fiber.Fiber<A, E>, exit: Exit.Exit<A, E>, index: number): void {
    const started = this.running.get(fiber) ?? 0
    this.running.delete(fiber)
    if (this.finished) return
    if (Exit.isSuccess(exit)) this.record(started)
    else if (this.isTransient(exit.cause)) {
      Context.get(this.context, AttemptBudget.Current).failedUnsafe?.(index > 0)
      if (this.running.size > 0) return
    }
    const stopped = this.stop(exit)
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
  stop(exit: Exit.Exit<A, E>): Effect.Effect<void> {
    this.finished = true
    AttemptBudget.endUnsafe(this.context, exit)
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
