/**
 * Injects faults into calls, on and off while a program runs, the same ones for the same seed.
 *
 * **Details**
 *
 * A fault's decision depends on the seed, its name, the call's key and how many calls with that key came before, and on
 * nothing else: calls that run at once do not change each other's faults.
 *
 * The faults of one call are applied from the first (outermost) to the last. One that is not reached, because an outer one
 * failed the call, neither decides nor counts.
 *
 * Each fault that strikes leaves an event `chaos.fault` in the current span, a line in the log, and one more in the counter
 * `chaos.faults`.
 *
 * **Example** (Half of the calls fail)
 *
 * ```ts import.meta.vitest
 * import { Chaos, Fault } from "@effect-resilience/chaos"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const chaos = yield* Chaos.make({ seed: 1, faults: [Fault.fail(() => "unavailable", { probability: 0.5 })] })
 *   const load = Effect.succeed("apples").pipe(chaos.inject("load"), Effect.catch(Effect.succeed))
 *   const during = yield* Effect.replicateEffect(load, 4)
 *   yield* chaos.off()
 *   return [during, yield* load]
 * })
 * await Effect.runPromise(program) // => [["unavailable", "unavailable", "apples", "unavailable"], "apples"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import type { Fault } from "./Fault.ts"
import { chanceOf } from "./internal/chance.ts"
import * as marking from "./internal/mark.ts"
import * as When from "./When.ts"

/**
 * Counts faults that were injected, by `fault` and `kind`: `chaos.faults`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const faultsTotal: Metric.Counter<number> = marking.faults

/**
 * Switches of faults.
 *
 * - `on`, `off`: all faults, or the one with this name. `off` also ends waits in progress.
 *
 * @category models
 * @since 0.1.0
 */
export interface Switches {
  readonly on: (fault?: string) => Effect.Effect<void>
  readonly off: (fault?: string) => Effect.Effect<void>
  /** All faults are off, for good. */
  readonly kill: Effect.Effect<void>
  /** How often each fault has struck, by name. */
  readonly counts: Effect.Effect<Readonly<Record<string, number>>>
}

/**
 * The switches of a layer of faults.
 *
 * @category services
 * @since 0.1.0
 */
export class Controls extends Context.Service<Controls, Switches>()("@effect-resilience/chaos/Controls") {}

/**
 * Faults for calls of `S` that return an `In`. `inject` takes the call's subject: its key, unless `make` has another.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chaos<in S = string, in In = unknown, out A = never, out E = never> extends Switches {
  /** What the injector draws its numbers from. The same seed gives the same faults. */
  readonly seed: number
  readonly inject: (
    subject: S
  ) => <B extends In, F, R>(effect: Effect.Effect<B, F, R>) => Effect.Effect<A | B, E | F, R>
}

/**
 * Which faults to inject, and the seed of their chance.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in S, in In, out A, out E> {
  /** Outermost first. */
  readonly faults: ReadonlyArray<Fault<S, In, A, E>>
  /** Default by chance (Effect's `Random`), and then in the log. */
  readonly seed?: number | undefined
  /**
   * A subject as text, for the seed and the marks; default the subject itself if it is text. It appears in spans and logs, so
   * it must contain no secrets.
   */
  readonly key?: ((subject: S) => string) | undefined
}

/**
 * Creates an injector. Two faults with the same name, or conditions that make no sense, are a `RangeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <S = string, In = unknown, A extends In = never, E = never>(
  options: Options<S, In, A, E>
): Effect.Effect<Chaos<S, In, A, E>> => {
  const { faults, key = keyOfText } = options
  const names = faults.map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice !== undefined) throw new RangeError(`Two faults are called ${twice}: give one of them a name`)
  const plans = faults.map((fault) => ({ fault, plan: When.plan(fault.when) }))
  return Effect.gen(function*() {
    const seed = options.seed ?? (yield* Random.nextInt)
    if (options.seed === undefined) yield* Effect.logInfo(`Chaos has the seed ${seed}`)
    const began = (yield* Clock.Clock).monotonicTimeNanosUnsafe()
    const injectors = plans.map(({ fault, plan }) => new Injector(fault, plan, seed, began, key))
    const named = (name: string | undefined) =>
      injectors.filter(({ fault }) => name === undefined || fault.name === name)
    const every = (name: string | undefined, change: (injector: Injector<S, In, A, E>) => void) =>
      Effect.suspend(() => {
        const found = named(name)
        if (found.length === 0 && name !== undefined) {
          return Effect.die(new RangeError(`There is no fault ${name} among ${names.join(", ")}`))
        }
        found.forEach(change)
        return Effect.void
      })
    return {
      seed,
      on: (name) => every(name, (injector) => injector.on()),
      off: (name) => every(name, (injector) => injector.off()),
      kill: every(undefined, (injector) => injector.kill()),
      counts: Effect.sync(() => Object.fromEntries(injectors.map(({ fault, struck }) => [fault.name, struck]))),
      inject: (subject) => <B extends In, F, R>(effect: Effect.Effect<B, F, R>) =>
        injectors.reduceRight<Effect.Effect<A | B, E | F, R>>(
          (inner, injector) => injector.inject(subject, inner),
          effect
        )
    }
  })
}

/**
 * Provides a service whose methods have faults, and the `Controls` of those.
 *
 * **Example** (A database whose queries are late)
 *
 * ```ts import.meta.vitest
 * import { Chaos, Fault } from "@effect-resilience/chaos"
 * import { Context, Effect, Layer } from "effect"
 *
 * class Database extends Context.Service<Database, {
 *   readonly query: (sql: string) => Effect.Effect<number>
 * }>()("Database") {}
 *
 * const slow = Chaos.layer(Database, { faults: [Fault.delay("10 millis")] }, (database, chaos) => ({
 *   query: (sql) => database.query(sql).pipe(chaos.inject("query"))
 * }))
 *
 * const program = Effect.gen(function*() {
 *   yield* (yield* Database).query("SELECT 1")
 *   return yield* (yield* Chaos.Controls).counts
 * })
 * const real = Layer.succeed(Database, { query: () => Effect.succeed(1) })
 * await Effect.runPromise(Effect.provide(program, Layer.provide(slow, real))) // => { delay: 1 }
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <I, Service, S = string, In = unknown, A extends In = never, E = never>(
  service: Context.Key<I, Service>,
  options: Options<S, In, A, E>,
  inject: (service: Service, chaos: Chaos<S, In, A, E>) => Service
): Layer.Layer<I | Controls, never, I> =>
  Layer.effectContext(Effect.gen(function*() {
    const chaos = yield* make(options)
    return Context.add(Context.make(service, inject(yield* service, chaos)), Controls, chaos)
  }))

/** A fault with its state. */
class Injector<in S, in In, out A, out E> {
  readonly fault: Fault<S, In, A, E>
  struck = 0
  private readonly plan: When.Plan<S>
  private readonly seed: number
  private readonly began: bigint
  private readonly key: (subject: S) => string
  private readonly calls = new Map<string, number>()
  private readonly whenOff: Latch.Latch
  private active: boolean
  private killed = false

  constructor(
    fault: Fault<S, In, A, E>,
    plan: When.Plan<S>,
    seed: number,
    began: bigint,
    key: (subject: S) => string
  ) {
    this.fault = fault
    this.plan = plan
    this.seed = seed
    this.began = began
    this.key = key
    this.active = plan.enabled
    this.whenOff = Latch.makeUnsafe(!plan.enabled)
  }

  on(): void {
    if (this.killed) return
    this.active = true
    this.whenOff.closeUnsafe()
  }

  off(): void {
    this.active = false
    this.whenOff.openUnsafe()
  }

  kill(): void {
    this.killed = true
    this.off()
  }

  inject<B extends In, F, R>(subject: S, effect: Effect.Effect<B, F, R>): Effect.Effect<A | B, E | F, R> {
    return Clock.clockWith((clock): Effect.Effect<A | B, E | F, R> => {
      const elapsed = Number(clock.monotonicTimeNanosUnsafe() - this.began) / 1e6
      if (!this.active || !this.plan.at(elapsed) || !this.plan.only(subject)) return effect
      const key = this.key(subject)
      const index = this.calls.get(key) ?? 0
      this.calls.set(key, index + 1)
      const chance = chanceOf(this.seed, `${this.fault.name}/${key}`, index)
      if (chance() >= this.plan.probability || this.struck >= this.plan.times) return effect
      this.struck += 1
      const marked = marking.mark(this.fault, { "chaos.key": key, "chaos.call": index })
      const call = { subject, key, index, chance, off: this.whenOff.await }
      return Effect.andThen(marked, this.fault.apply(call)(effect))
    })
  }
}

const keyOfText = (subject: unknown): string => typeof subject === "string" ? subject : ""
