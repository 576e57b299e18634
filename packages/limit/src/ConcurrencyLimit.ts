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
 * Calls beyond the limit are refused at once with `LimitReached`, since waiting here would hide the queue that the
 * algorithm looks for. Which failures count as a drop is decided by `Outcome`: one that the server answered well (a 404)
 * says nothing about load.
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
 *   const limit = yield* ConcurrencyLimit.make({ key: "search", algorithm: LimitAlgorithm.aimd({ initial: 10 }) })
 *   yield* Effect.succeed("found").pipe(ConcurrencyLimit.withConcurrencyLimit(limit))
 *   return yield* limit.stats
 * })
 *
 * await Effect.runPromise(program) // => { limit: 10, running: 0 }
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as LimitAlgorithm from "./LimitAlgorithm.ts"
import * as Outcome from "./Outcome.ts"
import * as Priority from "./Priority.ts"
import * as Rejection from "./Rejection.ts"

/**
 * An adaptive limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConcurrencyLimit {
  /** The name that errors and metrics carry. */
  readonly key: string
  /** Runs an effect if the limit allows it. */
  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | LimitReached, R>
  /** The limit, and how many calls run, now. */
  readonly stats: Effect.Effect<Stats>
}

/**
 * A look at a limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly limit: number
  readonly running: number
}

/**
 * How to make an adaptive limit.
 *
 * - `key`: the name in errors and metrics; default `"default"`.
 * - `algorithm`: how the limit is found; default `LimitAlgorithm.vegas()`.
 * - `shares`: what part of the limit each priority is guaranteed, together at most 1; default none.
 * - `classify`: what an exit says about the dependency; default `Outcome.of`. Interruption is ignored without asking it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly key?: string | undefined
  readonly algorithm?: LimitAlgorithm.LimitAlgorithm | undefined
  readonly shares?: { readonly [priority: string]: number } | undefined
  readonly classify?: ((exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome) | undefined
}

/**
 * The limit was used up. The call did not run.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitReached extends Data.TaggedError("LimitReached")<{
  readonly key: string
  readonly limit: number
  readonly priority: string
}> {
  get [Rejection.symbol](): true {
    return true
  }
  get [NotAsked.symbol](): true {
    return true
  }
  /** Unknown: nobody knows when a call will end. */
  get retryAfter(): undefined {
    return undefined
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return `The limit "${this.key}" of ${this.limit} calls at once is used up. Try again later.`
  }
}

/**
 * Makes an adaptive limit. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<ConcurrencyLimit> => {
  check(options)
  return Effect.sync(() => new Limit(options, options.key ?? "default"))
}

/**
 * Makes an adaptive limit for each key.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. A limit with calls in it is never forgotten.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Omit<Options, "key"> & { readonly capacity?: number | undefined } = {}
): Effect.Effect<Keyed.Keyed<ConcurrencyLimit>> => {
  check(options)
  const capacity = Keyed.capacityOf(options)
  return Effect.sync(() =>
    Keyed.make({
      capacity,
      make: (key) => new Limit(options, key),
      isIdle: (limit) => limit.isIdle
    })
  )
}

/**
 * No limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: ConcurrencyLimit = {
  key: "noop",
  execute: (self) => self,
  stats: /* @__PURE__ */ Effect.succeed({ limit: Infinity, running: 0 })
}

/**
 * Runs an effect under an adaptive limit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withConcurrencyLimit: {
  (limit: ConcurrencyLimit): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | LimitReached, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, limit: ConcurrencyLimit): Effect.Effect<A, E | LimitReached, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, limit: ConcurrencyLimit) => limit.execute(self)
)

/**
 * The present limit, with the attribute `resilience.policy`.
 *
 * @category observing
 * @since 0.1.0
 */
export const limitGauge: Metric.Gauge<number> = /* @__PURE__ */ Metric.gauge("resilience.limit", {
  description: "How many calls an adaptive limit lets run at once"
})

/**
 * Counts refused calls, with the attributes `resilience.policy` and `resilience.priority`.
 *
 * @category observing
 * @since 0.1.0
 */
export const refusedTotal: Metric.Counter<number> = /* @__PURE__ */ Metric.counter("resilience.limit.refusals", {
  description: "Calls that an adaptive limit refused",
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

interface Partition {
  readonly priority: string
  readonly share: number
  running: number
  readonly refused: Metric.Counter<number>
  refusal: Exit.Exit<never, LimitReached> | undefined
}

class Limit implements ConcurrencyLimit {
  readonly key: string
  private readonly estimator: LimitAlgorithm.Estimator
  private readonly classify: (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome
  private readonly shares: { readonly [priority: string]: number }
  private readonly partitions = new Map<string, Partition>()
  private readonly gauge: Metric.Gauge<number>
  private running = 0
  private known: number

  constructor(options: Omit<Options, "key">, key: string) {
    this.key = key
    this.estimator = LimitAlgorithm.start(options.algorithm ?? LimitAlgorithm.vegas())
    this.classify = options.classify ?? Outcome.of
    this.shares = options.shares ?? {}
    this.gauge = Metric.withAttributes(limitGauge, { "resilience.policy": key })
    this.known = 0
  }

  get isIdle(): boolean {
    return this.running === 0
  }

  get stats() {
    return Effect.sync(() => ({ limit: this.estimator.limit, running: this.running }))
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | LimitReached, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber): Effect.Effect<A, E | LimitReached, R> => {
        const limit = this.estimator.limit
        if (limit !== this.known) this.show(limit, fiber)
        const partition = this.partitionOf(fiber.getRef(Priority.Current))
        if (this.running >= limit && partition.running >= Math.ceil(limit * partition.share)) {
          partition.refused.updateUnsafe(1, fiber.context)
          return partition.refusal ??= Exit.fail(
            new LimitReached({ key: this.key, limit, priority: partition.priority })
          )
        }
        const clock = fiber.getRef(Clock.Clock)
        const startedAt = monotonicMillis(clock)
        const inFlight = ++this.running
        partition.running++
        return Effect.onExitPrimitive(
          restore(self),
          (exit) => {
            this.running--
            partition.running--
            this.record(exit, startedAt, inFlight, clock, fiber)
            return undefined
          },
          true
        )
      })
    )
  }

  private record(
    exit: Exit.Exit<unknown, unknown>,
    startedAt: number,
    inFlight: number,
    clock: Clock.Clock,
    fiber: Fiber.Fiber<unknown, unknown>
  ) {
    if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return
    const outcome = this.classify(exit)
    const dropped = outcome._tag === "Failure"
    // An error that the server answered well came another way than a success; its round trip is no measure.
    if (outcome._tag === "Ignored" || (!dropped && Exit.isFailure(exit))) return
    const now = monotonicMillis(clock)
    this.estimator.record({
      nowMillis: now,
      rttMillis: now - startedAt,
      inFlight,
      dropped,
      random: () => fiber.getRef(Random.Random).nextDoubleUnsafe()
    })
  }

  private show(limit: number, fiber: Fiber.Fiber<unknown, unknown>) {
    this.known = limit
    this.gauge.updateUnsafe(limit, fiber.context)
    for (const partition of this.partitions.values()) partition.refusal = undefined
  }

  private partitionOf(priority: string): Partition {
    const name = Object.hasOwn(this.shares, priority) ? priority : "default"
    const known = this.partitions.get(name)
    if (known !== undefined) return known
    const partition: Partition = {
      priority: name,
      share: this.shares[name] ?? 0,
      running: 0,
      refused: Metric.withAttributes(refusedTotal, { "resilience.policy": this.key, "resilience.priority": name }),
      refusal: undefined
    }
    this.partitions.set(name, partition)
    return partition
  }
}

const check = ({ shares = {} }: Omit<Options, "key">) => {
  let sum = 0
  for (const [priority, share] of Object.entries(shares)) {
    if (!(share > 0 && share <= 1)) {
      throw new RangeError(`ConcurrencyLimit: the share of ${priority} must be above 0 and at most 1, not ${share}`)
    }
    sum += share
  }
  if (sum > 1 + Number.EPSILON * 8) {
    throw new RangeError(`ConcurrencyLimit: all shares together must be at most 1, not ${sum}`)
  }
}
