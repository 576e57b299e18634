import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Manifest } from "@effect-resilience/tbm-studio-cli"
import { Journal, SqlJournal } from "@effect-resilience/upload"
import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Layer, Path, Stream } from "effect"
import * as fc from "fast-check"
import { bytes, fuzz, jsonText, like, text } from "../../repo-checks/src/Fuzz.ts"
import * as rules from "../src/internal/rules.ts"

const rows = like([
  { file: "gl.csv", project: "P", table: "T", period: "January:2024", action: "overwrite" },
  { file: "b.csv", project: "P", table: "T", period: "February:2024" }
])

const csv = text(
  "file,project,table,period,action\n",
  "gl.csv,Cost Transparency,GL Data,January:2024,overwrite\n",
  "gl.csv,P,T,January:2024,append\n",
  "sep=;\n",
  ",",
  ";",
  "\"",
  "\r",
  "\n",
  "\ufeff",
  "../",
  "C:\\"
)

const withFile = <A, E, R>(name: string, content: Uint8Array, read: (path: string) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = (yield* Path.Path).join(yield* fs.makeTempDirectoryScoped({ prefix: "fuzz-" }), name)
    yield* fs.writeFile(path, content)
    return yield* read(path)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

fuzz(
  "a manifest is rows, or says what is wrong",
  fc.oneof(
    fc.record({ name: fc.constant("m.csv"), content: bytes(csv) }),
    fc.record({ name: fc.constantFrom("m.json", "m.jsonl"), content: bytes(jsonText(rows)) })
  ),
  ({ content, name }) => withFile(name, content, (path) => Manifest.read(path)),
  { runs: 100 }
)

const ruleFile = like({
  tables: [{ project: "P", table: "T", required: ["a"], numbers: ["b"], rowsChange: 0.5, leastRows: 1 }],
  watch: [
    { files: "gl-{year}-{month}.csv", project: "P", table: "T", marker: "{name}.done", encoding: "utf-8" },
    { files: "*.tmp", ignore: true }
  ]
})

fuzz(
  "a file of rules is rules, or says what is wrong",
  fc.tuple(bytes(jsonText(ruleFile)), fc.string()),
  ([content, name]) =>
    withFile(
      "rules.json",
      content,
      (path) => Effect.map(rules.readWatch(path), ({ watch }) => [watch.find(name), watch.find("gl-2026-01.csv")])
    ),
  { runs: 100 }
)

fuzz(
  "a journal that is another file is read, or a JournalError",
  fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ minLength: 100, maxLength: 4_096 }).map((rest) =>
      Uint8Array.from([...new TextEncoder().encode("SQLite format 3\0"), ...rest])
    )
  ),
  (content) =>
    withFile(
      "a.journal.sqlite",
      content,
      (filename) =>
        Effect.flatMap(Journal.Journal, ({ entries }) => Stream.runCollect(entries)).pipe(
          Effect.provide(Layer.fresh(SqlJournal.layer().pipe(Layer.provide(SqliteClient.layer({ filename })))))
        )
    ),
  { runs: 50 }
)
