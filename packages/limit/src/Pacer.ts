/**
 * Keeps calls within a rate that the other side allows.
 *
 * **Why**
 *
 * Many APIs allow a number of calls in each window of time and respond 429 to the rest, and some count the rejected ones too. A pacer
 * lets calls wait for their turn instead. When the server says "not before", it holds all of them back and then lets them
 * go at the usual rate rather than all at once.
 *
 * **Details**
 *
 * - The rate is `limit` calls in `window`. With `burst` 1 they are spread evenly; with more, that many may go at once after a
 *   quiet time. A call of `cost` 3 counts as three.
 * - Calls go in the order in which they came. One that would have to wait beyond `maxWait`, or beyond its `Deadline`, is
 *   rejected at once with `PaceExceeded` and takes nothing from the others.
 * - A failure whose `Recovery` names a time pauses the pacer for that time. So does `observe` when the headers say that
 *   nothing is left. A pause is a debt in the limiter's bucket, so processes that share a store share it too.
 *
 * The counting is done by Effect's `RateLimiter`: in memory with `layerMemory` or `layerLimiterMemory`, between processes
 * with its Redis store. In memory the monotonic clock counts. A store that processes share counts by their wall clocks; so
 * does Effect's own memory store, which also holds every key for good.
 *
 * **Gotchas**
 *
 * Not in the package's index, since it loads `Schema`: import it from `@effect-resilience/limit/Pacer`.
 *
 * Retries belong outside, so that each attempt takes its turn.
 *
 * With `NodeRedis` set `disableOfflineQueue: true`: otherwise calls wait for `storeTimeout` when Redis is down, instead of not
 * at all.
 *
 * **Example** (Ten a second, evenly)
 *
 * ```ts import.meta.vitest
 * import * as Pacer from "@effect-resilience/limit/Pacer"
 * import { Clock, Effect, Fiber } from "effect"
 * import { TestClock } from "effect/testing"
 *
 * const program = Effect.gen(function*() {
 *   const pacer = yield* Pacer.Pacer
 *   const call = Clock.currentTimeMillis.pipe(Pacer.withPacer(pacer))
 *   const calls = yield* Effect.forkChild(Effect.all([call, call, call], { concurrency: "unbounded" }))
 *   yield* TestClock.adjust("1 second")
 *   return yield* Fiber.join(calls)
 * })
 *
 * const layer = Pacer.layerMemory({ name: "ledger", limit: 10, window: "1 second" })
 * await Effect.runPromise(program.pipe(Effect.provide(layer), Effect.provide(TestClock.layer()))) // => [0, 100, 200]
 * ```
 *
 * @since 0.1.0
 */
import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as RateLimitHeaders from "@effect-resilience/errors/RateLimitHeaders"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import { monotonicMillis } from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as memoryLimiter from "./internal/memoryLimiter.ts"
import { Permits } from "./internal/permits.ts"
import { storeFields } from "./internal/storeFields.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"

/**
 * A pacer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pacer extends Policy.Policy<PaceExceeded, Snapshot> {
  /** Runs an effect when it is its turn. `cost` is how many calls it counts for; default 1. */
  execute<A, E, R>(self: Effect.Effect<A, E, R>, cost?: number): Effect.Effect<A, E | PaceExceeded, R>
  /** Holds all calls back for this duration. A shorter pause than the present one changes nothing. */
  pause(duration: Duration.Input): Effect.Effect<void>
}

/**
 * How many calls of this process wait for their turn, for how long all are held back, and how many were rejected since the
 * pacer was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly waiting: number
  readonly pausedFor: Duration.Duration
  readonly rejected: number
}

/**
 * How to make a pacer.
 *
 * - `name`: the name in errors and the limiter's key; default `"default"`.
 * - `limit`, `window`: at most `limit` calls in each `window`.
 * - `burst`: how many may go at once after a quiet time; default 1.
 * - `maxWait`: how long a call waits for its turn at most; default: as long as its deadline allows.
 * - `maxPause`: caps the time that a server can ask for; default 1 minute.
 * - `onStoreError`: whether calls go unpaced (`"allow"`) or fail (`"fail"`) while the limiter's store cannot be reached;
 *   default `"allow"`.
 * - `storeTimeout`: how long the store may take to respond before that decides, beside `maxWait`; default 1 second. See
 *   `StoreTimeout`: a store that was silent is asked again once in a while, and holds no other call up.
 * - `classify`: what an exit says about the server; default `Outcome.of`. Only its `retryAfter` is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name?: string | undefined
  readonly limit: number
  readonly window: Duration.Input
  readonly burst?: number | undefined
  readonly maxWait?: Duration.Input | undefined
  readonly maxPause?: Duration.Input | undefined
  readonly onStoreError?: "allow" | "fail" | undefined
  readonly storeTimeout?: Duration.Input | undefined
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
  limit: /* @__PURE__ */ Field.number({ above: 0 }),
  window: /* @__PURE__ */ Field.duration({ min: 1, finite: true }),
  burst: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 1),
  maxWait: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "Infinity"),
  maxPause: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ finite: true }), "1 minute"),
  ...storeFields,
  classify: Outcome.field
} satisfies Field.Fields<Options>

/**
 * A call was not made: its turn would have come too late (`"Wait"`), or the limiter's store cannot be reached (`"Store"`).
 *
 * - `retryAfter`: when its turn would have been.
 *
 * @category errors
 * @since 0.1.0
 */
export class PaceExceeded extends Rejection.TaggedError("PaceExceeded")<{
  readonly reason: "Wait" | "Store"
  readonly retryAfter: Duration.Duration | undefined
}> {
  override get message(): string {
    return this.reason === "Store"
      ? `The rate of "${this.policy}" cannot be checked: its store does not respond. Try again later.`
      : `The turn of this call to "${this.policy}" would come too late, in ${
        Duration.format(this.retryAfter ?? Duration.zero)
      }. Try again later.`
  }
}

/**
 * Makes a pacer. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Pacer, never, RateLimiter.RateLimiter> => {
  const settings = settingsOf(Field.read("Pacer", fields, options))
  return Effect.map(RateLimiter.RateLimiter, (limiter) => new Turns(settings, settings.name, settings.name, limiter))
}

/**
 * Makes a pacer for each key, which is its name; the limiter's keys begin with the `name` of the options.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. A pacer with calls that wait is never forgotten.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Options & Keyed.Options
): Effect.Effect<Keyed.Keyed<Pacer>, never, RateLimiter.RateLimiter> => {
  const { capacity, settings: read } = Keyed.read("Pacer", fields, options)
  const settings = settingsOf(read)
  return Effect.map(RateLimiter.RateLimiter, (limiter) =>
    Keyed.make({
      capacity,
      make: (key) => new Turns(settings, key, `${settings.name}:${key}`, limiter),
      isIdle: ({ isIdle }) => isIdle
    }))
}

/**
 * A pacer that lets everything pass.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Pacer = {
  .../* @__PURE__ */ Policy.noop<Snapshot>({ waiting: 0, pausedFor: Duration.zero, rejected: 0 }),
  pause: () => Effect.void
}

const costField = /* @__PURE__ */ Field.integer({ min: 0 })

/**
 * Runs an effect when it is its turn. `cost` is how many calls it counts for; default 1.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPacer: {
  (pacer: Pacer, cost?: number): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | PaceExceeded, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, pacer: Pacer, cost?: number): Effect.Effect<A, E | PaceExceeded, R>
} = /* @__PURE__ */ dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(self: Effect.Effect<A, E, R>, pacer: Pacer, cost = 1) =>
    pacer.execute(self, costField.read(cost, "Pacer.cost"))
)

/**
 * Reads the rate limit in the headers of a response, and pauses the pacer until it is renewed where nothing is left. A 429
 * or 503 that fails inside the pacer pauses it anyway.
 *
 * @category feedback
 * @since 0.1.0
 */
export const observe = (
  pacer: Pacer,
  headers: { readonly [name: string]: string | undefined }
): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const limit = RateLimitHeaders.parse(headers, now)
    return limit !== undefined && limit.remaining < 1 ? pacer.pause(limit.resetAfter) : Effect.void
  })

/**
 * The service for programs that have one pacer.
 *
 * @category services
 * @since 0.1.0
 */
export const Pacer: Context.Service<Pacer, Pacer> = /* @__PURE__ */ Context.Service<Pacer>(
  "@effect-resilience/limit/Pacer"
)

/**
 * Provides a pacer on the surrounding `RateLimiter`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Pacer, never, RateLimiter.RateLimiter> =>
  Layer.effect(Pacer, make(options))

/**
 * Provides a pacer that counts in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (options: Options): Layer.Layer<Pacer> =>
  Layer.provide(layer({ ...options, storeTimeout: Infinity }), layerLimiterMemory)

/**
 * Provides a `RateLimiter` that counts in memory, for `make` and `keyed`: by the monotonic clock, for the 100,000 keys used
 * last.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLimiterMemory: Layer.Layer<RateLimiter.RateLimiter> = /* @__PURE__ */ Layer.effect(
  RateLimiter.RateLimiter,
  memoryLimiter.make
)

/**
 * Provides a pacer that lets everything pass.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Pacer> = /* @__PURE__ */ Layer.succeed(Pacer, noop)

interface Settings extends Omit<Field.Settings<typeof fields>, "storeTimeout"> {
  readonly intervalMillis: number
  readonly maxWaitMillis: number
  readonly maxPauseMillis: number
  readonly within: StoreTimeout.StoreTimeout
}

const settingsOf = ({ storeTimeout, ...settings }: Field.Settings<typeof fields>): Settings => {
  const intervalMillis = Duration.toMillis(settings.window) / settings.limit
  return {
    ...settings,
    intervalMillis,
    // The limiter's windows are a millisecond at least.
    burst: Math.max(settings.burst, Math.ceil(1 / intervalMillis)),
    maxWaitMillis: Duration.toMillis(settings.maxWait),
    maxPauseMillis: Duration.toMillis(settings.maxPause),
    within: StoreTimeout.make(storeTimeout)
  }
}

class Turns implements Pacer, PolicyEvent.Rejecting {
  readonly name: string
  readonly kind = "Pacer"
  rejected = 0
  readonly admitUnsafe = undefined
  private readonly settings: Settings
  private readonly limiterKey: string
  private readonly limiter: RateLimiter.RateLimiter
  // One call at a time takes its turn, so that they go in order and a pause holds the next one.
  private readonly queue: Permits<PaceExceeded>
  private queuedCost = 0
  private pausedUntil = -Infinity
  // When the limiter's bucket is empty and without debt, as far as this process knows.
  private evenAt = -Infinity

  constructor(settings: Settings, name: string, limiterKey: string, limiter: RateLimiter.RateLimiter) {
    this.name = name
    this.settings = settings
    this.limiterKey = limiterKey
    this.limiter = limiter
    this.queue = new Permits("Pacer", name, {
      permits: 1,
      queue: Infinity,
      queueTimeoutMillis: Infinity,
      full: () => new PaceExceeded({ policy: name, reason: "Wait", retryAfter: undefined })
    })
  }

  get isIdle(): boolean {
    return this.queue.isIdle
  }

  get snapshot(): Effect.Effect<Snapshot> {
    return Effect.withFiber((fiber) =>
      Effect.map(this.queue.snapshot, ({ running, waiting }) => ({
        waiting: running + waiting,
        pausedFor: Duration.millis(Math.max(0, this.pausedUntil - monotonicMillis(fiber.getRef(Clock.Clock)))),
        rejected: this.rejected
      }))
    )
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>, cost = 1): Effect.Effect<A, E | PaceExceeded, R> {
    const paced = Effect.onExitPrimitive(self, (exit) => {
      const outcome = this.settings.classify(exit)
      return outcome._tag === "Failure" && outcome.retryAfter !== undefined ? this.pause(outcome.retryAfter) : undefined
    })
    return Effect.andThen(this.turn(cost), paced)
  }

  pause(duration: Duration.Input): Effect.Effect<void> {
    const millis = Math.min(Duration.toMillis(duration), this.settings.maxPauseMillis)
    return Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const until = monotonicMillis(clock) + millis
      if (!(until > this.pausedUntil)) return Effect.void
      this.pausedUntil = until
      // Debt that is paid off when the pause ends. What the bucket still holds has to go too, or it would be a burst.
      const debt = Math.ceil(millis / this.settings.intervalMillis)
      return Effect.ignore(Effect.flatMap(this.consume(0, clock), ({ remaining }) => {
        const tokens = Math.ceil(remaining) + debt
        return tokens > 0 ? Effect.asVoid(this.consume(tokens, clock)) : Effect.void
      }))
    })
  }

  private turn(cost: number): Effect.Effect<void, PaceExceeded> {
    return Effect.withFiber((fiber) => {
      const clock = fiber.getRef(Clock.Clock)
      const began = monotonicMillis(clock)
      const patience = Math.min(this.settings.maxWaitMillis, Deadline.remainingMillisUnsafe(fiber))
      const evenAt = this.evenAt + (this.queuedCost + cost) * this.settings.intervalMillis
      const expected = Math.max(evenAt, this.pausedUntil) - began
      if (expected > patience) return this.rejectLate(expected)
      let queued = 0
      const leave = (): undefined => {
        this.queuedCost -= queued
        queued = 0
      }
      const take = Effect.suspend(() => {
        leave()
        return this.take(cost, clock, began + patience)
      })
      const enter = Effect.suspend(() => {
        this.queuedCost += queued = cost
        return this.queue.execute(take)
      })
      return Effect.onExitPrimitive(enter, leave)
    })
  }

  private take(cost: number, clock: Clock.Clock, latest: number): Effect.Effect<void, PaceExceeded> {
    return Effect.matchEffect(this.consume(cost, clock), {
      onFailure: () => this.settings.onStoreError === "fail" ? this.reject("Store", undefined) : Effect.void,
      onSuccess: ({ delay }) => {
        const wait = Duration.toMillis(delay)
        // However long the store took, a call whose turn it is goes.
        if (wait <= 0 || monotonicMillis(clock) + wait <= latest) return this.sleep(clock, wait, latest)
        // The place is given back, for others can still use it.
        return Effect.andThen(Effect.ignore(this.consume(-cost, clock)), this.rejectLate(wait))
      }
    })
  }

  // A pause that begins while a call waits holds it too. A wait that has ended has lasted as long as it was meant to, though
  // fake timers leave the clock where it was.
  private sleep(clock: Clock.Clock, millis: number, latest: number): Effect.Effect<void, PaceExceeded> {
    const until = monotonicMillis(clock) + millis
    const slept = millis > 0 ? clock.sleep(Duration.millis(millis)) : Effect.void
    return Effect.flatMap(slept, () => {
      const now = Math.max(until - 1, monotonicMillis(clock))
      const rest = this.pausedUntil - now
      if (rest <= 0) return Effect.void
      return now + rest > latest ? this.rejectLate(rest) : this.sleep(clock, rest, latest)
    })
  }

  private rejectLate(millis: number): Effect.Effect<never, PaceExceeded> {
    return this.reject("Wait", Duration.millis(Math.ceil(millis)))
  }

  private reject(
    reason: PaceExceeded["reason"],
    retryAfter: Duration.Duration | undefined
  ): Effect.Effect<never, PaceExceeded> {
    return Effect.withFiber((fiber) => {
      PolicyEvent.rejectUnsafe(this, fiber.context, reason)
      return Effect.fail(new PaceExceeded({ policy: this.name, reason, retryAfter }))
    })
  }

  private consume(tokens: number, clock: Clock.Clock) {
    const { burst, intervalMillis, within } = this.settings
    const consumed = within(this.limiter.consume({
      algorithm: "token-bucket",
      onExceeded: "delay",
      key: this.limiterKey,
      limit: burst,
      window: Duration.millis(burst * intervalMillis),
      tokens
    }))
    return Effect.map(consumed, (result) => {
      this.evenAt = monotonicMillis(clock) - result.remaining * intervalMillis
      return result
    })
  }
}
