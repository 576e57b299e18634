/**
 * Bounds how many calls run at once, and how many may wait.
 *
 * **Why**
 *
 * A slow dependency must not swallow every connection, socket and byte of memory of its callers. A bulkhead gives it a
 * share. Its queue is short on purpose: work that waits longer than its caller is willing to is work wasted.
 *
 * **Details**
 *
 * - Waiting calls are served first in, first out. A call never overtakes one that waits.
 * - A permit goes from the call that ends to the one that waits longest, without a race for it.
 * - Interrupting a call gives its permit, or its place in the queue, back.
 *
 * Effect's `Semaphore` has neither a bound for its queue nor a timeout, and its cost for each call grows with the number
 * of those that wait.
 *
 * **Gotchas**
 *
 * - All calls that are refused for the same reason get the same `BulkheadFull`; its stack trace is that of
 *   the first.
 * - A call that takes two permits of one bulkhead, one inside the other, can wait for itself.
 *
 * **Example** (Two at a time, nobody waits)
 *
 * ```ts import.meta.vitest
 * import { Bulkhead } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ key: "ledger", permits: 2 })
 *   const call = Effect.as(Effect.yieldNow, "stored").pipe(
 *     Bulkhead.withBulkhead(bulkhead),
 *     Effect.catchTag("BulkheadFull", (error) => Effect.succeed(error.message))
 *   )
 *   return yield* Effect.all([call, call, call], { concurrency: "unbounded" })
 * })
 *
 * await Effect.runPromise(program)
 * // => ["stored", "stored", "The bulkhead \"ledger\" is full: 2 calls run and 0 may wait. Try again later."]
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as permits from "./internal/permits.ts"
import * as Rejection from "./Rejection.ts"

/**
 * A bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead {
  /** The name that errors carry. */
  readonly key: string
  /** Runs an effect when there is a permit for it. */
  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | BulkheadFull, R>
  /** How many calls run and wait now. */
  readonly stats: Effect.Effect<Stats>
  /** Changes the number of permits; calls that already run keep theirs. Throws `RangeError` where it makes no sense. */
  resize(permits: number): Effect.Effect<void>
}

/**
 * A look at a bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly permits: number
  readonly running: number
  readonly waiting: number
}

/**
 * How to make a bulkhead.
 *
 * - `key`: the name in errors; default `"default"`.
 * - `permits`: how many calls run at once.
 * - `queue`: how many more may wait; default 0. `Infinity` is possible and seldom wise.
 * - `queueTimeout`: how long a call waits at most; default: as long as it is not interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly key?: string | undefined
  readonly permits: number
  readonly queue?: number | undefined
  readonly queueTimeout?: Duration.Input | undefined
}

/**
 * There was no room for a call: the queue was full when it came (`"QueueFull"`), or it waited in vain
 * (`"QueueTimeout"`). It did not run.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends Data.TaggedError("BulkheadFull")<{
  readonly key: string
  readonly reason: "QueueFull" | "QueueTimeout"
  readonly permits: number
  readonly queue: number
  readonly queueTimeout: Duration.Duration | undefined
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
    return this.reason === "QueueFull"
      ? `The bulkhead "${this.key}" is full: ${this.permits} calls run and ${this.queue} may wait. Try again later.`
      : `The bulkhead "${this.key}" had no room within ${
        Duration.format(this.queueTimeout ?? Duration.infinity)
      }. Try again later.`
  }
}

/**
 * Makes a bulkhead. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Bulkhead> => {
  check(options)
  return Effect.sync(() => makeUnsafe(options, options.key ?? "default"))
}

/**
 * Makes a bulkhead for each key.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. A bulkhead with calls in it is never forgotten.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Omit<Options, "key"> & { readonly capacity?: number | undefined }
): Effect.Effect<Keyed.Keyed<Bulkhead>> => {
  check(options)
  const capacity = Keyed.capacityOf(options)
  return Effect.sync(() =>
    Keyed.make({
      capacity,
      make: (key) => makeUnsafe(options, key),
      isIdle: (bulkhead) => bulkhead.isIdle
    })
  )
}

/**
 * A bulkhead without bounds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Bulkhead = {
  key: "noop",
  execute: (self) => self,
  stats: /* @__PURE__ */ Effect.succeed({ permits: Infinity, running: 0, waiting: 0 }),
  resize: () => Effect.void
}

/**
 * Runs an effect in a bulkhead.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withBulkhead: {
  (bulkhead: Bulkhead): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | BulkheadFull, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, bulkhead: Bulkhead): Effect.Effect<A, E | BulkheadFull, R>
} = /* @__PURE__ */ dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, bulkhead: Bulkhead) => bulkhead.execute(self))

/**
 * The service for programs that have one bulkhead.
 *
 * @category services
 * @since 0.1.0
 */
export const Bulkhead: Context.Service<Bulkhead, Bulkhead> = /* @__PURE__ */ Context.Service<Bulkhead>(
  "@effect-resilience/limit/Bulkhead"
)

/**
 * Provides a bulkhead.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Bulkhead> => Layer.effect(Bulkhead, make(options))

/**
 * Provides a bulkhead without bounds.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Bulkhead> = /* @__PURE__ */ Layer.succeed(Bulkhead, noop)

const makeUnsafe = (options: Omit<Options, "key">, key: string): permits.Permits<BulkheadFull> => {
  const { permits: count, queue = 0 } = options
  const queueTimeout = options.queueTimeout === undefined ? undefined : Duration.fromInputUnsafe(options.queueTimeout)
  const full = { key, queue, queueTimeout }
  return new permits.Permits(key, {
    permits: count,
    queue,
    queueTimeoutMillis: queueTimeout === undefined ? Infinity : Duration.toMillis(queueTimeout),
    full: (reason, permits) => new BulkheadFull({ ...full, permits, reason })
  })
}

const check = ({ permits: count, queue = 0 }: Omit<Options, "key">) => {
  permits.check(count)
  if (queue !== Infinity && (!Number.isInteger(queue) || queue < 0)) {
    throw new RangeError(`Bulkhead: queue must be a whole number or Infinity, not ${queue}`)
  }
}
