/**
 * A circuit breaker whose state several processes share.
 *
 * **Details**
 *
 * It is `effect/persistence/CircuitBreaker` behind the interface of `CircuitBreaker`, so a program changes from one to the
 * other by a layer. Where the state lives is decided by that module's store: `layerStoreRedis` or `layerStoreMemory`.
 *
 * Each call asks the store twice, so it costs what Redis costs, and ten times a local breaker even in memory. It has one
 * probe, and trips on `consecutive` and `rate` only.
 *
 * **Gotchas**
 *
 * - Not in the package's index, so that whoever needs a local breaker only loads no `Schema`: import it from
 *   `@effect-resilience/limit/SharedCircuitBreaker`.
 * - `isolate` and `reset` act on this process: a reset ends an isolation, and leaves the shared state alone.
 * - All processes have to use the same options for a key.
 * - With `NodeRedis` set `disableOfflineQueue: true`: otherwise calls wait for `storeTimeout` when Redis is down, instead of
 *   not at all.
 * - A call that is interrupted while it waits for the store goes on waiting, for `storeTimeout` at most.
 *
 * **Example** (The shared breaker instead of the local one)
 *
 * ```ts import.meta.vitest
 * import { CircuitBreaker } from "@effect-resilience/limit"
 * import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
 * import { Effect, Layer } from "effect"
 * import { CircuitBreaker as Store } from "effect/persistence"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.CircuitBreaker
 *   yield* Effect.fail("no answer").pipe(CircuitBreaker.withCircuitBreaker(breaker), Effect.ignore)
 *   return (yield* breaker.state)._tag
 * })
 *
 * const layer = SharedCircuitBreaker.layer({ key: "ledger", tripPolicy: CircuitBreaker.consecutive(1) })
 * await Effect.runPromise(program.pipe(Effect.provide(Layer.provide(layer, Store.layerStoreMemory())))) // => "Open"
 * ```
 *
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import type * as Timeout from "@effect-resilience/deadline/Timeout"
import type * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Backoff from "@effect-resilience/retry/Backoff"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Store from "effect/persistence/CircuitBreaker"
import * as Predicate from "effect/Predicate"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import * as circuit from "./internal/circuit.ts"
import * as Outcome from "./Outcome.ts"

/**
 * How to make a shared circuit breaker: as a local one, but for
 *
 * - `tripPolicy`: made by `CircuitBreaker.consecutive` or `CircuitBreaker.rate`; default half of the last 100 calls failed.
 * - `onStoreError`: whether calls pass (`"allow"`) or are refused (`"fail"`) while the store cannot be reached; default
 *   `"allow"`.
 * - `storeTimeout`: how long the store may take to respond before that decides; default 1 second. See `StoreTimeout`: a store
 *   that was silent is asked again once in a while, and holds no other call up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options
  extends Pick<CircuitBreaker.Options, "key" | "openDuration" | "maxOpenDuration" | "classify" | "tripPolicy">
{
  readonly onStoreError?: "allow" | "fail" | undefined
  readonly storeTimeout?: Duration.Input | undefined
}

/**
 * Makes a shared circuit breaker. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<CircuitBreaker.CircuitBreaker, never, Store.CircuitBreakerStore | Scope.Scope> => {
  const key = options.key ?? "default"
  return Effect.map(keyed(options), (circuits) => circuits.get(key))
}

/**
 * Makes a shared circuit breaker for each key. Nothing is held here, so there is no capacity; an isolation is forgotten
 * with the instance that was isolated.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Options = {}
): Effect.Effect<
  Pick<Keyed.Keyed<CircuitBreaker.CircuitBreaker>, "get">,
  never,
  Store.CircuitBreakerStore | Scope.Scope
> => {
  const { classify = Outcome.of, key: name = "default", openDuration = defaultOpenDuration } = options
  const settings = {
    tripPolicy: storePolicy(options.tripPolicy ?? CircuitBreaker.rate()),
    openDuration: Predicate.hasProperty(openDuration, "factor") ? toSchedule(openDuration) : openDuration,
    maxOpenDuration: options.maxOpenDuration,
    onStoreError: options.onStoreError
  }
  const within = StoreTimeout.make(options.storeTimeout ?? "1 second")
  return Effect.gen(function*() {
    const surrounding = yield* Store.CircuitBreakerStore
    const store = yield* Effect.provideService(
      Store.make(settings),
      Store.CircuitBreakerStore,
      bounded(surrounding, within)
    )
    const hub = yield* PubSub.sliding<CircuitBreaker.Transition>(128)
    yield* store.transitions.pipe(
      Stream.map(translate),
      Stream.runForEach((transition) => {
        const { from, to } = transition
        const total = Metric.withAttributes(CircuitBreaker.transitionsTotal, circuit.attributesOf(name, from, to))
        return Effect.andThen(Metric.update(total, 1), PubSub.publish(hub, transition))
      }),
      Effect.forkScoped({ startImmediately: true })
    )
    return { get: (key) => new Shared(key, hub, store, classify) }
  })
}

/**
 * Provides `CircuitBreaker` on the surrounding store.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<CircuitBreaker.CircuitBreaker, never, Store.CircuitBreakerStore> =>
  Layer.effect(CircuitBreaker.CircuitBreaker, make(options))

// `execute` runs its store where nothing can interrupt it.
const bounded = (
  { admit, record, state }: Store.CircuitBreakerStore["Service"],
  within: StoreTimeout.StoreTimeout
): Store.CircuitBreakerStore["Service"] => {
  const call = <A, R>(call: Effect.Effect<A, Store.CircuitBreakerError, R>) =>
    Effect.catchTag(within(call), "TimedOut", silent)
  return {
    admit: (key) => call(admit(key)),
    record: (outcome) => call(record(outcome)),
    state: (key) => call(state(key))
  }
}

const silent = (cause: Timeout.TimedOut) => {
  const message = `The store of the circuits ${cause.message}`
  return Effect.fail(
    new Store.CircuitBreakerError({ reason: new Store.CircuitBreakerStoreError({ message, cause }) })
  )
}

class Shared implements CircuitBreaker.CircuitBreaker {
  readonly key: string
  readonly hub: PubSub.PubSub<CircuitBreaker.Transition>
  private readonly store: Store.CircuitBreaker
  private readonly classify: (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome
  private isolated = false

  constructor(
    key: string,
    hub: PubSub.PubSub<CircuitBreaker.Transition>,
    store: Store.CircuitBreaker,
    classify: (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome
  ) {
    this.key = key
    this.hub = hub
    this.store = store
    this.classify = classify
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitBreaker.CircuitOpen, R> {
    const { classify, key } = this
    return Effect.suspend((): Effect.Effect<A, E | CircuitBreaker.CircuitOpen, R> => {
      if (this.isolated) return Effect.fail(refusal(key, "Isolated", undefined))
      // Once the effect runs, an error of this kind is its own: that of another breaker inside.
      let began = false
      const run = Effect.suspend(() => {
        began = true
        return self
      })
      const guarded: Effect.Effect<A, E | Store.CircuitBreakerError, R> = this.store.execute(run, { key, classify })
      return Effect.catchIf(
        guarded,
        (error): error is Store.CircuitBreakerError => !began && error instanceof Store.CircuitBreakerError,
        (error) => Effect.fail(refusalOf(key, error))
      )
    })
  }

  /** The shared state; `Closed` while the store does not answer. */
  get state(): Effect.Effect<CircuitBreaker.State> {
    const { key } = this
    return Effect.suspend(() => {
      if (this.isolated) return Effect.succeed<CircuitBreaker.State>({ _tag: "Isolated", key })
      return Effect.match(this.store.state(key), {
        onFailure: (): CircuitBreaker.State => ({ _tag: "Closed", key }),
        onSuccess: (state): CircuitBreaker.State =>
          state._tag === "HalfOpen"
            ? { _tag: "HalfOpen", key, probing: state.probing ? 1 : 0, consecutiveOpenings: state.consecutiveOpenings }
            : state
      })
    })
  }

  get isolate(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.isolated = true
    })
  }

  get reset(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.isolated = false
    })
  }
}

const refusal = (
  key: string,
  state: CircuitBreaker.CircuitOpen["state"],
  retryAfter: Duration.Duration | undefined
) => new CircuitBreaker.CircuitOpen({ key, state, retryAfter })

const refusalOf = (key: string, { reason }: Store.CircuitBreakerError): CircuitBreaker.CircuitOpen => {
  switch (reason._tag) {
    case "CircuitOpen":
      return refusal(key, "Open", reason.retryAfter)
    case "CircuitHalfOpen":
      return refusal(key, "HalfOpen", undefined)
    case "CircuitBreakerStoreError":
      return refusal(key, "Unknown", undefined)
  }
}

const translate = (transition: Store.Transition): CircuitBreaker.Transition => ({
  key: transition.key,
  from: transition.from,
  to: transition.to,
  retryAfter: transition.to === "Open" ? transition.retryAfter : undefined,
  consecutiveOpenings: transition.to === "Open" ? transition.consecutiveOpenings : 0
})

const defaultOpenDuration = /* @__PURE__ */ Backoff.exponential({ base: 5000, cap: 60_000, jitter: 0.2 })

const storePolicy = (policy: NonNullable<Options["tripPolicy"]>): Store.TripPolicy => {
  const policies = "_tag" in policy ? [policy] : policy
  const [first] = policies
  if (policies.length === 1 && (first?._tag === "Consecutive" || first?._tag === "Rate")) return first
  throw new RangeError("SharedCircuitBreaker: tripPolicy must be one made by consecutive or by rate")
}

const toSchedule = (backoff: Backoff.Backoff): Schedule.Schedule<number> =>
  Schedule.fromStep(Effect.withFiber((fiber) => {
    const random = fiber.getRef(Random.Random)
    const next = Backoff.delays(backoff, () => random.nextDoubleUnsafe())
    let opening = 0
    return Effect.succeed(() => Effect.sync((): [number, Duration.Duration] => [++opening, next()]))
  }))
