import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { KeyValueStore, Persistence } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sqlite-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

describe("SqliteClient", () => {
  layer(SqliteClient.layer({ filename: ":memory:" }))((it) => {
    it.effect("reads what it wrote, in every kind", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE kinds (i INTEGER, r REAL, t TEXT, b BLOB, n TEXT)`
        const bytes = new Uint8Array([0, 1, 255])
        yield* sql`INSERT INTO kinds VALUES (${true}, ${1.5}, ${"it's"}, ${bytes}, ${null})`
        const rows = yield* sql`SELECT * FROM kinds`
        assert.deepStrictEqual(rows, [{ i: 1, r: 1.5, t: "it's", b: bytes, n: null }])
        assert.deepStrictEqual(yield* sql`SELECT i, t FROM kinds`.values, [[1, "it's"]])
        assert.deepStrictEqual(yield* sql`SELECT i FROM kinds`.unprepared.pipe(Effect.map((rows) => rows.length)), 1)
        const streamed = yield* Stream.runCollect(sql`SELECT t FROM kinds`.stream)
        assert.strictEqual(streamed.length, 1)
      }))

    it.effect("names columns that are newer than their statement", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE growing (a INTEGER)`
        yield* sql`INSERT INTO growing VALUES (1)`
        assert.deepStrictEqual(yield* sql`SELECT * FROM growing`, [{ a: 1 }])
        yield* sql`ALTER TABLE growing ADD COLUMN b TEXT`
        assert.deepStrictEqual(yield* sql`SELECT * FROM growing`, [{ a: 1, b: null }])
      }))

    it.effect("reads integers beyond 2^53 if safe integers are set", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const rows = yield* sql<{ n: bigint }>`SELECT 9007199254740993 AS n`.pipe(
          Effect.provideService(SqlClient.SafeIntegers, true)
        )
        assert.strictEqual(rows[0]?.n, 9007199254740993n)
      }))

    it.effect("distinguishes the kinds of failures", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE names (name TEXT NOT NULL UNIQUE)`
        yield* sql`INSERT INTO names VALUES ('a')`
        const twice = yield* Effect.flip(sql`INSERT INTO names VALUES ('a')`)
        assert.strictEqual(twice.reason._tag, "UniqueViolation")
        const nothing = yield* Effect.flip(sql`INSERT INTO names VALUES (NULL)`)
        assert.strictEqual(nothing.reason._tag, "ConstraintError")
        const unsupported = yield* Effect.flip(sql`SELECT ${{ a: 1 }}`)
        assert.strictEqual(unsupported.reason._tag, "UnknownError")
      }))

    it.effect("rolls a failed transaction back, and only the savepoint if that failed", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE log (line TEXT)`
        const insert = (line: string) => sql`INSERT INTO log VALUES (${line})`
        yield* sql.withTransaction(Effect.andThen(insert("lost"), Effect.fail("stop"))).pipe(Effect.flip)
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* insert("outer")
          yield* sql.withTransaction(Effect.andThen(insert("inner"), Effect.fail("stop"))).pipe(Effect.flip)
        }))
        assert.deepStrictEqual(yield* sql`SELECT line FROM log`.values, [["outer"]])
      }))

    it.effect("runs transactions of many fibers one after the other", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE counter (n INTEGER)`
        yield* sql`INSERT INTO counter VALUES (0)`
        const increment = sql.withTransaction(Effect.gen(function*() {
          const rows = yield* sql<{ n: number }>`SELECT n FROM counter`
          yield* Effect.yieldNow
          yield* sql`UPDATE counter SET n = ${(rows[0]?.n ?? 0) + 1}`
        }))
        yield* Effect.all(Array.from({ length: 50 }, () => increment), { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* sql`SELECT n FROM counter`.values, [[50]])
      }))

    it.effect("supports Effect's own stores", () =>
      Effect.gen(function*() {
        const store = yield* KeyValueStore.KeyValueStore
        yield* store.set("a", "1")
        assert.strictEqual(yield* store.get("a"), "1")
        const persistence = yield* Persistence.BackingPersistence
        const backing = yield* persistence.make("things")
        yield* backing.set("key", { a: 1 }, undefined)
        assert.deepStrictEqual(yield* backing.get("key"), { a: 1 })
      }).pipe(
        Effect.scoped,
        Effect.provide([KeyValueStore.layerSql(), Persistence.layerBackingSql])
      ))
  })

  it.effect("keeps the file's content, and shares it between connections", () =>
    Effect.gen(function*() {
      const filename = join(yield* directory, "a.db")
      const one = SqliteClient.layer({ filename })
      const other = SqliteClient.layer({ filename, busyTimeout: "10 seconds" })
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (v TEXT)`
        yield* sql`INSERT INTO t VALUES ('kept')`
      }).pipe(Effect.provide(one))
      const read = yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT v FROM t`.values).pipe(
        Effect.provide(other)
      )
      assert.deepStrictEqual(read, [["kept"]])
    }))

  it.effect.each(["1.5 millis", "30 days", "Infinity"] as const)(
    "waits %s for a lock",
    (busyTimeout) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`SELECT 1`.values, [[1]])
      }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", busyTimeout })))
  )

  it.effect("says that a file cannot be opened, as a typed error", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Effect.provide(Effect.void, SqliteClient.layer({ filename: "/no/such/directory/a.db" }))
      )
      const error = Exit.findErrorOption(exit)
      assert.strictEqual(error._tag === "Some" ? error.value.reason._tag : undefined, "ConnectionError")
    }))

  it.effect("closes the database with its scope", () =>
    Effect.gen(function*() {
      const sql = yield* Effect.provide(
        Effect.map(SqlClient.SqlClient, (sql) => sql),
        SqliteClient.layer({ filename: ":memory:" })
      )
      const exit = yield* Effect.exit(sql`SELECT 1`)
      assert.isTrue(Exit.isFailure(exit))
    }))
})
