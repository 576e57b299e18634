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
 * @since 0.1.0
 */

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
  const capacity = capacityOf(options)
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
 * The capacity that options ask for. Throws `RangeError` where it is not a whole number of at least 1.
 *
 * @category options
 * @since 0.1.0
 */
export const capacityOf = ({ capacity = 100_000 }: { readonly capacity?: number | undefined }): number => {
  if (!Number.isInteger(capacity) || capacity < 1) {
    throw new RangeError(`Keyed: capacity must be an integer of at least 1, not ${capacity}`)
  }
  return capacity
}
