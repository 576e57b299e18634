/**
 * Stops calling a dependency that is failing, and finds out by itself when it is back.
 *
 * **Why**
 *
 * Calls to a server that is down cost both sides: callers wait for timeouts, and the server meets its restart with all
 * the load that piled up. A breaker that has seen enough failures rejects calls at once, lets a few probes through after a
 * while, and closes when they succeed.
 *
 * **Details**
 *
 * - Closed: calls run; each `TripPolicy` decides after each outcome whether the circuit opens.
 * - Open: calls fail with `CircuitOpen`, which says when to come back. The open time follows a `Backoff` that grows with
 *   each opening in a row, and a failure's `retryAfter` extends it.
 * - HalfOpen: at most `probes` calls run, the others are rejected. The circuit closes when all of them succeed and
 *   opens again when one fails. An interrupted probe frees its place.
 * - Isolated: opened by hand with `isolate`, until `reset`.
 *
 * What counts as a failure is decided by the error's `Recovery`: a 404 shows a server in good health, the rejection of
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
 * - Rejections within one millisecond share one `CircuitOpen`. Its stack trace is that of the first.
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
 *   const down = Effect.fail("no response").pipe(CircuitBreaker.withCircuitBreaker(breaker))
 *   const up = Effect.succeed("a response").pipe(CircuitBreaker.withCircuitBreaker(breaker))
 *
 *   yield* Effect.flip(down)
 *   yield* Effect.flip(down)
 *   const rejected = yield* Effect.flip(up)
 *   yield* TestClock.adjust("30 seconds")
 *   return [rejected.message, yield* up, (yield* breaker.snapshot)._tag]
 * })
 *
 * await Effect.runPromise(program.pipe(Effect.provide(TestClock.layer())))
 * // => ["The circuit \"default\" is open. Try again in 30s.", "a response", "Closed"]
 * ```
 *
 * @since 0.1.0
 */
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type { CircuitOpen, Snapshot, Transition } from "./internal/circuit.ts"
import * as circuit from "./internal/circuit.ts"
import * as Outcome from "./Outcome.ts"
import * as tripRules from "./tripRule/index.ts"

export { CircuitOpen, type Snapshot, type Transition } from "./internal/circuit.ts"
export * from "./tripRule/index.ts"

/**
 * A circuit breaker.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker extends Policy.Policy<CircuitOpen, Snapshot> {
  /** Rejects every call until `reset`. */
  readonly isolate: Effect.Effect<void>
  /** Closes the circuit and forgets all it has counted. */
  readonly reset: Effect.Effect<void>
  /** Where the circuit publishes its transitions; absent where it has none. `transitions` makes a stream of it. */
  readonly hub: PubSub.PubSub<Transition> | undefined
}

/**
 * When a closed circuit opens, as `consecutive`, `rate`, `rateWithin` and `slow` write it.
 *
 * @category models
 * @since 0.1.0
 */
export type TripPolicy = Field.OneOf<typeof tripRules>

/**
 * How to make a circuit breaker.
 *
 * - `name`: the name in errors, logs and metrics; default `"default"`.
 * - `tripPolicy`: one or more; the first that is met opens the circuit. Default: half of the last 100 calls failed.
 * - `openDuration`: how long the circuit stays open, growing with each opening in a row where it is a backoff; default
 *   5 seconds, doubling, with 20 % jitter, at most 1 minute.
 * - `maxOpenDuration`: caps the open time, whatever `retryAfter` a server names; default 1 hour.
 * - `probes`: how many calls must succeed before an open circuit closes, at most so many at once; default 1.
 * - `probeLease`: a probe that runs longer loses its place, so that one that never ends cannot keep the circuit half-open
 *   for ever; default 1 minute.
 * - `classify`: what an exit says about the dependency; default `Outcome.of`. It is not asked about interruptions, which
 *   are ignored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name?: string | undefined
  readonly tripPolicy?: TripPolicy | ReadonlyArray<TripPolicy> | undefined
  readonly openDuration?: Duration.Input | Backoff.Options | undefined
  readonly maxOpenDuration?: Duration.Input | undefined
  readonly probes?: number | undefined
  readonly probeLease?: Duration.Input | undefined
  readonly classify?: Outcome.Classify | undefined
}

const isBackoff = (value: unknown): boolean =>
  Predicate.isObject(value) && !Array.isArray(value) && !Duration.isDuration(value) &&
  Object.keys(value).every((name) => Object.hasOwn(Backoff.fields, name))

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name: Field.name,
  tripPolicy: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.oneOrMore(/* @__PURE__ */ Field.variants(tripRules)),
    { rate: {} }
  ),
  openDuration: /* @__PURE__ */ Field.withDefault(
    /* @__PURE__ */ Field.either(
      isBackoff,
      Backoff.field,
      /* @__PURE__ */ Field.map(
        /* @__PURE__ */ Field.duration(),
        (duration, path) => Backoff.field.read(Backoff.constant(duration), path)
      )
    ),
    { base: "5 seconds", cap: "1 minute", jitter: 0.2 }
  ),
  maxOpenDuration: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration(), "1 hour"),
  probes: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 1),
  probeLease: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ min: 1 }), "1 minute"),
  classify: Outcome.field
} satisfies Field.Fields<Options>

/**
 * Makes a circuit breaker. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<CircuitBreaker> => {
  const settings = settingsOf(Field.read("CircuitBreaker", fields, options))
  return Effect.map(hub, (hub) => new circuit.Circuit(settings, settings.name, hub))
}

/**
 * Makes a breaker for each key, which is its name. They share the options and, for observers, the transitions.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. An open circuit is forgotten like a closed one, and
 *   its key starts afresh; one that is isolated, or that a probe is testing, is not.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (options: Options & Keyed.Options = {}): Effect.Effect<KeyedCircuitBreaker> => {
  const { capacity, settings: read } = Keyed.read("CircuitBreaker", fields, options)
  const settings = settingsOf(read)
  return Effect.map(hub, (hub) => {
    const circuits = Keyed.make({
      capacity,
      make: (key) => new circuit.Circuit(settings, key, hub),
      isIdle: ({ isIdle }) => isIdle
    })
    return Object.assign(circuits, { hub })
  })
}

/**
 * Circuit breakers by key.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyedCircuitBreaker extends Keyed.Keyed<CircuitBreaker> {
  /** Where all circuits publish their transitions; `transitions` makes a stream of it. */
  readonly hub: PubSub.PubSub<Transition>
}

/**
 * A breaker that never opens.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: CircuitBreaker = {
  .../* @__PURE__ */ Policy.noop<Snapshot>({ _tag: "Closed", rejected: 0 }),
  isolate: Effect.void,
  reset: Effect.void,
  hub: undefined
}

/**
 * Runs an effect through a circuit breaker.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withCircuitBreaker: Policy.Combinator<CircuitBreaker, CircuitOpen> = Policy.withPolicy

/**
 * The changes of state from now on, of one circuit or of all circuits of a keyed breaker. A reader that falls more than
 * 128 transitions behind loses the oldest.
 *
 * @category observing
 * @since 0.1.0
 */
export const transitions = (self: CircuitBreaker | KeyedCircuitBreaker): Stream.Stream<Transition> => {
  if (self.hub === undefined) return Stream.never
  const all = Stream.fromPubSub(self.hub)
  return "name" in self ? Stream.filter(all, ({ policy }) => policy === self.name) : all
}

/**
 * Counts transitions, with the attributes `resilience.policy` (the `name` of the options), `resilience.from` and
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
export const layerNoop: Layer.Layer<CircuitBreaker> = /* @__PURE__ */ Layer.succeed(CircuitBreaker, noop)

const hub = /* @__PURE__ */ PubSub.sliding<Transition>(128)

const settingsOf = (settings: Field.Settings<typeof fields>): circuit.Settings => {
  const { maxOpenDuration, probeLease, tripPolicy } = settings
  return {
    ...settings,
    timed: tripPolicy.some(({ timed }) => timed),
    ignoresFirstSuccesses: tripPolicy.every(({ ignoresFirstSuccesses }) => ignoresFirstSuccesses),
    slowMillis: Math.min(...tripPolicy.map(({ slowMillis }) => slowMillis)),
    maxOpenMillis: Duration.toMillis(maxOpenDuration),
    probeLeaseMillis: Duration.toMillis(probeLease)
  }
}
