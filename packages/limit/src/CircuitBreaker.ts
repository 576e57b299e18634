/**
 * Stops calling a dependency that is failing, and finds out by itself when it is back.
 *
 * **Why**
 *
 * Calls to a server that is down cost both sides: callers wait for timeouts, and the server meets its restart with all
 * the load that piled up. A breaker that has seen enough failures answers at once, lets a few probes through after a
 * while, and closes when they succeed.
 *
 * **Details**
 *
 * - Closed: calls run; every `TripPolicy` decides after each outcome whether the circuit opens.
 * - Open: calls fail with `CircuitOpen`, which says when to come back. The open time follows a `Backoff` that grows with
 *   each opening in a row, and a failure's `retryAfter` extends it.
 * - HalfOpen: at most `probes` calls run, the others are refused. All of them succeeding closes the circuit, one
 *   failing reopens it, an interrupted one frees its place.
 * - Isolated: opened by hand with `isolate`, until `reset`.
 *
 * What counts as a failure is decided by the error's `Recovery`: a 404 shows a server in good health, a refusal of
 * another policy shows nothing. See `Outcome`.
 *
 * The words are those of `effect/persistence/CircuitBreaker`. That one keeps its state in a store; `SharedCircuitBreaker`
 * puts it behind this interface for processes that share a circuit. This one lives in one process and costs about as
 * much as one `Effect.onExit`.
 *
 * **Gotchas**
 *
 * - Put a timeout inside the breaker. One outside interrupts the call, and an interruption says nothing.
 * - Put retries outside, so that each attempt counts, and they stop when the circuit opens.
 * - A call admitted before a transition changes nothing when it ends after it.
 * - The same `CircuitOpen` is handed to all calls refused within a millisecond. Its stack trace is that of the first.
 *
 * **Example** (A circuit that opens and closes again)
 *
 * ```ts import.meta.vitest
 * import { CircuitBreaker } from "@effect-resilience/limit"
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({
 *     tripPolicy: CircuitBreaker.consecutive(2),
 *     openDuration: "30 seconds"
 *   })
 *   const down = Effect.fail("no answer").pipe(CircuitBreaker.withCircuitBreaker(breaker))
 *   const up = Effect.succeed("an answer").pipe(CircuitBreaker.withCircuitBreaker(breaker))
 *
 *   yield* Effect.flip(down)
 *   yield* Effect.flip(down)
 *   const refused = yield* Effect.flip(up)
 *   yield* TestClock.adjust("30 seconds")
 *   return [refused.message, yield* up, (yield* breaker.state)._tag]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(TestClock.layer())))
 * // => ["The circuit \"default\" is open. Try again in 30s.", "an answer", "Closed"]
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import * as circuit from "./internal/circuit.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"

/**
 * A circuit breaker.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker {
  /** The name that errors, logs and transitions carry. */
  readonly key: string
  /** Runs an effect through the circuit. */
  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R>
  /** What the circuit does with the next call. */
  readonly state: Effect.Effect<State>
  /** Refuses every call until `reset`. */
  readonly isolate: Effect.Effect<void>
  /** Closes the circuit and forgets all it has counted. */
  readonly reset: Effect.Effect<void>
  /** Everything that happened to the circuit, for those who watch; `transitions` makes it a stream. */
  readonly hub: PubSub.PubSub<Transition>
}

/**
 * The state of a circuit. `retryAfter` is the rest of the open time; `consecutiveOpenings` counts openings without a
 * stable time in between; `probing` is how many probes are running.
 *
 * @category models
 * @since 0.1.0
 */
export type State =
  | { readonly _tag: "Closed"; readonly key: string }
  | {
    readonly _tag: "Open"
    readonly key: string
    readonly retryAfter: Duration.Duration
    readonly consecutiveOpenings: number
  }
  | {
    readonly _tag: "HalfOpen"
    readonly key: string
    readonly probing: number
    readonly consecutiveOpenings: number
  }
  | { readonly _tag: "Isolated"; readonly key: string }

/**
 * A change of state. `retryAfter` is how long the circuit stays open; only an opening has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transition {
  readonly key: string
  readonly from: State["_tag"]
  readonly to: State["_tag"]
  readonly retryAfter: Duration.Duration | undefined
  readonly consecutiveOpenings: number
}

/**
 * When a closed circuit opens. Made by `consecutive`, `rate`, `rateWithin` and `slow`; plain data.
 *
 * @category models
 * @since 0.1.0
 */
export type TripPolicy =
  | { readonly _tag: "Consecutive"; readonly failures: number }
  | { readonly _tag: "Rate"; readonly threshold: number; readonly minimumCalls: number; readonly size: number }
  | {
    readonly _tag: "RateWithin"
    readonly threshold: number
    readonly minimumCalls: number
    readonly within: Duration.Duration
  }
  | {
    readonly _tag: "Slow"
    readonly slowerThan: Duration.Duration
    readonly threshold: number
    readonly minimumCalls: number
    readonly size: number
  }

/**
 * How to make a circuit breaker.
 *
 * - `key`: the name in errors, logs and metrics; default `"default"`.
 * - `tripPolicy`: one or more; the first that is met opens the circuit. Default: half of the last 100 calls failed.
 * - `openDuration`: how long the circuit stays open, growing with each opening in a row where it is a `Backoff`; default
 *   5 seconds, doubling, with 20 % jitter, at most 1 minute.
 * - `maxOpenDuration`: caps the open time, whatever `retryAfter` a server names; default 1 hour.
 * - `probes`: how many calls must succeed before an open circuit closes, at most so many at once; default 1.
 * - `probeLease`: a probe that runs longer loses its place, so that one that never ends cannot keep the circuit half-open
 *   for ever; default 1 minute.
 * - `classify`: what an exit says about the dependency; default `Outcome.of`. Interruption is ignored without asking it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly key?: string | undefined
  readonly tripPolicy?: TripPolicy | ReadonlyArray<TripPolicy> | undefined
  readonly openDuration?: Duration.Input | Backoff.Backoff | undefined
  readonly maxOpenDuration?: Duration.Input | undefined
  readonly probes?: number | undefined
  readonly probeLease?: Duration.Input | undefined
  readonly classify?: ((exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome) | undefined
}

/**
 * The circuit did not let a call through.
 *
 * - `state`: why. `"Unknown"` comes from a `SharedCircuitBreaker` that fails closed and cannot read its store.
 * - `retryAfter`: the rest of the open time; unknown in the other states.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends Data.TaggedError("CircuitOpen")<{
  readonly key: string
  readonly state: "Open" | "HalfOpen" | "Isolated" | "Unknown"
  readonly retryAfter: Duration.Duration | undefined
}> {
  get [Rejection.symbol](): true {
    return true
  }
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    if (this.state === "Isolated") return Recovery.giveUp
    return this.retryAfter === undefined ? Recovery.retry : Recovery.retryAfter(this.retryAfter)
  }
  override get message(): string {
    switch (this.state) {
      case "Open":
        return `The circuit "${this.key}" is open. Try again in ${Duration.format(this.retryAfter ?? Duration.zero)}.`
      case "HalfOpen":
        return `The circuit "${this.key}" is half-open and its probes are under way. Try again later.`
      case "Isolated":
        return `The circuit "${this.key}" is isolated by hand. Wait for its reset.`
      case "Unknown":
        return `The state of the circuit "${this.key}" cannot be read. Try again later.`
    }
  }
}

/**
 * Opens after so many failures without a success between them, in order of completion.
 *
 * @category trip policies
 * @since 0.1.0
 */
export const consecutive = (failures: number): TripPolicy => {
  if (!Number.isInteger(failures) || failures < 1) {
    throw new RangeError(`CircuitBreaker.consecutive: failures must be an integer of at least 1, not ${failures}`)
  }
  return { _tag: "Consecutive", failures }
}

/**
 * Opens when a share of the last `size` calls failed.
 *
 * - `threshold`: the share, from 0 to 1; default 0.5.
 * - `size`: how many calls to look back on; default 100.
 * - `minimumCalls`: judges only with so many calls; default `size`.
 *
 * @category trip policies
 * @since 0.1.0
 */
export const rate = (options: {
  readonly threshold?: number | undefined
  readonly size?: number | undefined
  readonly minimumCalls?: number | undefined
} = {}): TripPolicy => ({ _tag: "Rate", ...countWindow("rate", options) })

/**
 * Opens when a share of the calls of the last while failed.
 *
 * - `within`: how far to look back, to a tenth of it; default 10 seconds.
 * - `threshold`: the share, from 0 to 1; default 0.5.
 * - `minimumCalls`: judges only with so many calls; default 10.
 *
 * @category trip policies
 * @since 0.1.0
 */
export const rateWithin = (options: {
  readonly within?: Duration.Input | undefined
  readonly threshold?: number | undefined
  readonly minimumCalls?: number | undefined
} = {}): TripPolicy => {
  const within = Duration.fromInputUnsafe(options.within ?? "10 seconds")
  const minimumCalls = options.minimumCalls ?? 10
  if (!Duration.isFinite(within) || Duration.toMillis(within) < 10) {
    throw new RangeError(
      `CircuitBreaker.rateWithin: within must be finite and at least 10 millis, not ${Duration.format(within)}`
    )
  }
  if (!Number.isInteger(minimumCalls) || minimumCalls < 1) {
    throw new RangeError(
      `CircuitBreaker.rateWithin: minimumCalls must be an integer of at least 1, not ${minimumCalls}`
    )
  }
  return { _tag: "RateWithin", within, minimumCalls, threshold: share("rateWithin", options.threshold) }
}

/**
 * Opens when a share of the last `size` calls took longer than `slowerThan`, whether they succeeded or failed. A slow
 * probe counts as failed.
 *
 * - `threshold`: the share, from 0 to 1; default 0.5.
 * - `size`: how many calls to look back on; default 100.
 * - `minimumCalls`: judges only with so many calls; default `size`.
 *
 * @category trip policies
 * @since 0.1.0
 */
export const slow = (options: {
  readonly slowerThan: Duration.Input
  readonly threshold?: number | undefined
  readonly size?: number | undefined
  readonly minimumCalls?: number | undefined
}): TripPolicy => {
  const slowerThan = Duration.fromInputUnsafe(options.slowerThan)
  if (!Duration.isFinite(slowerThan) || Duration.isNegative(slowerThan)) {
    throw new RangeError(`CircuitBreaker.slow: slowerThan must be finite, not ${Duration.format(slowerThan)}`)
  }
  return { _tag: "Slow", slowerThan, ...countWindow("slow", options) }
}

/**
 * Makes a circuit breaker. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CircuitBreaker> => {
  const settings = settingsOf(options, false)
  return Effect.map(hub, (hub) => circuit.make(settings, settings.key, hub))
}

/**
 * Makes a breaker for each key. They share the options and, for those who watch, the transitions.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. An open circuit is forgotten like a closed one, and
 *   its key starts afresh; one that is isolated, or that a probe is testing, is not.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Options & { readonly capacity?: number | undefined } = {}
): Effect.Effect<KeyedCircuitBreaker> => {
  const settings = settingsOf(options, true)
  const capacity = Keyed.capacityOf(options)
  return Effect.map(hub, (hub) => {
    const circuits = Keyed.make({
      capacity,
      make: (key) => circuit.make(settings, key, hub),
      isIdle: circuit.isIdle
    })
    return {
      hub,
      get: circuits.get,
      get size() {
        return circuits.size
      }
    }
  })
}

/**
 * Circuit breakers by key.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyedCircuitBreaker extends Keyed.Keyed<CircuitBreaker> {
  /** What happened to any of the circuits; `transitions` makes it a stream. */
  readonly hub: PubSub.PubSub<Transition>
}

/**
 * A breaker that never opens.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: Effect.Effect<CircuitBreaker> = /* @__PURE__ */ Effect.suspend(() =>
  Effect.map(hub, (hub) => ({
    key: "noop",
    hub,
    execute: (self) => self,
    state: Effect.succeed<State>({ _tag: "Closed", key: "noop" }),
    isolate: Effect.void,
    reset: Effect.void
  }))
)

/**
 * Runs an effect through a circuit breaker.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withCircuitBreaker: {
  (breaker: CircuitBreaker): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CircuitOpen, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, breaker: CircuitBreaker): Effect.Effect<A, E | CircuitOpen, R>
} = /* @__PURE__ */ dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, breaker: CircuitBreaker) => breaker.execute(self))

/**
 * The changes of state from now on, of one circuit or of all circuits of a keyed breaker. A reader that falls more than
 * 128 transitions behind loses the oldest.
 *
 * @category observing
 * @since 0.1.0
 */
export const transitions = (self: CircuitBreaker | KeyedCircuitBreaker): Stream.Stream<Transition> => {
  const all = Stream.fromPubSub(self.hub)
  return "key" in self ? Stream.filter(all, (transition) => transition.key === self.key) : all
}

/**
 * Counts transitions, with the attributes `resilience.policy` (the `key` of the options), `resilience.from` and
 * `resilience.to`.
 *
 * @category observing
 * @since 0.1.0
 */
export const transitionsTotal: Metric.Counter<number> = circuit.transitionsTotal

/**
 * The service for programs that have one breaker.
 *
 * @category services
 * @since 0.1.0
 */
export const CircuitBreaker: Context.Service<CircuitBreaker, CircuitBreaker> = /* @__PURE__ */ Context.Service<
  CircuitBreaker
>(
  "@effect-resilience/limit/CircuitBreaker"
)

/**
 * Provides a circuit breaker.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<CircuitBreaker> => Layer.effect(CircuitBreaker, make(options))

/**
 * Provides a breaker that never opens.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<CircuitBreaker> = /* @__PURE__ */ Layer.effect(CircuitBreaker, noop)

const hub = /* @__PURE__ */ PubSub.sliding<Transition>(128)

const defaultOpenDuration = /* @__PURE__ */ Backoff.exponential({ base: "5 seconds", cap: "1 minute", jitter: 0.2 })

const settingsOf = (options: Options, keyed: boolean): circuit.Settings => {
  const { classify = Outcome.of, key = "default", openDuration = defaultOpenDuration, probes = 1 } = options
  const tripPolicies = policiesOf(options.tripPolicy ?? rate())
  if (!Number.isInteger(probes) || probes < 1) {
    throw new RangeError(`CircuitBreaker: probes must be an integer of at least 1, not ${probes}`)
  }
  if (tripPolicies.length === 0) throw new RangeError("CircuitBreaker: without a trip policy it would never open")
  const backoff = Predicate.hasProperty(openDuration, "factor")
    ? Backoff.exponential(openDuration)
    : Backoff.constant(openDuration)
  return {
    key,
    keyed,
    classify,
    probes,
    backoff,
    classifiesSuccess: options.classify !== undefined,
    tripPolicies,
    timed: tripPolicies.some((policy) => policy._tag === "Slow" || policy._tag === "RateWithin"),
    ignoresFirstSuccesses: tripPolicies.every((policy) => policy._tag === "Consecutive"),
    slowMillis: Math.min(
      ...tripPolicies.map((policy) => policy._tag === "Slow" ? Duration.toMillis(policy.slowerThan) : Infinity)
    ),
    maxOpenMillis: millisAtLeast(0, "maxOpenDuration", options.maxOpenDuration ?? "1 hour"),
    probeLeaseMillis: millisAtLeast(1, "probeLease", options.probeLease ?? "1 minute"),
    refuse: (key, state, retryAfter) => new CircuitOpen({ key, state, retryAfter })
  }
}

const millisAtLeast = (least: number, option: string, input: Duration.Input): number => {
  const duration = Duration.fromInputUnsafe(input)
  const millis = Duration.toMillis(duration)
  if (millis >= least) return millis
  throw new RangeError(`CircuitBreaker: ${option} must be at least ${least} millis, not ${Duration.format(duration)}`)
}

const policiesOf = (policies: TripPolicy | ReadonlyArray<TripPolicy>): ReadonlyArray<TripPolicy> =>
  "_tag" in policies ? [policies] : policies

const share = (constructor: string, threshold = 0.5): number => {
  if (!(threshold >= 0 && threshold <= 1)) {
    throw new RangeError(`CircuitBreaker.${constructor}: threshold must be from 0 to 1, not ${threshold}`)
  }
  return threshold
}

const countWindow = (constructor: string, options: {
  readonly threshold?: number | undefined
  readonly size?: number | undefined
  readonly minimumCalls?: number | undefined
}) => {
  const { size = 100, minimumCalls = size } = options
  if (!Number.isInteger(size) || size < 1) {
    throw new RangeError(`CircuitBreaker.${constructor}: size must be an integer of at least 1, not ${size}`)
  }
  if (!Number.isInteger(minimumCalls) || minimumCalls < 1 || minimumCalls > size) {
    throw new RangeError(
      `CircuitBreaker.${constructor}: minimumCalls must be an integer from 1 to ${size}, not ${minimumCalls}`
    )
  }
  return { threshold: share(constructor, options.threshold), size, minimumCalls }
}
