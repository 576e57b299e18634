import * as StoreTimeout from "@effect-resilience/deadline/StoreTimeout"
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import type {
  Adopted,
  Entry,
  Journal,
  JournalError,
  OutdatedEntry,
  OutdatedJournal,
  PlaceTaken,
  State
} from "../Journal.ts"
import * as PlacePlan from "./placePlan.ts"

// An array costs a third of the object that a row would otherwise be, and a journal has a hundred thousand of them.
type Row = readonly [
  place: string,
  ordinal: number,
  run: string,
  revision: number,
  action: Entry["action"],
  name: string,
  state: State,
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
  readonly entry: Entry
  readonly durable: boolean
  readonly done: Deferred.Deferred<void, JournalError>
}

interface Options {
  readonly batch: string
  readonly storeTimeout: Duration.Input
  readonly adopt: ((outdated: OutdatedEntry) => Adopted | undefined) | undefined
  readonly failure: (operation: JournalError["operation"], cause: unknown) => JournalError
  readonly outdated: (entries: number) => OutdatedJournal
  readonly taken: (place: string) => PlaceTaken
}

export const sqlStore = Effect.fnUntraced(function*(
  sql: SqlClient.SqlClient,
  { adopt, batch, failure, outdated, storeTimeout, taken }: Options
): Effect.fn.Return<Journal["Service"], JournalError, Scope.Scope> {
  const within = StoreTimeout.make(storeTimeout)
  // Otherwise SQLite keeps each place twice, in the row and in the key's index.
  const storage = sql.literal(sql.onDialectOrElse({ sqlite: () => " WITHOUT ROWID", orElse: () => "" }))
  // Places hold names. Where a key's columns need a length, this is what MySQL indexes.
  const placeType = sql.onDialectOrElse({ sqlite: () => "TEXT", pg: () => "TEXT", orElse: () => "VARCHAR(700)" })
  const create = sql`CREATE TABLE IF NOT EXISTS upload_history (
    batch VARCHAR(255) NOT NULL, place ${sql.literal(placeType)} NOT NULL, ordinal INTEGER NOT NULL,
    run VARCHAR(16) NOT NULL, revision INTEGER NOT NULL, action VARCHAR(16) NOT NULL, name TEXT NOT NULL, state VARCHAR(16) NOT NULL, attempts INTEGER NOT NULL,
    version VARCHAR(255), bytes BIGINT, md5 VARCHAR(32), verified INTEGER NOT NULL, note TEXT, at BIGINT NOT NULL,
    PRIMARY KEY (batch, place, ordinal))${storage}`
  // SQLite's level of safety is a number that the connection can change; other databases are always safe.
  const level = sql.onDialectOrElse({
    sqlite: () =>
      Effect.map(sql<{ readonly synchronous: number }>`PRAGMA synchronous`, ([row]) => row?.synchronous ?? full),
    orElse: () => Effect.succeed(full)
  })
  const takingOver = takeOver(sql, batch, adopt, outdated)
  const usual = yield* create.pipe(
    // Two that create a table at once can fail in Postgres, `IF NOT EXISTS` or not.
    Effect.retry({ times: 2 }),
    Effect.andThen(level),
    within,
    // To adopt a hundred thousand entries takes a while.
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
  const insertAll = (pending: ReadonlyArray<Write>): Effect.Effect<(entry: Entry) => boolean, JournalError> => {
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
  const settle = (settled: ReadonlyArray<Write>, exit: Exit.Exit<(entry: Entry) => boolean, JournalError>) =>
    Effect.forEach(settled, ({ done, entry }) => {
      const kept = Exit.isFailure(exit) || exit.value(entry)
      return Deferred.done(done, kept ? Exit.asVoid(exit) : Exit.fail(failure("write", taken(entry.place))))
    }, { discard: true })
  // Why nothing can be recorded, while a write is not responded to.
  let silence: JournalError | undefined
  const write = Effect.fnUntraced(function*(pending: ReadonlyArray<Write>) {
    const writing = yield* Effect.forkDetach(insertAll(pending))
    yield* Effect.flatMap(Fiber.await(writing), (exit) => settle(pending, exit)).pipe(
      Timeout.withTimeout(storeTimeout),
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
      const histories = new Map<string, Array<Entry>>()
      const keep = (entry: Entry) => {
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
      // To look for so many one by one takes longer than to read them all.
      let wanted: ReadonlySet<string> | undefined
      yield* Stream.runForEachArray(entries, (page) =>
        Effect.sync(() => {
          // Most journals hold little else, and the set takes a while to be made.
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
        const done = Deferred.makeUnsafe<void, JournalError>()
        Queue.offerUnsafe(writes, { entry, durable, done })
        return Deferred.await(done)
      }),
    entries
  }
})

/** What an earlier build left in the table `upload_journal` becomes part of this journal, or is refused; it is never ignored. */
const takeOver = (
  sql: SqlClient.SqlClient,
  batch: string,
  adopt: Options["adopt"],
  outdated: Options["outdated"]
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
    if (taken.length < rows.length) return yield* Effect.fail(outdated(rows.length))
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
const upsert = (sql: SqlClient.SqlClient, batch: string, entries: Arr.NonEmptyReadonlyArray<Entry>) => {
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

const keyOf = (place: string, ordinal: number): string => `${ordinal} ${place}`

const full = 2
const maxRows = 200
const maxPlaces = 1_000
const pageSize = 10_000

/** A row that was written by a later build, or by another hand: to guess what it says could send something twice. */
class MalformedEntry extends Data.TaggedError("MalformedEntry")<{ readonly place: unknown }> {
  override get message(): string {
    return `an entry is none that this build writes: ${String(this.place)}`
  }
}

const entriesOf = (rows: ReadonlyArray<ReadonlyArray<unknown>>): Effect.Effect<Array<Entry>, MalformedEntry> => {
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

const actions: ReadonlySet<unknown> = new Set<Entry["action"]>(["replace", "add"])
const states: ReadonlySet<unknown> = new Set<State>(["started", "waiting", "retrying", "uploaded", "failed", "unknown"])

/** The last time that a `Date` can hold. */
const endOfTime = 8_640_000_000_000_000

const entryOf = (row: ReadonlyArray<unknown>): Entry => {
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
