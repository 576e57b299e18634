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
 *   opens again when one fails, or a share of them (`probeThreshold`). An interrupted probe frees its place.
 * - Partial: a share of the calls is rejected, by chance: while a `ramp` is under way, and where the trip policy
 *   `proportional` says so. Otherwise it is as a closed circuit, which it continues.
 * - Isolated: opened by hand with `isolate`, until all who did so release it.
 * - MetricsOnly, ForcedClosed: by `mode` or by hand. The first counts all and rejects nothing: to try a breaker out.
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
 * @stability stable
 * @since 0.1.0
 */
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as circuit from "./internal/circuit.ts"
import type { Options } from "./internal/circuitOptions.ts"
import { fields, settingsOf } from "./internal/circuitOptions.ts"
import type { CircuitOpen, Isolation, Permit, Snapshot, Transition } from "./internal/circuitState.ts"
import * as circuitState from "./internal/circuitState.ts"
import type { Saved } from "./internal/savedCircuit.ts"
import * as savedCircuit from "./internal/savedCircuit.ts"

export { fields, type Options, type TripPolicy } from "./internal/circuitOptions.ts"
export {
  CircuitOpen,
  type Counts,
  type Isolation,
  type Opening,
  type Permit,
  type Snapshot,
  type Transition
} from "./internal/circuitState.ts"
export type { Ramp } from "./internal/ramp.ts"
export type { Saved } from "./internal/savedCircuit.ts"
export type { WindowCounts } from "./internal/tripRule.ts"
export * from "./tripRule/index.ts"

/**
 * A circuit breaker, of one process or shared by many.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker extends Policy.Policy<CircuitOpen, Snapshot> {
  /**
   * Takes the right to make one call, for code that is no effect: a socket, a callback. `acquireScoped` gives it back by
   * itself. A permit of a half-open circuit that is never settled loses its place after `probeLease`.
   */
  readonly tryAcquire: Effect.Effect<Permit, CircuitOpen>
  /** Rejects every call until all handles are released, or until `reset`. */
  readonly isolate: Effect.Effect<Isolation>
  /** Forgets all that was counted, ends all isolations, and goes to the state of the options: closed. */
  readonly reset: Effect.Effect<void>
  /** Where the circuit publishes its transitions; absent where it has none. `transitions` makes a stream of it. */
  readonly hub: PubSub.PubSub<Transition> | undefined
}

/**
 * A circuit breaker whose state is in this process.
 *
 * @category models
 * @since 0.1.0
 */
export interface LocalCircuitBreaker extends CircuitBreaker {
  /**
   * Goes to a state by hand, from any other; the growing of open times begins anew unless it opens. An isolation stays: the
   * state is what comes after it.
   *
   * `"MetricsOnly"` and `"ForcedClosed"` stay until the next command; the other states go on by themselves.
   */
  transitionTo(state: "Closed" | "Open" | "HalfOpen" | "MetricsOnly" | "ForcedClosed"): Effect.Effect<void>
  /** Takes other options and counts afresh, closed. What was set by hand stays. Throws `RangeError` where they make no sense. */
  reload(options: Options): Effect.Effect<void>
  /** The state as data, for a process that starts where this one ends. */
  readonly save: Effect.Effect<Saved>
  /**
   * Goes to a state that was saved, as it would be by now. What was set by hand or by `mode` stays. Throws `RangeError` where
   * the data makes no sense.
   */
  restore(saved: Saved): Effect.Effect<void>
}

/**
 * Makes a circuit breaker. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<LocalCircuitBreaker> => {
  const settings = settingsOf(Field.read("CircuitBreaker", fields, options))
  return Effect.map(hub, (hub) => new Local(settings, settings.name, hub))
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
      make: (key) => new Local(settings, key, hub),
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
export interface KeyedCircuitBreaker extends Keyed.Keyed<LocalCircuitBreaker> {
  /** Where all circuits publish their transitions; `transitions` makes a stream of it. */
  readonly hub: PubSub.PubSub<Transition>
}

/**
 * A breaker that never opens.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noop: CircuitBreaker = /* @__PURE__ */ Object.assign(
  /* @__PURE__ */ Policy.noop<Snapshot>({ _tag: "Closed", rejected: 0, buffered: 0, failureRate: 0, slowRate: 0 }),
  {
    tryAcquire: /* @__PURE__ */ Effect.succeed<Permit>({
      record: () => Effect.void,
      recordUnsafe: () => {},
      release: Effect.void
    }),
    isolate: /* @__PURE__ */ Effect.succeed<Isolation>({ release: Effect.void }),
    reset: Effect.void,
    hub: undefined
  }
)

/**
 * Runs an effect through a circuit breaker.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withCircuitBreaker: Policy.Combinator<CircuitBreaker, CircuitOpen> = Policy.withPolicy

/**
 * `tryAcquire` for a scope, which gives the permit back unless its holder has recorded how the call ended.
 *
 * **Example** (A socket behind a breaker)
 *
 * ```ts import.meta.vitest
 * import { CircuitBreaker } from "@effect-resilience/limit"
 * import { Effect, Exit } from "effect"
 * import { EventEmitter } from "node:events"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
 *   yield* Effect.scoped(Effect.gen(function*() {
 *     const permit = yield* CircuitBreaker.acquireScoped(breaker)
 *     const socket = new EventEmitter()
 *     socket.on("error", (error) => permit.recordUnsafe(Exit.fail(error)))
 *     socket.emit("error", new Error("ECONNRESET"))
 *   }))
 *   return (yield* breaker.snapshot)._tag
 * })
 *
 * await Effect.runPromise(program) // => "Open"
 * ```
 *
 * @category permits
 * @since 0.1.0
 */
export const acquireScoped = (self: CircuitBreaker): Effect.Effect<Permit, CircuitOpen, Scope.Scope> =>
  Effect.acquireRelease(self.tryAcquire, ({ release }) => release)

/**
 * Keeps a circuit isolated as long as a scope is open.
 *
 * @category permits
 * @since 0.1.0
 */
export const isolateScoped = (self: CircuitBreaker): Effect.Effect<Isolation, never, Scope.Scope> =>
  Effect.acquireRelease(self.isolate, ({ release }) => release)

/**
 * Tells a breaker whose state is in this process from one that shares it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isLocal = (self: CircuitBreaker): self is LocalCircuitBreaker => "restore" in self

/**
 * A state that was saved as an option of something else. `FieldCodec.schema` of `@effect-resilience/kernel` makes a schema of
 * it.
 *
 * @category fields
 * @since 0.1.0
 */
export const saved: Field.Field<Saved, Saved> = savedCircuit.saved

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
export const transitionsTotal: Metric.Counter<number> = circuitState.transitionsTotal

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

class Local extends circuit.Circuit implements LocalCircuitBreaker {
  reload(options: Options): Effect.Effect<void> {
    return this.change(settingsOf(Field.read("CircuitBreaker", fields, options)))
  }
}
