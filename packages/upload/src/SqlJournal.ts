/**
 * Keeps a `Journal` in a database, on any `SqlClient`.
 *
 * **Example** (A journal beside other tables)
 *
 * ```ts import.meta.vitest
 * import * as SqliteClient from "@effect-resilience/node/SqliteClient"
 * import { Journal, SqlJournal } from "@effect-resilience/upload"
 * import { Effect, Layer } from "effect"
 *
 * const journal = SqlJournal.layer({ batch: "january" }).pipe(
 *   Layer.provide(SqliteClient.layer({ filename: ":memory:" }))
 * )
 * const program = Effect.map(Journal.Journal, () => "opened")
 * await Effect.runPromise(Effect.provide(program, journal)) // => "opened"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import * as PlacePlan from "./internal/placePlan.ts"
import * as Journal from "./Journal.ts"

/**
 * Which journal of a database is used, and how.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Separates batches that share a database, in up to 255 characters; default `""`. */
  readonly batch?: string | undefined
  /** How long the database may take to respond; default 10 seconds. */
  readonly storeTimeout?: Duration.Input | undefined
  /**
   * Reads the entries that an earlier build left in the table `upload_journal`, in the order in which they were recorded. They
   * become entries of this journal, in one transaction, and the old table is renamed to `upload_journal_adopted`. `undefined`
   * leaves all of it as it is and fails. Without `adopt` a database with such entries fails with `OutdatedJournal` as the
   * cause.
   */
  readonly adopt?: ((outdated: OutdatedEntry) => Adopted | undefined) | undefined
}

/**
 * The database contains a journal that an earlier build of this package wrote in another form. `layer` with `adopt` takes it
 * over.
 *
 * - `entries`: how many entries it has.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutdatedJournal extends ErrorMessage.TaggedError("OutdatedJournal")<{ readonly entries: number }> {
  get [NotAsked.symbol](): true {
    return true
  }
  override get message(): string {
    return `it holds ${this.entries} entries of an earlier build, which have to be adopted first`
  }
}

/**
 * An entry as earlier builds kept it: one for each item, under an id that the caller chose.
 *
 * @category models
 * @since 0.1.0
 */
export interface OutdatedEntry
  extends Omit<Journal.Entry, "place" | "ordinal" | "run" | "revision" | "action" | "name">
{
  /** The id that the caller chose. */
  readonly id: string
}

/**
 * What an outdated entry says in the words of this build.
 *
 * @category models
 * @since 0.1.0
 */
export type Adopted = Pick<Journal.Entry, "place" | "action" | "name">

/**
 * A journal in a database, in the table `upload_history`, which is created where it is missing.
 *
 * **Details**
 *
 * Entries that arrive during a transaction are written together in the next one. On SQLite a durable entry is written with
 * `synchronous = FULL`, any other as the connection is set.
 *
 * A place may have 2,600 bytes on Postgres, any number on SQLite, and 700 characters elsewhere.
 *
 * If the database does not respond, each call fails within `storeTimeout`, so that nothing counts as recorded that is not.
 * Nothing more is written until the database has responded to the write that it delays.
 *
 * @category layers
 * @stability rests on effect/sql
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Journal.Journal, Journal.JournalError, SqlClient.SqlClient> =>
  Layer.effect(Journal.Journal, Effect.flatMap(SqlClient.SqlClient, (sql) => make(sql, options)))

// An array costs a third of the object that a row would otherwise be, and a journal has a hundred thousand of them.
type Row = readonly [
  place: string,
  ordinal: number,
  run: string,
  revision: number,
  action: Journal.Action,
  name: string,
  state: Journal.State,
  attempts: number,
  version: string | null,
  bytes: number | string | null,
  md5: string | null,
  verified: number,
  note: string | null,
  at: number | string
]
const columns = "place, ordinal, run, revision, action, name, state, attempts, version, bytes, md5, verified, note, at"

interface Write {
  readonly entry: Journal.Entry
  readonly durable: boolean
  readonly done: Deferred.Deferred<void, Journal.JournalError>
}

const make = Effect.fnUntraced(function*(
  sql: SqlClient.SqlClient,
  { adopt, batch = "", storeTimeout = "10 seconds" }: Options
): Effect.fn.Return<Journal.Journal["Service"], Journal.JournalError, Scope.Scope> {
  const within = StoreTimeout.make(storeTimeout)
  // Otherwise SQLite keeps each place twice, in the row and in the key's index.
  const storage = sql.literal(sql.onDialectOrElse({ sqlite: () => " WITHOUT ROWID", orElse: () => "" }))
  // Places contain names. Where a key's columns need a length, this is what MySQL indexes.
  const placeType = sql.onDialectOrElse({ sqlite: () => "TEXT", pg: () => "TEXT", orElse: () => "VARCHAR(700)" })
  const create = sql`CREATE TABLE IF NOT EXISTS upload_history (
    batch VARCHAR(255) NOT NULL, place ${sql.literal(placeType)} NOT NULL, ordinal INTEGER NOT NULL,
    run VARCHAR(16) NOT NULL, revision INTEGER NOT NULL, action VARCHAR(16) NOT NULL, name TEXT NOT NULL, state VARCHAR(16) NOT NULL, attempts INTEGER NOT NULL,
    version VARCHAR(255), bytes BIGINT, md5 VARCHAR(32), verified INTEGER NOT NULL, note TEXT, at BIGINT NOT NULL,
    PRIMARY KEY (batch, place, ordinal))${storage}`
  // SQLite's level of safety is a number that the connection can change. Other databases are always safe.
  const level = sql.onDialectOrElse({
    sqlite: () =>
      Effect.map(sql<{ readonly synchronous: number }>`PRAGMA synchronous`, ([row]) => row?.synchronous ?? full),
    orElse: () => Effect.succeed(full)
  })
  const takingOver = takeOver(sql, batch, adopt)
  const usual = yield* create.pipe(
    // Two that create a table at once can fail in Postgres, `IF NOT EXISTS` or not.
    Effect.retry({ times: 2 }),
    Effect.andThen(level),
    within,
    // Adopting a hundred thousand entries takes time.
    Effect.tap(adopt === undefined ? within(takingOver) : takingOver),
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
  /** Writes what is pending, and returns whose entries were written: another run may have taken an ordinal. */
  const insertAll = (
    pending: ReadonlyArray<Write>
  ): Effect.Effect<(entry: Journal.Entry) => boolean, Journal.JournalError> => {
    // One statement cannot change a row twice.
    const latest = new Map(pending.map(({ entry }) => [keyOf(entry.place, entry.ordinal), entry]))
    const entries = [...latest.values()]
    if (!Arr.isArrayNonEmpty(entries)) return Effect.succeed(() => true)
    const insert = upsert(sql, batch, entries).values
    return (pending.some(({ durable }) => durable) ? durably(insert) : insert).pipe(
      Effect.mapError((cause) => failure("write", cause)),
      Effect.map((rows) => {
        const written = new Set(rows.map(([place, ordinal]) => keyOf(String(place), Number(ordinal))))
        return ({ ordinal, place, run }) => {
          const key = keyOf(place, ordinal)
          return written.has(key) && latest.get(key)?.run === run
        }
      })
    )
  }
  const settle = (
    settled: ReadonlyArray<Write>,
    exit: Exit.Exit<(entry: Journal.Entry) => boolean, Journal.JournalError>
  ) =>
    Effect.forEach(settled, ({ done, entry }) => {
      const kept = Exit.isFailure(exit) || exit.value(entry)
      return Deferred.done(
        done,
        kept ? Exit.asVoid(exit) : Exit.fail(failure("write", new Journal.PlaceTaken({ place: entry.place })))
      )
    }, { discard: true })
  // Why nothing can be recorded, while the database does not respond to a write.
  let silence: Journal.JournalError | undefined
  const write = Effect.fnUntraced(function*(pending: ReadonlyArray<Write>) {
    const writing = yield* Effect.forkDetach(insertAll(pending))
    yield* Effect.flatMap(Fiber.await(writing), (exit) => settle(pending, exit)).pipe(
      Timeout.withTimeout(storeTimeout),
      Effect.catchTag("TimedOut", (cause) =>
        Effect.gen(function*() {
          silence = failure("write", cause)
          yield* settle([...pending, ...(yield* Queue.clear(writes))], Exit.fail(silence))
          // Nothing is written past it: when it comes late, it would undo what was written in the meantime.
          yield* Fiber.await(writing)
          silence = undefined
        })),
      Effect.onInterrupt(() => Effect.sync(() => writing.interruptUnsafe()))
    )
  })
  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(Queue.takeBetween(writes, 1, maxRows), write))
  )

  const select = (where: Statement.Fragment): Effect.Effect<ReadonlyArray<Journal.Entry>, Journal.JournalError> =>
    sql`SELECT ${sql.literal(columns)} FROM upload_history WHERE batch = ${batch} AND ${where}`.values.pipe(
      within,
      Effect.flatMap(entriesOf),
      Effect.mapError((cause) => failure("read", cause))
    )
  const entries = Stream.paginate(
    sql`place >= ${""}`,
    (from: Statement.Fragment) =>
      Effect.map(select(sql`${from} ORDER BY place, ordinal LIMIT ${pageSize}`), (entries) => {
        const last = entries.length < pageSize ? undefined : entries.at(-1)
        return [
          entries,
          Option.map(
            Option.fromUndefinedOr(last),
            ({ ordinal, place }) => sql`(place > ${place} OR (place = ${place} AND ordinal > ${ordinal}))`
          )
        ]
      })
  )

  return {
    history: Effect.fnUntraced(function*(places) {
      const histories = new Map<string, Array<Journal.Entry>>()
      const keep = (entry: Journal.Entry) => {
        const history = histories.get(entry.place)
        if (history === undefined) histories.set(entry.place, [entry])
        else history.push(entry)
      }
      if (places.length <= pageSize) {
        for (const some of Arr.chunksOf(places, maxPlaces)) {
          for (const entry of yield* select(sql`${sql.in("place", some)} ORDER BY place, ordinal`)) keep(entry)
        }
        return histories
      }
      // Reading all entries takes less time than looking so many places up.
      let wanted: ReadonlySet<string> | undefined
      yield* Stream.runForEachArray(entries, (page) =>
        Effect.sync(() => {
          // Most journals contain little else, and making the set takes time.
          if (wanted === undefined && histories.size + page.length > 2 * places.length) {
            wanted = new Set(places)
            for (const place of histories.keys()) if (!wanted.has(place)) histories.delete(place)
          }
          for (const entry of page) if (wanted?.has(entry.place) !== false) keep(entry)
        }))
      return histories
    }),
    record: (entry, durable = false) =>
      Effect.suspend(() => {
        if (silence !== undefined) return Effect.fail(silence)
        const done = Deferred.makeUnsafe<void, Journal.JournalError>()
        Queue.offerUnsafe(writes, { entry, durable, done })
        return Deferred.await(done)
      }),
    entries
  }
})

/** Adopts what an earlier build left in the table `upload_journal`, or fails; never ignores it. */
const takeOver = (
  sql: SqlClient.SqlClient,
  batch: string,
  adopt: Options["adopt"]
): Effect.Effect<void, SqlError.SqlError | MalformedEntry | OutdatedJournal> =>
  Effect.gen(function*() {
    const exists = yield* sql.onDialectOrElse({
      sqlite: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'upload_journal'`,
      orElse: () =>
        sql`SELECT 1 FROM information_schema.tables WHERE table_name = 'upload_journal' AND table_schema = ${
          sql.onDialectOrElse({ pg: () => sql`current_schema()`, orElse: () => sql`database()` })
        }`
    })
    if (exists.length === 0) return
    const rows = yield* sql`SELECT id, state, attempts, version, bytes, md5, verified, note, at FROM upload_journal
      WHERE batch = ${batch} ORDER BY at`.values
    const outdatedEntries = yield* entriesOf(rows.map(([, ...row]) => ["", 0, "", 1, "add", "", ...row]))
    const taken = outdatedEntries.map(({ at, attempts, bytes, md5, note, state, verified, version }, i) => {
      const known = { state, attempts, version, bytes, md5, verified, note, at }
      const adopted = adopt?.({ ...known, id: String(rows[i]?.[0]) })
      return adopted && { ...known, ...adopted, run: PlacePlan.adopted, revision: 1, ordinal: 0 }
    }).filter((entry) => entry !== undefined)
    if (taken.length < rows.length) return yield* Effect.fail(new OutdatedJournal({ entries: rows.length }))
    const ordinals = new Map<string, number>()
    const entries = taken.map((entry) => {
      const ordinal = (ordinals.get(entry.place) ?? 0) + 1
      ordinals.set(entry.place, ordinal)
      return { ...entry, ordinal }
    })
    const rename = sql`ALTER TABLE upload_journal RENAME TO upload_journal_adopted`
    const inserts = Effect.forEach(Arr.chunksOf(entries, maxRows), (some) => upsert(sql, batch, some), {
      discard: true
    })
    if (adopt !== undefined) yield* sql.withTransaction(Effect.andThen(inserts, rename))
  })

/** Writes entries where no other run has taken their ordinals, and returns which it wrote. */
const upsert = (sql: SqlClient.SqlClient, batch: string, entries: Arr.NonEmptyReadonlyArray<Journal.Entry>) => {
  const rows = Arr.map(entries, (entry) => ({
    batch,
    place: entry.place,
    ordinal: entry.ordinal,
    run: entry.run,
    revision: entry.revision,
    action: entry.action,
    name: entry.name,
    state: entry.state,
    attempts: entry.attempts,
    version: entry.version ?? null,
    bytes: entry.bytes ?? null,
    md5: entry.md5 ?? null,
    verified: entry.verified ? 1 : 0,
    note: entry.note ?? null,
    at: entry.at
  }))
  return sql`INSERT INTO upload_history ${sql.insert(rows)} ON CONFLICT (batch, place, ordinal) DO UPDATE SET
    revision = excluded.revision, action = excluded.action, name = excluded.name, state = excluded.state, attempts = excluded.attempts,
    version = excluded.version, bytes = excluded.bytes, md5 = excluded.md5, verified = excluded.verified,
    note = excluded.note, at = excluded.at
    WHERE upload_history.run = excluded.run AND upload_history.revision <= excluded.revision RETURNING place, ordinal`
}

const failure = (operation: Journal.JournalError["operation"], cause: unknown) =>
  new Journal.JournalError({ operation, cause })

const keyOf = (place: string, ordinal: number): string => `${ordinal} ${place}`

const full = 2
const maxRows = 200
const maxPlaces = 1_000
const pageSize = 10_000

/** A later build or another program wrote this row. A guess at what it says could send something twice. */
class MalformedEntry extends Data.TaggedError("MalformedEntry")<{ readonly place: unknown }> {
  override get message(): string {
    return `this build writes no such entry: ${String(this.place)}`
  }
}

const entriesOf = (
  rows: ReadonlyArray<ReadonlyArray<unknown>>
): Effect.Effect<Array<Journal.Entry>, MalformedEntry> => {
  const malformed = rows.find((row) => !isRow(row))
  return malformed === undefined
    ? Effect.succeed(rows.map(entryOf))
    : Effect.fail(new MalformedEntry({ place: malformed[0] }))
}

const isRow = (row: ReadonlyArray<unknown>): boolean => {
  const [place, ordinal, run, revision, action, name, state, attempts, version, bytes, md5, verified, note, at] = row
  return isText(place) && isCount(ordinal) && isText(run) && isCount(revision) && actions.has(action) && isText(name) &&
    states.has(state) && isCount(attempts) && (version === null || isText(version)) &&
    (bytes === null || isCount(bytes)) && (md5 === null || isText(md5)) && isCount(verified) &&
    (note === null || isText(note)) && isCount(at) && Number(at) <= endOfTime
}

const isText = (value: unknown): boolean => typeof value === "string"

// Databases return a BIGINT as text.
const isCount = (value: unknown): boolean =>
  (typeof value === "number" || typeof value === "bigint" || (isText(value) && value !== "")) &&
  Number.isSafeInteger(Number(value)) && Number(value) >= 0

const actions: ReadonlySet<unknown> = new Set<Journal.Action>(["replace", "add"])
const states: ReadonlySet<unknown> = new Set<Journal.State>([
  "started",
  "waiting",
  "retrying",
  "uploaded",
  "failed",
  "unknown"
])

/** The last time that a `Date` can hold. */
const endOfTime = 8_640_000_000_000_000

const entryOf = (row: ReadonlyArray<unknown>): Journal.Entry => {
  const [place, ordinal, run, revision, action, name, state, attempts, version, bytes, md5, verified, note, at] =
    row as Row
  return {
    place,
    ordinal,
    run,
    revision,
    action,
    name,
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
