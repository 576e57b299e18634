import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Persistence from "effect/persistence/Persistence"

interface Kept {
  readonly value: object
  readonly expires: number
  readonly bytes: number
}

/**
 * A memory that never holds much more than `maxBytes`. While it is full, looking up an unknown key fails: to report it as
 * absent would let its request run again. Expired entries are removed.
 */
export const layer = (maxBytes: number): Layer.Layer<Persistence.BackingPersistence> =>
  Layer.sync(Persistence.BackingPersistence, () =>
    Persistence.BackingPersistence.of({
      make: () =>
        Effect.clockWith((clock) => {
          const all = new Map<string, Kept>()
          let bytes = 0
          const remove = (key: string) => {
            bytes -= all.get(key)?.bytes ?? 0
            all.delete(key)
          }
          const get = (key: string): object | undefined => {
            const kept = all.get(key)
            if (kept === undefined || kept.expires > clock.currentTimeMillisUnsafe()) return kept?.value
            remove(key)
            return undefined
          }
          // All entries live equally long, so the first that has not expired ends the search.
          const sweep = () => {
            for (const [key, { expires }] of all) {
              if (expires > clock.currentTimeMillisUnsafe()) return
              remove(key)
            }
          }
          const set = (key: string, value: object, life: Duration.Duration | undefined) => {
            sweep()
            remove(key)
            const kept = {
              value,
              expires: clock.currentTimeMillisUnsafe() + (life === undefined ? Infinity : Duration.toMillis(life)),
              bytes: key.length + JSON.stringify(value).length + overhead
            }
            bytes += kept.bytes
            all.set(key, kept)
          }
          const lookUp = (key: string) => {
            sweep()
            const value = get(key)
            return value !== undefined || bytes < maxBytes ? Effect.succeed(value) : Effect.fail(full)
          }
          return Effect.succeed({
            get: (key) => Effect.suspend(() => lookUp(key)),
            getMany: (keys) => Effect.forEach(keys, (key) => Effect.suspend(() => lookUp(key))),
            set: (key, value, life) => Effect.sync(() => set(key, value, life)),
            setMany: (entries) => Effect.sync(() => entries.forEach(([key, value, life]) => set(key, value, life))),
            remove: (key) => Effect.sync(() => remove(key)),
            clear: Effect.sync(() => {
              all.clear()
              bytes = 0
            })
          })
        })
    }))

/** What an entry costs besides its text, roughly, in bytes. */
const overhead = 200

const full = /* @__PURE__ */ new Persistence.PersistenceError({
  message: "The memory for remembered responses is full."
})
