/**
 * Effect's `SqlClient` over Node's own SQLite.
 *
 * **Why**
 *
 * Journals and token stores of one machine need a file that several processes can write. SQLite is such a file, and Node
 * includes it. The vendor's driver (`@effect/sql-sqlite-node`) does not load with Effect 4.1; when it does, its layer replaces
 * this one.
 *
 * **Details**
 *
 * One connection, in WAL mode, shared by all fibers one statement at a time. Transactions begin with `BEGIN IMMEDIATE`, so
 * that two processes that read and then write wait for each other instead of failing half-way.
 *
 * **Gotchas**
 *
 * SQLite runs in the calling thread: a statement that waits for another process's lock (`busyTimeout`) blocks this
 * process. Keep transactions short. A stream of rows reads all of them first.
 *
 * **Example** (A counter in memory)
 *
 * ```ts import.meta.vitest
 * import * as SqliteClient from "@effect-resilience/node/SqliteClient"
 * import { Effect } from "effect"
 * import { SqlClient } from "effect/sql"
 *
 * const total = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`CREATE TABLE visits (page TEXT PRIMARY KEY, count INTEGER NOT NULL)`
 *   yield* sql`INSERT INTO visits ${sql.insert([{ page: "/", count: 2 }, { page: "/about", count: 1 }])}`
 *   const rows = yield* sql<{ total: number }>`SELECT sum(count) AS total FROM visits`
 *   return rows[0]?.total
 * }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" })))
 *
 * await Effect.runPromise(total) // => 3
 * ```
 *
 * @stability rests on effect/reactivity, effect/sql
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite"

/**
 * Which database, and how it is opened.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** A path, or `:memory:`. The file is created; its directory must exist. */
  readonly filename: string
  /** How long a statement waits for the lock of another process; 5 seconds by default. */
  readonly busyTimeout?: Duration.Input | undefined
  /**
   * Writes nothing, so that the files which a killed process left beside the database stay as they are; default false. The file
   * must exist, and its directory be writable.
   */
  readonly readOnly?: boolean | undefined
}

/**
 * Opens a database; the scope closes it. Fails with the reason `ConnectionError` if the file cannot be opened.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> {
  const db = yield* Effect.acquireRelease(open(options), (db) => Effect.sync(() => db.close()))
  const acquirers = SqlClient.makeSqliteAcquirers({
    connection: Effect.succeed(connect(db)),
    semaphore: yield* Semaphore.make(1),
    isTransaction: () => db.isTransaction
  })
  return yield* SqlClient.make({
    ...acquirers,
    compiler: Statement.makeCompilerSqlite(),
    driver: "sqlite-node",
    beginTransaction: "BEGIN IMMEDIATE",
    prepareTransactionControls: true,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [["db.system.name", "sqlite"]]
  })
})

/**
 * The database as the current `SqlClient`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))

const open = Effect.fnUntraced(function*({ busyTimeout = "5 seconds", filename, readOnly = false }: Options) {
  const timeout = Duration.fromInputUnsafe(busyTimeout)
  const db = yield* attempt(
    "open",
    () => new DatabaseSync(filename, { timeout: Math.min(Math.ceil(Duration.toMillis(timeout)), longest), readOnly })
  )
  // `timeout` does not cover the change to WAL: if two processes make it at once, SQLite fails one of them immediately.
  yield* attempt("open", () => db.exec("PRAGMA journal_mode = WAL")).pipe(
    Effect.retry({
      while: (error) => error.reason._tag === "LockTimeoutError",
      schedule: Schedule.max([Schedule.spaced("10 millis"), Schedule.during(timeout)])
    }),
    Effect.onError(() => Effect.sync(() => db.close()))
  )
  db.exec("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")
  return db
})

// SQLite counts a timeout in whole milliseconds of 32 bits.
const longest = 2 ** 31 - 1

const connect = (db: DatabaseSync): SqlConnection.Connection => {
  const prepared = new Map<string, StatementSync>()

  const prepare = (sql: string): StatementSync => {
    const known = prepared.get(sql)
    prepared.delete(sql)
    const statement = known ?? db.prepare(sql)
    prepared.set(sql, statement)
    const oldest = prepared.keys().next().value
    if (prepared.size > preparedStatements && oldest !== undefined) prepared.delete(oldest)
    return statement
  }

  const run = (
    sql: string,
    params: ReadonlyArray<unknown>,
    shape: "rows" | "arrays" | "raw",
    preparing: (sql: string) => StatementSync
  ): Effect.Effect<unknown, SqlError.SqlError> =>
    Effect.withFiber((fiber) =>
      attempt("execute", () => {
        const statement = preparing(sql)
        const values = params.map(toSqlite)
        statement.setReadBigInts(Context.get(fiber.context, SqlClient.SafeIntegers))
        if (statement.columns().length === 0) {
          const result = statement.run(...values)
          return shape === "raw" ? result : []
        }
        statement.setReturnArrays(true)
        const rows = statement.all(...values) as unknown as ReadonlyArray<ReadonlyArray<SQLOutputValue>>
        return shape === "arrays" ? rows : toObjects(rows, statement)
      })
    )

  const rows =
    (preparing: (sql: string) => StatementSync): SqlConnection.Connection["execute"] => (sql, params, transformRows) =>
      Effect.map(run(sql, params, "rows", preparing), (result) => {
        const rows = result as ReadonlyArray<SqlConnection.Row>
        return transformRows === undefined ? rows : transformRows(rows)
      })
  const arrays =
    (preparing: (sql: string) => StatementSync): SqlConnection.Connection["executeValues"] => (sql, params) =>
      Effect.map(run(sql, params, "arrays", preparing), (result) => result as ReadonlyArray<ReadonlyArray<unknown>>)

  const unprepared = (sql: string): StatementSync => db.prepare(sql)
  const execute = rows(prepare)
  return {
    execute,
    executeRaw: (sql, params) => run(sql, params, "raw", prepare),
    executeStream: (sql, params, transformRows) => Stream.fromIterableEffect(execute(sql, params, transformRows)),
    executeUnprepared: rows(unprepared),
    executeValues: arrays(prepare),
    executeValuesUnprepared: arrays(unprepared)
  }
}

// Node's own rows have no prototype. The names are read afterwards, since a changed schema makes SQLite prepare anew.
const toObjects = (
  rows: ReadonlyArray<ReadonlyArray<SQLOutputValue>>,
  statement: StatementSync
): ReadonlyArray<SqlConnection.Row> => {
  const names = statement.columns().map(({ name }) => name)
  return rows.map((values) => {
    const row: { [name: string]: SQLOutputValue | undefined } = {}
    names.forEach((name, i) => {
      row[name] = values[i]
    })
    return row
  })
}

/** How many prepared statements are kept; the least recently used go first. */
const preparedStatements = 200

const toSqlite = (value: unknown): SQLInputValue => {
  if (value === undefined) return null
  if (typeof value === "boolean") return value ? 1 : 0
  if (value instanceof Date) return value.toISOString()
  return value as SQLInputValue
}

const attempt = <A>(operation: string, f: () => A): Effect.Effect<A, SqlError.SqlError> =>
  Effect.try({
    try: f,
    catch: (cause) =>
      new SqlError.SqlError({
        reason: SqlError.classifySqliteError(withErrno(cause), { message: `SQLite: could not ${operation}`, operation })
      })
  })

// `node:sqlite` calls SQLite's number `errcode`.
const withErrno = (cause: unknown): unknown =>
  cause instanceof Error && "errcode" in cause ? Object.assign(cause, { errno: cause.errcode }) : cause
