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
 * @since 0.1.0
 */
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Limits } from "./internal/permits.ts"
import { Permits } from "./internal/permits.ts"
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
}

/**
 * A look at a bulkhead. `rejected` counts since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly permits: number
  readonly running: number
  readonly waiting: number
  readonly rejected: number
}

/**
 * How to make a bulkhead.
 *
 * - `name`: the name in errors and metrics; default `"default"`.
 * - `permits`: how many calls run at once.
 * - `queue`: how many more may wait; default 0. `Infinity` is possible and seldom wise.
 * - `queueTimeout`: how long a call waits at most; default: as long as it is not interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name?: string | undefined
  readonly permits: number
  readonly queue?: number | undefined
  readonly queueTimeout?: Duration.Input | undefined
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
  queue: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0, infinite: true }), 0),
  queueTimeout: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.duration())
} satisfies Field.Fields<Options>

/**
 * There was no room for a call: the queue was full when it came (`"QueueFull"`), or it waited too long
 * (`"QueueTimeout"`). It did not run.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends Rejection.TaggedError("BulkheadFull")<{
  readonly reason: "QueueFull" | "QueueTimeout"
  readonly permits: number
  readonly queue: number
  readonly queueTimeout: Duration.Duration | undefined
}> {
  override get message(): string {
    return this.reason === "QueueFull"
      ? `The bulkhead "${this.policy}" is full: ${this.permits} calls run and ${this.queue} may wait. Try again later.`
      : `The bulkhead "${this.policy}" had no room within ${
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
  reload: () => Effect.void
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
}

const limitsOf = ({ permits, queue, queueTimeout }: Settings, policy: string): Limits<BulkheadFull> => ({
  permits,
  queue,
  queueTimeoutMillis: queueTimeout === undefined ? Infinity : Duration.toMillis(queueTimeout),
  full: (reason, permits) => new BulkheadFull({ policy, queue, queueTimeout, permits, reason })
})
