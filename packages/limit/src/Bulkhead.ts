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
 * - Waiting calls are served by their priority, then first in, first out, or by another `discipline`. A new call never
 *   overtakes one that waits and is as important.
 * - A permit goes from the call that ends to the next, without a race for it.
 * - Interrupting a call gives its permit, or its place in the queue, back.
 * - A call does not wait where its deadline is nearer than the wait that the queue's present pace suggests, and does not begin
 *   once that has passed.
 * - A call may take several permits. It keeps its turn until there are so many, so lighter calls do not starve it.
 *
 * Effect's `Semaphore` has neither a bound for its queue nor a timeout, and its cost for each call grows with the number
 * of those that wait.
 *
 * **Gotchas**
 *
 * - Calls that are rejected for the same reason share one `BulkheadFull`. Its stack trace is that of the first.
 * - A call that takes two permits of one bulkhead, one inside the other, can wait for itself.
 *
 * **Example** (Two at a time, without a queue)
 *
 * ```ts import.meta.vitest
 * import { Bulkhead } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ name: "ledger", permits: 2 })
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
 * @stability stable
 * @since 0.1.0
 */
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { overloaded } from "./internal/overloaded.ts"
import type { Limits } from "./internal/permits.ts"
import { Permits } from "./internal/permits.ts"
import * as waitFields from "./internal/waitFields.ts"
import type { QueueDiscipline } from "./QueueDiscipline.ts"
import * as Rejection from "./Rejection.ts"

/**
 * A bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead extends Policy.Policy<BulkheadFull, Snapshot> {
  /** Changes the number of permits; calls that already run keep theirs. Throws `RangeError` where it makes no sense. */
  resize(permits: number): Effect.Effect<void>
  /** Takes other options. Calls that run or wait count under them. Throws `RangeError` where they make no sense. */
  reload(options: Options): Effect.Effect<void>
  /** Runs an effect that takes several permits. Throws `RangeError` where their number makes no sense. */
  withPermits(permits: number): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | BulkheadFull, R>
  /** Takes permits, by default one, until the scope closes: for a connection, or a stream. */
  acquire(permits?: number): Effect.Effect<void, BulkheadFull, Scope.Scope>
}

/**
 * A look at a bulkhead. `rejected` counts since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** How many there are. */
  readonly permits: number
  /** Permits in use. */
  readonly running: number
  /** Calls in the queue. */
  readonly waiting: number
  readonly rejected: number
}

/**
 * How to make a bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name in errors and metrics; default `"default"`. */
  readonly name?: string | undefined
  /** How many calls run at once. */
  readonly permits: number
  /** How many more may wait; default 0. `Infinity` is possible and seldom wise. */
  readonly queue?: number | undefined
  /** How long a call waits at most; default: as long as it is not interrupted. */
  readonly queueTimeout?: Duration.Input | undefined
  /** Which of the calls that wait is next; default `"fifo"`. See `QueueDiscipline`. */
  readonly discipline?: QueueDiscipline | undefined
  /**
   * The priorities of calls, the most important first; default none, all are alike. One that is not listed counts as the last.
   * More important calls are next, and take the place of the least important ones in a full queue.
   */
  readonly priorities?: ReadonlyArray<string> | undefined
}

const permits = /* @__PURE__ */ Field.integer({ min: 1 })

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  permits,
  ...waitFields.fields
} satisfies Field.Fields<Options>

/**
 * There was no room for a call. It did not run.
 *
 * - `"QueueFull"`: the queue was full when it came, or a more important call took its place.
 * - `"QueueTimeout"`: it waited too long.
 * - `"Deadline"`: its deadline is nearer than the wait that the queue's present pace suggests, or has passed meanwhile.
 * - `"TooHeavy"`: it takes more permits than there are.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends Rejection.TaggedError("BulkheadFull")<{
  /** Why there was none. */
  readonly reason: "QueueFull" | "QueueTimeout" | "Deadline" | "TooHeavy"
  /** How many there are. */
  readonly permits: number
  /** How many calls may wait. */
  readonly queue: number
  /** How long a call may wait; `undefined` is without a limit. */
  readonly queueTimeout: Duration.Duration | undefined
}> {
  /** Tells to retry, as after `overloaded`, or to give up where that cannot help: another attempt is as heavy, and has no more time. */
  override [Recovery.symbol](): Recovery.Recovery {
    return this.reason === "Deadline" || this.reason === "TooHeavy" ? Recovery.giveUp : overloaded
  }
  override get message(): string {
    switch (this.reason) {
      case "QueueFull":
        return `The bulkhead "${this.policy}" is full: ${this.permits} calls run and ${this.queue} may wait. Try again later.`
      case "QueueTimeout":
        return `The bulkhead "${this.policy}" had no room ${
          this.queueTimeout === undefined ? "in time" : `within ${Duration.format(this.queueTimeout)}`
        }. Try again later.`
      case "Deadline":
        return `The bulkhead "${this.policy}" has no room before the deadline of the call. Allow more time, or call less.`
      case "TooHeavy":
        return `The bulkhead "${this.policy}" has ${this.permits} permits, and the call takes more. Split it.`
    }
  }
}

/**
 * Makes a bulkhead. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Bulkhead> => {
  const settings = Field.read("Bulkhead", fields, options)
  return Effect.sync(() => new Pool(settings, settings.name))
}

/**
 * Makes a bulkhead for each key, which is its name.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. A bulkhead with calls in it is never forgotten.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed: (options: Options & Keyed.Options) => Effect.Effect<Keyed.Keyed<Bulkhead>> = /* @__PURE__ */ Keyed
  .policies("Bulkhead", fields, (settings, key) => new Pool(settings, key), (bulkhead) => bulkhead.isIdle)

/**
 * A bulkhead without bounds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Bulkhead = {
  .../* @__PURE__ */ Policy.noop<Snapshot>({ permits: Infinity, running: 0, waiting: 0, rejected: 0 }),
  resize: () => Effect.void,
  reload: () => Effect.void,
  withPermits: () => (self) => self,
  acquire: () => Effect.void
}

/**
 * Runs an effect in a bulkhead.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withBulkhead: Policy.Combinator<Bulkhead, BulkheadFull> = Policy.withPolicy

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

type Settings = Field.Settings<typeof fields>

class Pool extends Permits<BulkheadFull> implements Bulkhead {
  constructor(settings: Settings, name: string) {
    super("Bulkhead", name, limitsOf(settings, name))
  }

  resize(count: number): Effect.Effect<void> {
    const read = permits.read(count, "Bulkhead.permits")
    return Effect.suspend(() => this.change({ ...this.limits, permits: read }))
  }

  reload(options: Options): Effect.Effect<void> {
    const settings = Field.read("Bulkhead", fields, options)
    return this.change(limitsOf(settings, this.name))
  }

  withPermits(count: number) {
    const weight = permits.read(count, "Bulkhead.withPermits")
    return <A, E, R>(self: Effect.Effect<A, E, R>) => this.executeWith(self, weight)
  }

  acquire(count = 1): Effect.Effect<void, BulkheadFull, Scope.Scope> {
    return this.hold(permits.read(count, "Bulkhead.acquire"))
  }
}

const limitsOf = (settings: Settings, policy: string): Limits<BulkheadFull> => {
  const { permits, queue, queueTimeout } = settings
  return {
    ...waitFields.waitsOf(settings),
    permits,
    full: (reason, permits) => new BulkheadFull({ policy, queue, queueTimeout, permits, reason })
  }
}
