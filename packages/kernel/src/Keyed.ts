/**
 * One instance of a policy for each key: each host, tenant or table its own breaker or bulkhead.
 *
 * **Details**
 *
 * An instance is made when its key is first asked for. The `capacity` keys used last are always held; those not used
 * for longer are forgotten, unless they are in use (a bulkhead with calls inside, a circuit with a probe or isolated).
 * Looking a key up costs the same with one key and with a hundred thousand.
 *
 * **Gotchas**
 *
 * Up to twice the capacity is held, and instances in use come on top: keys live in two generations, those of the older
 * one move up when they are used, and the others go when the younger one is full.
 *
 * **Example** (A semaphore for each tenant)
 *
 * ```ts import.meta.vitest
 * import { Keyed } from "@effect-resilience/kernel"
 * import { Effect, Semaphore } from "effect"
 *
 * const tenants = Keyed.make({ make: () => Semaphore.makeUnsafe(2), isIdle: () => true })
 * const work = Effect.succeed("stored")
 *
 * await Effect.runPromise(work.pipe(tenants.get("acme").withPermits(1))) // => "stored"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Field from "./Field.ts"

/**
 * Instances by key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keyed<A> {
  /** The instance of a key, made at its first use. */
  get(key: string): A
  /** How many instances are held. */
  readonly size: number
}

/**
 * How many instances to hold.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many of the keys used last; default 100,000. */
  readonly capacity?: number | undefined
}

const capacityField = /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 100_000)

/**
 * Makes a map from keys to instances.
 *
 * - `make`: makes the instance of a key.
 * - `isIdle`: tells whether an instance can be forgotten without a caller noticing.
 * - `capacity`: how many of the keys used last to hold; default 100,000.
 *
 * Throws `RangeError` where `capacity` is not a whole number of at least 1.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(options: {
  readonly make: (key: string) => A
  readonly isIdle: (instance: A) => boolean
  readonly capacity?: number | undefined
}): Keyed<A> => {
  const capacity = capacityField.read(options.capacity, "Keyed.capacity")
  let young = new Map<string, A>()
  let old = new Map<string, A>()
  let added = 0

  const put = (key: string, instance: A): A => {
    if (added === capacity) age()
    added++
    young.set(key, instance)
    return instance
  }

  const age = () => {
    const kept = new Map<string, A>()
    for (const [key, instance] of old) {
      if (!options.isIdle(instance)) kept.set(key, instance)
    }
    old = young
    young = kept
    added = 0
  }

  return {
    get(key) {
      const recent = young.get(key)
      if (recent !== undefined) return recent
      const older = old.get(key)
      if (older === undefined) return put(key, options.make(key))
      old.delete(key)
      return put(key, older)
    },
    get size() {
      return young.size + old.size
    }
  }
}

/**
 * Reads `capacity` and the options that all instances share. Throws `RangeError` where one makes no sense.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = <F extends Field.Record>(
  module: string,
  fields: F,
  options: Field.Written<F> & Options
): { readonly capacity: number; readonly settings: Field.Settings<F> } => {
  const { capacity, ...shared } = options
  return {
    capacity: capacityField.read(capacity, `${module}.capacity`),
    settings: Field.read(module, fields, shared as typeof options)
  }
}

/**
 * The constructor of policies by key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const policies = <F extends Field.Record, A>(
  module: string,
  fields: F,
  makeUnsafe: (settings: Field.Settings<F>, key: string) => A,
  isIdle: (instance: A) => boolean
) =>
(options: Field.Written<F> & Options): Effect.Effect<Keyed<A>> => {
  const { capacity, settings } = read(module, fields, options)
  return Effect.sync(() => make({ capacity, make: (key) => makeUnsafe(settings, key), isIdle }))
}
