/** What the workers of a cluster do, kept in its database for `status --cluster` and for those who submit. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"

/** An upload of a worker, and for how long it has been running. */
const Running = Schema.fromJsonString(Schema.Array(Schema.Struct({ place: Schema.String, millis: Schema.Finite })))

/** What a worker does now, and has done since it joined. */
export interface Work {
  readonly running: typeof Running.Type
  readonly uploaded: number
  readonly failed: number
  readonly unknown: number
}

export interface Worker extends Work {
  /** The address by which the other workers reach it. */
  readonly address: string
  readonly concurrency: number
  /** The part of the tables that are its own, from 0 to 1. */
  readonly share: number
  readonly heartbeatMillis: number
  /** Whether its last heartbeat is recent. */
  readonly isAlive: boolean
}

/** The name of a worker's connections to the database, which shows whose shards are locked. */
export const applicationName = (address: string | undefined): string =>
  address === undefined ? "tbm-studio" : `tbm-studio ${address}`.slice(0, 63)

/** A dead worker stays in the list for a day. */
const kept = "1 day"

/** After this time without a heartbeat, the others have taken over. */
const patience = 15_000

const create = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  // Two that create a table at once can fail in Postgres.
  Effect.retry(
    sql`CREATE TABLE IF NOT EXISTS tbm_studio_workers (
      address TEXT PRIMARY KEY, concurrency INTEGER NOT NULL, running TEXT NOT NULL, uploaded INTEGER NOT NULL,
      failed INTEGER NOT NULL, in_doubt INTEGER NOT NULL, seen_at TIMESTAMPTZ NOT NULL)`,
    { times: 2 }
  ))

/** Reports what a worker does every two seconds, until its scope closes. No upload depends on it. */
export const report = Effect.fnUntraced(function*(address: string, concurrency: number, work: Effect.Effect<Work>) {
  const sql = yield* SqlClient.SqlClient
  const remove = sql`DELETE FROM tbm_studio_workers WHERE address = ${address}`
  const beat = Effect.flatMap(
    work,
    ({ failed, running, unknown, uploaded }) =>
      sql`INSERT INTO tbm_studio_workers (address, concurrency, running, uploaded, failed, in_doubt, seen_at)
      VALUES (${address}, ${concurrency}, ${JSON.stringify(running)}, ${uploaded}, ${failed}, ${unknown}, now())
      ON CONFLICT (address) DO UPDATE SET concurrency = excluded.concurrency, running = excluded.running,
        uploaded = excluded.uploaded, failed = excluded.failed, in_doubt = excluded.in_doubt, seen_at = excluded.seen_at`
  )
  yield* Effect.addFinalizer(() => Effect.ignore(remove))
  yield* Effect.ignore(create)
  yield* Effect.ignore(sql`DELETE FROM tbm_studio_workers WHERE seen_at < now() - ${kept}::interval`)
  yield* Effect.forkScoped(Effect.repeat(Effect.ignore(beat), Schedule.spaced("2 seconds")))
})

/** The workers, in the order of their addresses. */
export const list = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* create
  const rows = yield* sql<Row>`
    SELECT address, concurrency, running, uploaded, failed, in_doubt,
      (EXTRACT(EPOCH FROM now() - seen_at) * 1000)::float8 AS millis,
      (SELECT count(*)::int FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND datname = current_database()
          AND application_name = left('tbm-studio ' || address, 63)) AS shards
    FROM tbm_studio_workers ORDER BY address`
  const all = rows.reduce((sum, { shards }) => sum + shards, 0)
  return yield* Effect.forEach(rows, ({ in_doubt: unknown, millis, running, shards, ...row }) =>
    Effect.map(
      Effect.orElseSucceed(Schema.decodeEffect(Running)(running), () => []),
      (running): Worker => ({
        ...row,
        unknown,
        running: running.map(({ millis: ran, place }) => ({ place, millis: ran + millis })),
        share: all === 0 ? 0 : shards / all,
        heartbeatMillis: Math.max(0, millis),
        isAlive: millis < patience
      })
    ))
})

interface Row {
  readonly address: string
  readonly concurrency: number
  readonly running: string
  readonly uploaded: number
  readonly failed: number
  readonly in_doubt: number
  readonly millis: number
  readonly shards: number
}

/** How many uploads to submit at once: enough to keep each worker busy, also if they are spread unevenly. */
export const bound = list.pipe(
  Effect.map((workers) => workers.reduce((sum, { concurrency, isAlive }) => sum + (isAlive ? 4 * concurrency : 0), 0)),
  Effect.orElseSucceed(() => 0),
  Effect.map((wanted) => Math.max(leastBound, wanted))
)

const leastBound = 1_000
