import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { CsvReader, Journal, Preflight, SqlJournal, UploadSource } from "@effect-resilience/upload"
import { Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import * as fc from "fast-check"
import { assert } from "vitest"
import { bytes, fuzz, text } from "../../repo-checks/src/Fuzz.ts"

const csv = text("a,b", ",", ";", "\t", "|", "\"", "\"\"", "\r", "\n", "\r\n", "\ufeff", "ü", "\0", "sep=;", "1.5", " ")

fuzz(
  "a CSV reader gives records and problems, however the bytes are cut",
  fc.record({
    content: bytes(csv),
    piece: fc.constantFrom(1, 3, 1000, 65_536),
    strictQuotes: fc.boolean(),
    cells: fc.boolean()
  }),
  ({ cells, content, piece, strictQuotes }) => {
    let line = 0
    const reader = CsvReader.make({
      cells,
      strictQuotes,
      onRecord: (record) => {
        assert.isAtLeast(record.line, line)
        line = record.line
      },
      onProblem: ({ description }) => assert.isString(description)
    })
    const size = piece === 1 ? Math.max(1, Math.ceil(content.length / 5_000)) : piece
    for (let from = 0; from < content.length; from += size) {
      if (!reader.read(content.subarray(from, from + size))) break
    }
    reader.end()
  }
)

fuzz(
  "a check of a file is a summary, or says what is wrong",
  fc.record({ content: bytes(csv), name: fc.constantFrom("a.csv", "a.tsv", "a.csv.gz") }),
  ({ content, name }) =>
    Preflight.csv(UploadSource.bytes(name, content), { numbers: ["a"], required: ["b"], minRows: 1 })
)

const cell = fc.oneof(
  fc.constantFrom<string | number | null>(null, -1, 0, 1, 2 ** 53, "uploaded", "started", "replace", "add", "x"),
  fc.string()
)

const columns = [
  "action",
  "state",
  "revision",
  "attempts",
  "version",
  "bytes",
  "md5",
  "verified",
  "note",
  "at",
  "run",
  "name"
]

fuzz(
  "a journal whose rows another program has changed is read, or a JournalError",
  fc.array(fc.tuple(fc.constantFrom(...columns), cell), { minLength: 1, maxLength: 4 }),
  (changes) =>
    Effect.gen(function*() {
      const journal = yield* Journal.Journal
      const sql = yield* SqlClient.SqlClient
      yield* journal.record({
        place: "a",
        ordinal: 1,
        run: "r",
        revision: 1,
        action: "add",
        name: "a.csv",
        state: "started",
        attempts: 1,
        version: "1",
        bytes: 1,
        md5: undefined,
        verified: false,
        note: undefined,
        at: 0
      })
      for (const [column, value] of changes) {
        yield* Effect.ignore(sql`UPDATE upload_history SET ${sql(column)} = ${value}`)
      }
      yield* Effect.exit(Stream.runCollect(journal.entries))
      return yield* journal.history(["a"])
    }).pipe(
      Effect.provide(Layer.fresh(
        SqlJournal.layer().pipe(
          Layer.provideMerge(Layer.fresh(SqliteClient.layer({ filename: ":memory:" })))
        )
      ))
    ),
  { runs: 50 }
)
