import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import type { Entry, Journal, JournalError, State } from "../Journal.ts"

// An array costs a third of the object that a row would otherwise be, and a journal has a hundred thousand of them.
type Row = readonly [
  id: string,
  state: State,
  attempts: number,
  version: string | null,
  bytes: number | string | null,
  md5: string | null,
  verified: number,
  note: string | null,
  at: number | string
]
const columns = "id, state, attempts, version, bytes, md5, verified, note, at"

interface Write {
  readonly entry: Entry
  readonly durable: boolean
  readonly done: Deferred.Deferred<void, JournalError>
}

export const sqlStore = Effect.fnUntraced(function*(
  sql: SqlClient.SqlClient,
  batch: string,
  storeTimeout: Duration.Input,
  failure: (operation: JournalError["operation"], cause: unknown) => JournalError
): Effect.fn.Return<Journal["Service"], JournalError, Scope.Scope> {
  const within = StoreTimeout.make(storeTimeout)
  // Else SQLite keeps each id twice, in the row and in the key's index.
  const storage = sql.literal(sql.onDialectOrElse({ sqlite: () => " WITHOUT ROWID", orElse: () => "" }))
  // Ids hold paths and names. Where a key's columns need a length, this is what MySQL indexes.
  const idType = sql.onDialectOrElse({ sqlite: () => "TEXT", pg: () => "TEXT", orElse: () => "VARCHAR(700)" })
  const create = sql`CREATE TABLE IF NOT EXISTS upload_journal (
    batch VARCHAR(255) NOT NULL, id ${
    sql.literal(idType)
  } NOT NULL, state VARCHAR(16) NOT NULL, attempts INTEGER NOT NULL,
    version VARCHAR(255), bytes BIGINT, md5 VARCHAR(32), verified INTEGER NOT NULL, note TEXT, at BIGINT NOT NULL,
    PRIMARY KEY (batch, id))${storage}`
  // SQLite's level of safety is a number that the connection can change; other databases are always safe.
  const level = sql.onDialectOrElse({
    sqlite: () =>
      Effect.map(sql<{ readonly synchronous: number }>`PRAGMA synchronous`, ([row]) => row?.synchronous ?? full),
    orElse: () => Effect.succeed(full)
  })
  const usual = yield* create.pipe(
    // Two that create a table at once can fail in Postgres, `IF NOT EXISTS` or not.
    Effect.retry({ times: 2 }),
    Effect.andThen(level),
    within,
    Effect.mapError((cause) => failure("open", cause))
  )
  // A prepared PRAGMA takes effect when it is prepared, not when it runs.
  const durably = <A, E, R>(write: Effect.Effect<A, E, R>) =>
    usual >= full ? write : Effect.acquireUseRelease(
      sql.unsafe(`PRAGMA synchronous = ${full}`).unprepared,
      () => write,
      () => Effect.orDie(sql.unsafe(`PRAGMA synchronous = ${usual}`).unprepared)
    )

  const writes = yield* Queue.unbounded<Write>()
  const insertAll = (pending: ReadonlyArray<Write>) => {
    // One statement cannot change a row twice.
    const latest = [...new Map(pending.map(({ entry }) => [entry.id, entry])).values()]
    if (!Arr.isArrayNonEmpty(latest)) return Effect.void
    const rows = Arr.map(latest, (entry) => ({
      batch,
      id: entry.id,
      state: entry.state,
      attempts: entry.attempts,
      version: entry.version ?? null,
      bytes: entry.bytes ?? null,
      md5: entry.md5 ?? null,
      verified: entry.verified ? 1 : 0,
      note: entry.note ?? null,
      at: entry.at
    }))
    const insert = sql`INSERT INTO upload_journal ${sql.insert(rows)} ON CONFLICT (batch, id) DO UPDATE SET
      state = excluded.state, attempts = excluded.attempts, version = excluded.version, bytes = excluded.bytes,
      md5 = excluded.md5, verified = excluded.verified, note = excluded.note, at = excluded.at`
    return (pending.some(({ durable }) => durable) ? durably(insert) : insert).pipe(
      Effect.mapError((cause) => failure("write", cause)),
      Effect.asVoid
    )
  }
  const settle = (settled: ReadonlyArray<Write>, exit: Exit.Exit<void, JournalError>) =>
    Effect.forEach(settled, ({ done }) => Deferred.done(done, exit), { discard: true })
  // Why nothing can be recorded, while a write is not responded to.
  let silence: JournalError | undefined
  const write = Effect.fnUntraced(function*(pending: ReadonlyArray<Write>) {
    const writing = yield* Effect.forkDetach(insertAll(pending))
    yield* Effect.flatMap(Fiber.await(writing), (exit) => settle(pending, exit)).pipe(
      Timeout.after(storeTimeout),
      Effect.catchTag("TimedOut", (cause) =>
        Effect.gen(function*() {
          silence = failure("write", cause)
          yield* settle([...pending, ...(yield* Queue.clear(writes))], Exit.fail(silence))
          // Nothing is written past it: when it comes late, it would undo what was written meanwhile.
          yield* Fiber.await(writing)
          silence = undefined
        })),
      Effect.onInterrupt(() => Effect.sync(() => writing.interruptUnsafe()))
    )
  })
  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(Queue.takeBetween(writes, 1, maxRows), write))
  )

  const select = (where: Statement.Fragment): Effect.Effect<ReadonlyArray<Entry>, JournalError> =>
    sql`SELECT ${sql.literal(columns)} FROM upload_journal WHERE batch = ${batch} AND ${where}`.values.pipe(
      within,
      Effect.mapBoth({ onFailure: (cause) => failure("read", cause), onSuccess: Arr.map(entryOf) })
    )
  const entries = Stream.paginate(
    sql`id >= ${""}`,
    (from: Statement.Fragment) =>
      Effect.map(select(sql`${from} ORDER BY id LIMIT ${pageSize}`), (entries) => {
        const last = entries.length < pageSize ? undefined : entries.at(-1)
        return [entries, Option.map(Option.fromUndefinedOr(last), ({ id }) => sql`id > ${id}`)]
      })
  )

  return {
    find: Effect.fnUntraced(function*(ids) {
      const found = new Map<string, Entry>()
      if (ids.length <= pageSize) {
        for (const some of Arr.chunksOf(ids, maxIds)) {
          for (const entry of yield* select(sql.in("id", some))) found.set(entry.id, entry)
        }
        return found
      }
      // To look for so many one by one takes longer than to read them all.
      let wanted: ReadonlySet<string> | undefined
      yield* Stream.runForEachArray(entries, (page) =>
        Effect.sync(() => {
          // Most journals hold little else, and the set takes a while to be made.
          if (wanted === undefined && found.size + page.length > 2 * ids.length) {
            wanted = new Set(ids)
            for (const id of found.keys()) if (!wanted.has(id)) found.delete(id)
          }
          for (const entry of page) if (wanted?.has(entry.id) !== false) found.set(entry.id, entry)
        }))
      return found
    }),
    record: (entry, durable = false) =>
      Effect.suspend(() => {
        if (silence !== undefined) return Effect.fail(silence)
        const done = Deferred.makeUnsafe<void, JournalError>()
        Queue.offerUnsafe(writes, { entry, durable, done })
        return Deferred.await(done)
      }),
    entries
  }
})

const full = 2
const maxRows = 200
const maxIds = 1_000
const pageSize = 10_000

const entryOf = (row: ReadonlyArray<unknown>): Entry => {
  // Nobody but this module writes the table.
  const [id, state, attempts, version, bytes, md5, verified, note, at] = row as Row
  return {
    id,
    state,
    attempts,
    version: version ?? undefined,
    bytes: bytes === null ? undefined : Number(bytes),
    md5: md5 ?? undefined,
    verified: verified === 1,
    note: note ?? undefined,
    at: Number(at)
  }
}
