/**
 * The right to do something that only one process should do at a time, for a limited time.
 *
 * **Why**
 *
 * If a process dies, its locks stay. A lease ends by itself, so that another process can take over.
 *
 * **Gotchas**
 *
 * An owner that is suspended for longer than its lease does not notice, and two processes may then do the work. Use leases to
 * avoid double work, not to prevent harm.
 *
 * Give leases of your own a time limit with `withTimeout`.
 *
 * **Example** (A second owner is rejected)
 *
 * ```ts import.meta.vitest
 * import * as Lease from "@effect-resilience/deadline/Lease"
 * import { Effect } from "effect"
 *
 * const granted = Effect.gen(function*() {
 *   const lease = yield* Lease.Lease
 *   const first = yield* lease.acquire("login", "process-1", "10 seconds")
 *   const second = yield* lease.acquire("login", "process-2", "10 seconds")
 *   yield* lease.release("login", "process-1")
 *   const third = yield* lease.acquire("login", "process-2", "10 seconds")
 *   return [first, second, third]
 * }).pipe(Effect.provide(Lease.layerMemory))
 *
 * await Effect.runPromise(granted) // => [true, false, true]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Time from "@effect-resilience/kernel/Time"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import * as SqlClient from "effect/sql/SqlClient"
import * as StoreTimeout from "./StoreTimeout.ts"

/**
 * The store of the leases did not respond.
 *
 * - `store`: which store, for people.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseError extends ErrorMessage.TaggedError("LeaseError")<{ readonly store: string }> {
  override get message(): string {
    return `The lease store (${this.store}) does not respond.`
  }
}

/**
 * Lets one of several processes do something, for a limited time.
 *
 * - `acquire`: grants `owner` the lease if it is free or has ended, and extends it if `owner` has it already. Returns whether
 *   `owner` has it now.
 * - `release`: ends the lease of `owner`; does nothing if `owner` does not have it.
 *
 * @category services
 * @since 0.1.0
 */
export class Lease extends Context.Service<Lease, {
  readonly acquire: (key: string, owner: string, life: Duration.Input) => Effect.Effect<boolean, LeaseError>
  readonly release: (key: string, owner: string) => Effect.Effect<void, LeaseError>
}>()("@effect-resilience/deadline/Lease") {}

/**
 * The same leases, with a time limit for each call. Releases a lease that the store grants too late or to an interrupted
 * caller, unless its owner had it before: an extension that is late takes nothing away.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withTimeout = (
  { acquire, release }: Lease["Service"],
  timeout: StoreTimeout.StoreTimeout,
  store = "silent"
): Lease["Service"] => {
  // Until when owners have what was granted to them and not released, in the order of the grants.
  const held = new Map<string, number>()
  const call = <A>(call: Effect.Effect<A, LeaseError>) =>
    Effect.catchTag(timeout(call), "TimedOut", () => Effect.fail(new LeaseError({ store })))
  return {
    acquire: (key, owner, life) =>
      Effect.withFiber(({ context }) => {
        const id = JSON.stringify([key, owner])
        const now = Time.nowUnsafe(context)
        for (const [other, until] of held) {
          if (until > now) break
          held.delete(other)
        }
        const undo = Effect.suspend(() =>
          (held.get(id) ?? 0) > Time.nowUnsafe(context) ? Effect.void : Effect.ignore(release(key, owner))
        )
        return Effect.map(call(Effect.onInterrupt(acquire(key, owner, life), () => undo)), (granted) => {
          held.delete(id)
          if (granted) held.set(id, now + Duration.toMillis(Duration.fromInputUnsafe(life)))
          return granted
        })
      }),
    release: (key, owner) =>
      Effect.suspend(() => {
        held.delete(JSON.stringify([key, owner]))
        return call(release(key, owner))
      })
  }
}

/**
 * Always grants the lease: for stores that only one process uses.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Lease> = /* @__PURE__ */ Layer.succeed(Lease, {
  acquire: () => Effect.succeed(true),
  release: () => Effect.void
})

/**
 * Leases among the fibers of one process, for tests.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Lease> = /* @__PURE__ */ Layer.sync(Lease, () => {
  const leases = new Map<string, { readonly owner: string; readonly until: number }>()
  return {
    acquire: (key, owner, life) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const current = leases.get(key)
        if (current !== undefined && current.owner !== owner && current.until > now) return false
        leases.set(key, { owner, until: now + Duration.toMillis(Duration.fromInputUnsafe(life)) })
        return true
      }),
    release: (key, owner) =>
      Effect.sync(() => {
        if (leases.get(key)?.owner === owner) leases.delete(key)
      })
  }
})

/**
 * Leases in Redis, as keys that expire. Fails with `LeaseError` if Redis does not respond within 5 seconds.
 *
 * @category layers
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const layerRedis: Layer.Layer<Lease, never, Redis.Redis> = /* @__PURE__ */ Layer.effect(
  Lease,
  Effect.map(Redis.Redis, (redis) => {
    const acquire = redis.eval(acquireScript)
    const release = redis.eval(releaseScript)
    const failed = () => new LeaseError({ store: "Redis" })
    return withTimeout(
      {
        acquire: (key, owner, life) =>
          acquire(key, owner, Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(life)))).pipe(
            Effect.mapBoth({ onFailure: failed, onSuccess: (taken) => taken === 1 })
          ),
        release: (key, owner) => Effect.mapError(release(key, owner), failed)
      },
      StoreTimeout.make(storeTimeout),
      "Redis"
    )
  })
)

/**
 * Leases in a table `effect_resilience_leases`, which the layer creates if it is missing. For SQLite and PostgreSQL. The time
 * is the database's, so the clocks of the processes may differ. The layer fails if the database does not respond; each call
 * has 5 seconds, as with Redis.
 *
 * @category layers
 * @stability rests on effect/sql
 * @since 0.1.0
 */
export const layerSql: Layer.Layer<Lease, LeaseError, SqlClient.SqlClient> = /* @__PURE__ */ Layer.effect(
  Lease,
  Effect.gen(function*() {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    const failed = () => new LeaseError({ store: "SQL" })
    const timeout = StoreTimeout.make(storeTimeout)
    const now = sql.onDialectOrElse({
      pg: () => sql.literal("(extract(epoch from clock_timestamp()) * 1000)"),
      orElse: () => sql.literal("(unixepoch('subsec') * 1000)")
    })
    yield* Effect.mapError(
      timeout(sql`CREATE TABLE IF NOT EXISTS effect_resilience_leases (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        until DOUBLE PRECISION NOT NULL
      )`.pipe(
        // In Postgres, concurrent `CREATE TABLE IF NOT EXISTS` can fail.
        Effect.retry({ times: 2 })
      )),
      failed
    )
    return withTimeout(
      {
        acquire: (key, owner, life) =>
          sql`
          INSERT INTO effect_resilience_leases (id, owner, until)
          VALUES (${key}, ${owner}, ${now} + ${Duration.toMillis(Duration.fromInputUnsafe(life))})
          ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, until = excluded.until
          WHERE effect_resilience_leases.owner = excluded.owner OR effect_resilience_leases.until <= ${now}
          RETURNING owner
        `.pipe(Effect.mapBoth({ onFailure: failed, onSuccess: (rows) => rows.length > 0 })),
        release: (key, owner) =>
          Effect.mapBoth(sql`DELETE FROM effect_resilience_leases WHERE id = ${key} AND owner = ${owner}`, {
            onFailure: failed,
            onSuccess: () => undefined
          })
      },
      timeout,
      "SQL"
    )
  })
)

const storeTimeout = "5 seconds"

const acquireScript = /* @__PURE__ */ Redis.script(
  (key: string, owner: string, life: number) => [`lease:${key}`, owner, life],
  {
    numberOfKeys: 1,
    lua: `
if redis.call("GET", KEYS[1]) == ARGV[1] then
  return redis.call("PEXPIRE", KEYS[1], ARGV[2])
end
return redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) and 1 or 0
`
  }
).withReturnType<number>()

const releaseScript = /* @__PURE__ */ Redis.script((key: string, owner: string) => [`lease:${key}`, owner], {
  numberOfKeys: 1,
  lua: `
if redis.call("GET", KEYS[1]) == ARGV[1] then
  redis.call("DEL", KEYS[1])
end
`
})
