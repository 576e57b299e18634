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
 *   quiet time. A call of `cost` 3 counts as three. One that costs more than the burst is rejected, for it would never fit.
 * - Calls go in the order in which they came. One that would have to wait beyond `maxWait`, or beyond its `Deadline`, is
 *   rejected at once with `PaceExceeded` and takes nothing from the others. One that is interrupted while it waits, or fails
 *   with an error that is `NotAsked`, gives back what it took.
 * - A failure whose `Recovery` names a time pauses the pacer for that time. So does `observe` when the headers say that
 *   nothing is left. A pause is a debt in the limiter's bucket, so processes that share a store share it too.
 *
 * **Several rates**
 *
 * `rates` names what else the other side counts, such as the tokens of a language model. A call waits until it fits into all
 * of them, and takes from all of them or from none. Its cost is then a record, `{ tokens: 2000 }`: the estimate that is
 * reserved. `settle`, anywhere inside the call, tells what it really cost. The rest is given back, and a call that waits goes
 * sooner; more than was reserved becomes debt. The estimate stands where nothing is settled, also when a call fails or is
 * interrupted after it began, since the other side may have counted it. Where it does not, say so:
 * `Effect.onError(() => Pacer.settle({ tokens: 0 }))`.
 *
 * In any time, what was reserved less what was given back is at most the burst and what the rate allows, at each rate.
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
 * **Example** (A language model: 500 requests and 30,000 tokens a minute)
 *
 * ```ts import.meta.vitest
 * import * as Pacer from "@effect-resilience/limit/Pacer"
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 *
 * const complete = (prompt: string) => Effect.succeed({ text: `${prompt} indeed`, usage: 700 })
 *
 * const program = Effect.gen(function*() {
 *   const pacer = yield* Pacer.Pacer
 *   yield* complete("fine").pipe(
 *     Effect.tap((reply) => Pacer.settle({ tokens: reply.usage })),
 *     Pacer.withPacer(pacer, { tokens: 4000 })
 *   )
 *   const { balance } = yield* pacer.snapshot
 *   return balance["tokens"]
 * })
 *
 * const layer = Pacer.layerMemory({
 *   name: "model",
 *   limit: 500,
 *   window: "1 minute",
 *   rates: { tokens: { limit: 30_000, window: "1 minute", burst: 8000 } }
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(layer), Effect.provide(TestClock.layer()))) // => 7300
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as RateLimitHeaders from "@effect-resilience/errors/RateLimitHeaders"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as memoryLimiter from "./internal/memoryLimiter.ts"
import type { Cost, PaceExceeded, Snapshot } from "./internal/pacing.ts"
import * as pacing from "./internal/pacing.ts"
import { rateFields } from "./internal/rate.ts"
import { storeFields } from "./internal/storeFields.ts"
import * as turns from "./internal/turns.ts"
import * as Outcome from "./Outcome.ts"

export type { Cost, Reservation, Snapshot } from "./internal/pacing.ts"
export { CurrentReservation, PaceExceeded } from "./internal/pacing.ts"

/**
 * A pacer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pacer extends Policy.Policy<PaceExceeded, Snapshot> {
  /** Runs an effect when it is its turn, at a cost; default that of `withCost`, else that of the options. */
  execute<A, E, R>(self: Effect.Effect<A, E, R>, cost?: Cost): Effect.Effect<A, E | PaceExceeded, R>
  /** Holds all calls back for this duration. A shorter pause than the present one changes nothing. */
  pause(duration: Duration.Input): Effect.Effect<void>
}

/**
 * How to make a pacer.
 *
 * - `limit`, `window`: at most `limit` calls in each `window`.
 * - `burst`: how many may go at once after a quiet time, and the most that one call may cost; at least `cost`, and
 *   that by default.
 * - `cost`: how many a call counts for that does not say; default 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Rate {
  /** The name in errors and the limiter's key; default `"default"`. */
  readonly name?: string | undefined
  /**
   * What else is counted, by name: each with a `limit`, `window`, `burst` and `cost` of its own. `calls` is the name of the
   * rate above.
   */
  readonly rates?: { readonly [name: string]: Rate } | undefined
  /** How long a call waits for its turn at most; default: as long as its deadline allows. */
  readonly maxWait?: Duration.Input | undefined
  /** Caps the time that a server can ask for; default 1 minute. */
  readonly maxPause?: Duration.Input | undefined
  /** Whether calls go unpaced (`"allow"`) or fail (`"fail"`) while the limiter's store cannot be reached; default `"allow"`. */
  readonly onStoreError?: "allow" | "fail" | undefined
  /**
   * How long the store may take to respond before that decides, beside `maxWait`; default 1 second. See `StoreTimeout`: a store
   * that was silent is asked again once in a while, and holds no other call up.
   */
  readonly storeTimeout?: Duration.Input | undefined
  /** What an exit says about the server; default `Outcome.of`. Only its `retryAfter` is read. */
  readonly classify?: Outcome.Classify | undefined
}

/**
 * A rate: at most `limit` in each `window`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rate {
  readonly limit: number
  readonly window: Duration.Input
  /** How many may go at once after a quiet time, and the most that one call may cost; at least `cost`, and that by default. */
  readonly burst?: number | undefined
  /** How many a call counts for that does not say; default 1. */
  readonly cost?: number | undefined
}

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  ...rateFields,
  rates: /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.record(/* @__PURE__ */ Field.struct(rateFields)), {}),
    (rates, path) => {
      requireArgument(!("calls" in rates), path, "named otherwise than calls, which the pacer itself counts", "calls")
      return rates
    }
  ),
  maxWait: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "Infinity"),
  maxPause: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ finite: true }), "1 minute"),
  ...storeFields,
  classify: Outcome.field
} satisfies Field.Fields<Options>

/**
 * Makes a pacer. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Pacer, never, RateLimiter.RateLimiter> => {
  const read = Field.read("Pacer", fields, options)
  const settings = settingsOf(read)
  return Effect.map(RateLimiter.RateLimiter, (limiter) => new turns.Turns(settings, read.name, read.name, limiter))
}

/**
 * Makes a pacer for each key, which is its name; the limiter's keys begin with the `name` of the options.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. A pacer with calls that wait is never forgotten.
 *
 * @category constructors
 * @stability rests on effect/persistence
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
      make: (key) => new turns.Turns(settings, key, `${read.name}:${key}`, limiter),
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
  .../* @__PURE__ */ Policy.noop<Snapshot>({ waiting: 0, pausedFor: Duration.zero, balance: {}, rejected: 0 }),
  pause: () => Effect.void
}

/**
 * Runs an effect when it is its turn. Throws `RangeError` for a cost that makes no sense, or is that of another rate than the
 * pacer's own.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPacer: {
  (pacer: Pacer, cost?: Cost): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | PaceExceeded, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, pacer: Pacer, cost?: Cost): Effect.Effect<A, E | PaceExceeded, R>
} = /* @__PURE__ */ dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(self: Effect.Effect<A, E, R>, pacer: Pacer, cost?: Cost) =>
    pacer.execute(self, cost === undefined ? cost : pacing.checkCost(cost))
)

/**
 * Says what the calls inside an effect cost, for pacers that are not at hand there, such as that of a pipeline. A pacer reads
 * the rates that it has.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withCost: {
  (cost: Cost): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, cost: Cost): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, cost: Cost) =>
    Effect.provideService(self, pacing.CurrentCost, pacing.checkCost(cost))
)

/**
 * Tells the innermost pacer around the running call what it really costs; see `Reservation`. Outside of one, and inside a
 * call of a pacer with one rate whose cost was not stated, it does nothing. A response that is read after the call has ended
 * keeps its `CurrentReservation` for that.
 *
 * @category feedback
 * @since 0.1.0
 */
export const settle = (cost: Cost): Effect.Effect<void> =>
  Effect.withFiber((fiber) => fiber.getRef(pacing.CurrentReservation)?.settle(cost) ?? Effect.void)

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
 * @stability rests on effect/persistence
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
 * @stability rests on effect/persistence
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

const settingsOf = (settings: Field.Settings<typeof fields>): turns.Settings => ({
  rates: [["calls", settings], ...Object.entries(settings.rates)],
  maxWaitMillis: Duration.toMillis(settings.maxWait),
  maxPauseMillis: Duration.toMillis(settings.maxPause),
  onStoreError: settings.onStoreError,
  within: StoreTimeout.make(settings.storeTimeout),
  classify: settings.classify
})
