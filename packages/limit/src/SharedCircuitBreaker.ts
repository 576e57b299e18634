/**
 * A circuit breaker whose state several processes share.
 *
 * **Details**
 *
 * It is `effect/persistence/CircuitBreaker` behind the interface of `CircuitBreaker`, so a program changes from one to the
 * other by a layer. Where the state lives is decided by that module's store: `layerStoreRedis` or `layerStoreMemory`.
 *
 * Each call asks the store twice, so it costs what Redis costs, and ten times a local breaker even in memory. It has one
 * probe, and trips on `consecutive` and `rate` only. It has no ramp, no modes and no `openDurationOf`, its snapshot has no
 * counts but `rejected`, and there is nothing to save or restore: the store has the state. Only processes that share no
 * store need those; they are in `LocalCircuitBreaker`.
 *
 * **Gotchas**
 *
 * - Not in the package's index, since it loads `Schema`: import it from `@effect-resilience/limit/SharedCircuitBreaker`.
 * - `isolate` and `reset` act on this process: a reset ends its isolations, and leaves the shared state alone.
 * - A permit of `tryAcquire` costs a fiber until it is settled.
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
 *   yield* Effect.fail("no response").pipe(CircuitBreaker.withCircuitBreaker(breaker), Effect.ignore)
 *   return (yield* breaker.snapshot)._tag
 * })
 *
 * const layer = SharedCircuitBreaker.layer({ name: "ledger", tripPolicy: CircuitBreaker.consecutive(1) })
 * await Effect.runPromise(program.pipe(Effect.provide(Layer.provide(layer, Store.layerStoreMemory())))) // => "Open"
 * ```
 *
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import type * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Field from "@effect-resilience/kernel/Field"
import * as Keyed from "@effect-resilience/kernel/Keyed"
import * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Store from "effect/persistence/CircuitBreaker"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import { log, tell } from "./internal/circuitState.ts"
import { Holders } from "./internal/holders.ts"
import { storeFields } from "./internal/storeFields.ts"
import type * as Outcome from "./Outcome.ts"

/**
 * How to make a shared circuit breaker: as a local one, but for
 *
 * - `name`: also the key of the state in the store.
 * - `tripPolicy`: made by `CircuitBreaker.consecutive` or `CircuitBreaker.rate`; default half of the last 100 calls failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options
  extends Pick<CircuitBreaker.Options, "name" | "openDuration" | "maxOpenDuration" | "classify" | "tripPolicy">
{
  /** Whether calls pass (`"allow"`) or are rejected (`"fail"`) while the store cannot be reached; default `"allow"`. */
  readonly onStoreError?: "allow" | "fail" | undefined
  /**
   * How long the store may take to respond before that decides; default 1 second. See `StoreTimeout`: a store that was silent
   * is asked again once in a while, and holds no other call up.
   */
  readonly storeTimeout?: Duration.Input | undefined
}

const { classify, maxOpenDuration, name, openDuration, tripPolicy } = CircuitBreaker.fields

/**
 * The options as data.
 *
 * @category fields
 * @since 0.1.0
 */
export const fields = {
  name,
  tripPolicy: /* @__PURE__ */ Field.map(tripPolicy, (rules, path): Store.TripPolicy => {
    const [shared, ...more] = rules.map((rule) => rule.shared)
    if (shared !== undefined && more.length === 0) return shared
    throw new RangeError(`${path} must be one rule that a store can count, made by consecutive or by rate`)
  }),
  openDuration,
  maxOpenDuration,
  classify,
  ...storeFields
} satisfies Field.Fields<Options>

/**
 * Makes a shared circuit breaker. Throws `RangeError` where an option makes no sense.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Options = {}
): Effect.Effect<CircuitBreaker.CircuitBreaker, never, Store.CircuitBreakerStore | Scope.Scope> => {
  const settings = Field.read("SharedCircuitBreaker", fields, options)
  return Effect.map(makerOf(settings), (make) => make(settings.name))
}

/**
 * Makes a shared circuit breaker for each key, which is its name.
 *
 * - `capacity`: how many of the keys used last to hold; default 100,000. One that is isolated is never forgotten, and the state of
 *   the others is in the store.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keyed = (
  options: Options & Keyed.Options = {}
): Effect.Effect<
  Keyed.Keyed<CircuitBreaker.CircuitBreaker>,
  never,
  Store.CircuitBreakerStore | Scope.Scope
> => {
  const { capacity, settings } = Keyed.read("SharedCircuitBreaker", fields, options)
  return Effect.map(
    makerOf(settings),
    (make) => Keyed.make({ capacity, make, isIdle: ({ isIdle }) => isIdle })
  )
}

type Settings = Field.Settings<typeof fields>

const makerOf = /* @__PURE__ */ Effect.fnUntraced(function*(settings: Settings) {
  const { classify, maxOpenDuration, name, onStoreError, openDuration, tripPolicy } = settings
  const surrounding = yield* Store.CircuitBreakerStore
  const store = yield* Effect.provideService(
    Store.make({ tripPolicy, maxOpenDuration, onStoreError, openDuration: toSchedule(openDuration) }),
    Store.CircuitBreakerStore,
    bounded(surrounding, StoreTimeout.make(settings.storeTimeout))
  )
  const hub = yield* PubSub.sliding<CircuitBreaker.Transition>(128)
  yield* store.transitions.pipe(
    Stream.map(translate),
    Stream.runForEach((transition) => {
      const told = Effect.withFiber((fiber) => Effect.sync(() => tell(transition, name, fiber.context)))
      // Who hears of one may throw. The next one comes all the same.
      return Effect.andThen(
        Effect.ignoreCause(told, { log: "Error" }),
        Effect.andThen(PubSub.publish(hub, transition), log(transition))
      )
    }),
    Effect.forkScoped({ startImmediately: true })
  )
  const scope = yield* Effect.scope
  return (key: string) => new Shared(key, hub, store, classify, scope)
})

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

class Shared implements CircuitBreaker.CircuitBreaker, PolicyEvent.Rejecting {
  readonly name: string
  readonly kind = "CircuitBreaker"
  rejected = 0
  readonly admitUnsafe = undefined
  readonly hub: PubSub.PubSub<CircuitBreaker.Transition>
  private readonly store: Store.CircuitBreaker
  private readonly classify: Outcome.Classify
  private readonly scope: Scope.Scope
  private readonly holders = new Holders()

  constructor(
    name: string,
    hub: PubSub.PubSub<CircuitBreaker.Transition>,
    store: Store.CircuitBreaker,
    classify: Outcome.Classify,
    scope: Scope.Scope
  ) {
    this.name = name
    this.hub = hub
    this.store = store
    this.classify = classify
    this.scope = scope
  }

  get isIdle(): boolean {
    return this.holders.size === 0
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitBreaker.CircuitOpen, R> {
    const { classify, name: key } = this
    return Effect.suspend((): Effect.Effect<A, E | CircuitBreaker.CircuitOpen, R> => {
      if (this.holders.size > 0) return this.reject(rejection(key, "Isolated", undefined))
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
        (error) => this.reject(rejectionOf(key, error))
      )
    })
  }

  /** A fiber of its own makes the call, which ends when the permit is settled. */
  get tryAcquire(): Effect.Effect<CircuitBreaker.Permit, CircuitBreaker.CircuitOpen> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const began = Deferred.makeUnsafe<void, CircuitBreaker.CircuitOpen>()
        const ended = Deferred.makeUnsafe<unknown, unknown>()
        const call = this.execute(Effect.suspend(() => {
          Deferred.doneUnsafe(began, Exit.void)
          return Deferred.await(ended)
        }))
        return Effect.flatMap(
          Effect.forkIn(restore(call), this.scope, { startImmediately: true }),
          (fiber) => {
            // Also where the scope ends it, or has ended. Where the call began this changes nothing.
            fiber.addObserver((exit) => {
              if (Exit.isFailure(exit)) Deferred.doneUnsafe(began, exit as Exit.Exit<never, CircuitBreaker.CircuitOpen>)
            })
            const record = (exit: Exit.Exit<unknown, unknown>) =>
              Effect.andThen(Deferred.done(ended, exit), Effect.asVoid(Fiber.await(fiber)))
            const permit: CircuitBreaker.Permit = {
              record,
              recordUnsafe: (exit) => void Deferred.doneUnsafe(ended, exit),
              release: record(Policy.neverBegan)
            }
            return Effect.as(
              Effect.onInterrupt(restore(Deferred.await(began)), () => Fiber.interrupt(fiber)),
              permit
            )
          }
        )
      })
    )
  }

  /** The shared state; `Closed` while the store does not respond. */
  get snapshot(): Effect.Effect<CircuitBreaker.Snapshot> {
    return Effect.suspend(() => {
      const counts = { rejected: this.rejected, buffered: undefined, failureRate: undefined, slowRate: undefined }
      const { size: holders } = this.holders
      if (holders > 0) return Effect.succeed<CircuitBreaker.Snapshot>({ _tag: "Isolated", holders, ...counts })
      return Effect.match(this.store.state(this.name), {
        onFailure: (): CircuitBreaker.Snapshot => ({ _tag: "Closed", ...counts }),
        onSuccess: (state): CircuitBreaker.Snapshot => {
          switch (state._tag) {
            case "Closed":
              return { _tag: "Closed", ...counts }
            case "Open": {
              const { consecutiveOpenings, retryAfter } = state
              return { _tag: "Open", retryAfter, consecutiveOpenings, ...counts }
            }
            case "HalfOpen": {
              const { consecutiveOpenings, probing } = state
              return { _tag: "HalfOpen", probing: probing ? 1 : 0, consecutiveOpenings, ...counts }
            }
          }
        }
      })
    })
  }

  get isolate(): Effect.Effect<CircuitBreaker.Isolation> {
    return Effect.sync(() => this.holders.add(Effect.void))
  }

  get reset(): Effect.Effect<void> {
    return Effect.sync(() => this.holders.clear())
  }

  private reject(rejection: CircuitBreaker.CircuitOpen): Effect.Effect<never, CircuitBreaker.CircuitOpen> {
    return Effect.withFiber((fiber) => {
      PolicyEvent.rejectUnsafe(this, fiber.context, rejection.state)
      return Effect.fail(rejection)
    })
  }
}

const rejection = (
  policy: string,
  state: CircuitBreaker.CircuitOpen["state"],
  retryAfter: Duration.Duration | undefined
) => new CircuitBreaker.CircuitOpen({ policy, state, retryAfter })

const rejectionOf = (key: string, { reason }: Store.CircuitBreakerError): CircuitBreaker.CircuitOpen => {
  switch (reason._tag) {
    case "CircuitOpen":
      return rejection(key, "Open", reason.retryAfter)
    case "CircuitHalfOpen":
      return rejection(key, "HalfOpen", undefined)
    case "CircuitBreakerStoreError":
      return rejection(key, "Unknown", undefined)
  }
}

const translate = (transition: Store.Transition): CircuitBreaker.Transition => ({
  policy: transition.key,
  from: transition.from,
  to: transition.to,
  retryAfter: transition.to === "Open" ? transition.retryAfter : undefined,
  consecutiveOpenings: transition.to === "Open" ? transition.consecutiveOpenings : 0
})

const toSchedule = (settings: Backoff.Settings): Duration.Duration | Schedule.Schedule<number> => {
  const { backoff } = settings
  if (Backoff.isExponential(backoff) && backoff.factor === 1 && backoff.jitter === "none") {
    return Backoff.delays(settings, () => 0)()
  }
  return Schedule.fromStep(Effect.withFiber((fiber) => {
    const random = fiber.getRef(Random.Random)
    const next = Backoff.delays(settings, () => random.nextDoubleUnsafe())
    let opening = 0
    return Effect.succeed(() => Effect.sync((): [number, Duration.Duration] => [++opening, next()]))
  }))
}
