import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sqlite-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

it.live("waits for another process that is just making the file, although SQLite itself does not", () =>
  Effect.gen(function*() {
    const filename = join(yield* directory, "a.db")
    const other = new DatabaseSync(filename)
    other.exec("BEGIN EXCLUSIVE; CREATE TABLE t (v TEXT)")
    setTimeout(() => {
      other.exec("INSERT INTO t VALUES ('theirs'); COMMIT")
      other.close()
    }, 100)
    const rows = yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT v FROM t`.values).pipe(
      Effect.provide(SqliteClient.layer({ filename, busyTimeout: "30 seconds" }))
    )
    assert.deepStrictEqual(rows, [["theirs"]])
  }))

it.live("fails typed after the busy timeout", () =>
  Effect.gen(function*() {
    const filename = join(yield* directory, "a.db")
    const other = new DatabaseSync(filename)
    other.exec("BEGIN EXCLUSIVE; CREATE TABLE t (v TEXT)")
    const error = yield* Effect.flip(
      Effect.provide(Effect.void, SqliteClient.layer({ filename, busyTimeout: "50 millis" }))
    )
    other.close()
    assert.strictEqual(error.reason._tag, "LockTimeoutError")
  }))
