import * as LocalFileSystem from "@effect-resilience/node/LocalFileSystem"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as SqlClient from "effect/sql/SqlClient"
import type * as Statement from "effect/sql/Statement"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Subject, Suite } from "../Suite.ts"
import { repeated } from "../Suite.ts"

const file = join(tmpdir(), "effect-resilience-bench-20-kb")
if (!fs.existsSync(file)) fs.writeFileSync(file, Buffer.alloc(20_000, "4711;1234.56\n"))

const over = (
  layer: Layer.Layer<FileSystem.FileSystem>,
  use: (fs: FileSystem.FileSystem) => Effect.Effect<unknown, unknown>
): Subject => {
  const runtime = ManagedRuntime.make(layer)
  return (calls) => runtime.runPromise(Effect.flatMap(FileSystem.FileSystem, (fs) => repeated(() => use(fs), calls)))
}

// A busy machine lets operations look slow, and slow ones go through threads. Reading the clock costs what it always costs.
const local = Layer.effect(
  FileSystem.FileSystem,
  Effect.clockWith((clock) =>
    Effect.provideService(LocalFileSystem.make, Clock.Clock, {
      ...clock,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() && 0n
    })
  )
).pipe(Layer.provide(NodeFileSystem.layer))

const stat = (fs: FileSystem.FileSystem) => fs.stat(file)
const read = (fs: FileSystem.FileSystem) =>
  Effect.scoped(Effect.flatMap(fs.open(file), (opened) => opened.readAlloc(20_000)))

const rows = 1_000
const database = ManagedRuntime.make(SqliteClient.layer({ filename: ":memory:" }))
let filled: Promise<void> | undefined
const fill = () =>
  filled ??= database.runPromise(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE places (place TEXT PRIMARY KEY, size INTEGER, md5 TEXT)`
    yield* sql`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows - 1})
      INSERT INTO places SELECT 'place ' || i, i, '0123456789abcdef' FROM n`
  }))

const selecting =
  (how: (statement: Statement.Statement<object>) => Effect.Effect<unknown, unknown>): Subject => async (calls) => {
    await fill()
    await database.runPromise(Effect.flatMap(SqlClient.SqlClient, (sql) => {
      let next = 0
      return repeated(() => how(sql`SELECT * FROM places WHERE place = ${`place ${next++ % rows}`}`), calls)
    }))
  }

const suite: Suite = {
  name: "node",
  packages: ["effect", "@effect/platform-node"],
  cases: [
    {
      name: "stat of a file",
      ours: "LocalFileSystem",
      subjects: {
        LocalFileSystem: over(local, stat),
        NodeFileSystem: over(NodeFileSystem.layer, stat)
      },
      atMost: { NodeFileSystem: 0.3 }
    },
    {
      name: "a file of 20 kB: open, read, close",
      ours: "LocalFileSystem",
      subjects: {
        LocalFileSystem: over(local, read),
        NodeFileSystem: over(NodeFileSystem.layer, read)
      },
      atMost: { NodeFileSystem: 0.6 }
    },
    {
      name: "a row of SQLite by its key",
      ours: "prepared once",
      subjects: {
        "prepared once": selecting((statement) => statement),
        "prepared anew": selecting((statement) => statement.unprepared)
      },
      atMost: { "prepared anew": 0.9 }
    }
  ]
}

export default suite
