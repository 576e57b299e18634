/**
 * Lets as many calls run at once as the dependency can take, and finds that number by itself.
 *
 * **Why**
 *
 * A fixed limit is right on the day it is measured. An adaptive one watches round trips and drops: where more calls at once
 * only make each slower, a queue is building up, and the limit goes down; where they do not, it goes up.
 *
 * **Details**
 *
 * Calls beyond the limit are rejected at once with `LimitReached`, or wait in a short `queue` as in a `Bulkhead`, where no queue
 * of the caller serves better. The algorithm sees round trips without that wait. `Outcome` decides which failures count as a drop: a 404, which the server understood, says nothing
 * about load.
 *
 * With `shares`, each named priority can always use its share of the limit, and what others leave. A call's priority is
 * that of its fiber, see `Priority`. While the limit is used up, a priority below its share still gets in, so that the
 * calls under way can exceed the limit until those above their share have ended.
 *
 * **Gotchas**
 *
 * Limit one kind of call to one dependency. Where quick and slow calls mix, their mix moves the round trip more than load
 * does.
 *
 * **Example** (An adaptive limit)
 *
 * ```ts import.meta.vitest
 * import { ConcurrencyLimit, LimitAlgorithm } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const limit = yield* ConcurrencyLimit.make({ name: "search", algorithm: LimitAlgorithm.aimd({ initial: 10 }) })
 *   yield* Effect.succeed("found").pipe(ConcurrencyLimit.withConcurrencyLimit(limit))
 *   return yield* limit.snapshot
 * })
 *
 * await Effect.runPromise(program) // => { limit: 10, running: 0, waiting: 0, rejected: 0 }
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { Limits } from "./internal/adaptive.ts"
import { Adaptive } from "./internal/adaptive.ts"
import { overloaded } from "./internal/overloaded.ts"
import * as waitFields from "./internal/waitFields.ts"
import * as LimitAlgorithm from "./LimitAlgorithm.ts"
import * as Outcome from "./Outcome.ts"
import type { QueueDiscipline } from "./QueueDiscipline.ts"
import * as Rejection from "./Rejection.ts"

/**
 * An adaptive limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConcurrencyLimit extends Policy.Policy<LimitReached, Snapshot> {
  /**
   * Takes other options. Calls that run or wait count under them, and the algorithm starts afresh. Throws `RangeError` where
   * they make no sense.
   */
  reload(options: Options): Effect.Effect<void>
  /** Runs an effect that takes several permits. Throws `RangeError` where their number makes no sense. */
  withPermits(permits: number): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | LimitReached, R>
  /** Takes permits, by default one, until the scope closes: for a connection, or a stream. */
  acquire(permits?: number): Effect.Effect<void, LimitReached, Scope.Scope>
}

/**
 * A look at a limit. `rejected` counts since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** How many calls may run at once at present. */
  readonly limit: number
  /** Permits in use. */
  readonly running: number
  /** Calls in the queue. */
  readonly waiting: number
  readonly rejected: number
}

/**
 * How to make an adaptive limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name in errors and metrics; default `"default"`. */
  readonly name?: string | undefined
  /** How the limit is found; default `LimitAlgorithm.vegas()`. */
  readonly algorithm?: LimitAlgorithm.LimitAlgorithm | undefined
  /** How many more calls may wait; default 0. */
  readonly queue?: number | undefined
  /** How long a call waits at most; default: as long as it is not interrupted. */
  readonly queueTimeout?: Duration.Input | undefined
  /** Which of the calls that wait is next; default `"fifo"`. See `QueueDiscipline`. */
  readonly discipline?: QueueDiscipline | undefined
  /**
   * The priorities of calls that wait, the most important first; default none, all are alike. One that is not listed counts as
   * the last.
   */
  readonly priorities?: ReadonlyArray<string> | undefined
  /** What part of the limit each priority is guaranteed, together at most 1; default none. */
  readonly shares?: { readonly [priority: string]: number } | undefined
  /** What an exit says about the dependency; default `Outcome.of`. It is not asked about interruptions, which are ignored. */
  readonly classify?: Outcome.Classify | undefined
}

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  algorithm: LimitAlgorithm.field,
  ...waitFields.fields,
  shares: /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(
      /* @__PURE__ */ Field.record(/* @__PURE__ */ Field.number({ above: 0, max: 1 })),
      {}
    ),
    (shares, path) => {
      const sum = Object.values(shares).reduce((sum, share) => sum + share, 0)
      requireArgument(sum <= 1 + Number.EPSILON * 8, path, "at most 1 together", sum)
      return shares
    }
  ),
  classify: Outcome.field
} satisfies Field.Fields<Options>

/**
 * The limit was used up. The call did not run.
 *
 * - `"LimitReached"`: the queue, if there is one, was full, or a more important call took its place.
 * - `"QueueTimeout"`: it waited too long.
 * - `"Deadline"`: its deadline is nearer than the wait that the queue's present pace suggests, or has passed meanwhile.
 * - `"TooHeavy"`: it takes more permits than the limit is at present.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitReached extends Rejection.TaggedError("LimitReached")<{
  /** How many calls might run at once then. */
  readonly limit: number
  /** The importance of the call. */
  readonly priority: string
  /** Why it did not run. */
  readonly reason: "LimitReached" | "QueueTimeout" | "Deadline" | "TooHeavy"
}> {
  /**
   * Tells to retry, as after `overloaded`, or to give up where there is no time for that. To a call that is too heavy as well:
   * unlike a bulkhead's permits, the limit goes up again by itself.
   */
  override [Recovery.symbol](): Recovery.Recovery {
    return this.reason === "Deadline" ? Recovery.giveUp : overloaded
  }
  override get message(): string {
    switch (this.reason) {
      case "LimitReached":
        return `The limit "${this.policy}" of ${this.limit} calls at once is used up. Try again later.`
      case "QueueTimeout":
        return `The limit "${this.policy}" of ${this.limit} calls at once had no room in time. Try again later.`
      case "Deadline":
        return `The limit "${this.policy}" of ${this.limit} calls at once has no room before the deadline of the call. Allow more time, or call less.`
      case "TooHeavy":
        return `The limit "${this.policy}" is ${this.limit} calls at once, and the call takes more permits. Split it, or try again later.`
    }
  }
}

/**
 * Makes an adaptive limit. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<ConcurrencyLimit> => {
  const settings = Field.read("ConcurrencyLimit", fields, options)
  return Effect.sync(() => new Limit(settings, settings.name, limitGauge))
}

const makeKeyed = /* @__PURE__ */ Keyed.policies(
  "ConcurrencyLimit",
  fields,
  (settings, key) => new Limit(settings, key),
  ({ isIdle }) => isIdle
)

/**
 * Makes an adaptive limit for each key, which is its name.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. A limit with calls in it is never forgotten.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (options: Options & Keyed.Options = {}): Effect.Effect<Keyed.Keyed<ConcurrencyLimit>> =>
  makeKeyed(options)

/**
 * No limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: ConcurrencyLimit = {
  .../* @__PURE__ */ Policy.noop<Snapshot>({ limit: Infinity, running: 0, waiting: 0, rejected: 0 }),
  reload: () => Effect.void,
  withPermits: () => (self) => self,
  acquire: () => Effect.void
}

/**
 * Runs an effect under an adaptive limit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withConcurrencyLimit: Policy.Combinator<ConcurrencyLimit, LimitReached> = Policy.withPolicy

/**
 * The present limit, with the attribute `resilience.policy`. Keyed limits have none: a thousand keys would make a thousand series.
 *
 * @category observing
 * @since 0.1.0
 */
export const limitGauge: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.limit", {
  description: "How many calls an adaptive limit lets run at once"
})

/**
 * Counts rejected calls, with the attributes `resilience.policy` (the `name` of the options) and `resilience.priority`.
 *
 * @category observing
 * @since 0.1.0
 */
export const rejectedTotal: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.limit.refusals", {
  description: "Calls that an adaptive limit rejected",
  incremental: true
})

/**
 * The service for programs that have one adaptive limit.
 *
 * @category services
 * @since 0.1.0
 */
export const ConcurrencyLimit: Context.Service<ConcurrencyLimit, ConcurrencyLimit> = /* @__PURE__ */ Context.Service<
  ConcurrencyLimit
>("@effect-resilience/limit/ConcurrencyLimit")

/**
 * Provides an adaptive limit.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<ConcurrencyLimit> => Layer.effect(ConcurrencyLimit, make(options))

/**
 * Provides no limit.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<ConcurrencyLimit> = /* @__PURE__ */ Layer.succeed(ConcurrencyLimit, noop)

type Settings = Field.Settings<typeof fields>

class Limit extends Adaptive<LimitReached> implements ConcurrencyLimit {
  constructor(settings: Settings, name: string, gauge?: Metric.Gauge<number>) {
    super("ConcurrencyLimit", name, limitsOf(settings, name), {
      name: settings.name,
      limit: gauge,
      rejected: rejectedTotal
    })
  }

  reload(options: Options): Effect.Effect<void> {
    return this.change(limitsOf(Field.read("ConcurrencyLimit", fields, options), this.name))
  }

  withPermits(count: number) {
    const weight = permits.read(count, "ConcurrencyLimit.withPermits")
    return <A, E, R>(self: Effect.Effect<A, E, R>) => weight === 1 ? this.execute(self) : this.executeWith(self, weight)
  }

  acquire(count = 1): Effect.Effect<void, LimitReached, Scope.Scope> {
    return this.hold(permits.read(count, "ConcurrencyLimit.acquire"))
  }
}

const permits = /* @__PURE__ */ Field.integer({ min: 1 })

const limitsOf = (settings: Settings, policy: string): Limits<LimitReached> => ({
  ...waitFields.waitsOf(settings),
  start: settings.algorithm,
  shares: settings.shares,
  classify: settings.classify,
  reached: (why) => new LimitReached({ policy, ...why })
})
