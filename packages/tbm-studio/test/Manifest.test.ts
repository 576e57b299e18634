import { Manifest } from "@effect-resilience/tbm-studio"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Path } from "effect"

const withFile = Effect.fnUntraced(function*(name: string, content: string) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const path = paths.join(yield* fs.makeTempDirectoryScoped(), name)
  yield* fs.writeFileString(path, content)
  return path
}, Effect.orDie)

const problemsOf = (name: string, content: string) =>
  withFile(name, content).pipe(Effect.flatMap(Manifest.read), Effect.flip, Effect.map((error) => error.problems))

layer(NodeServices.layer)("Manifest", (it) => {
  it.effect("reads CSV with columns in any order, a BOM, CRLF and quoted names", () =>
    Effect.gen(function*() {
      const path = yield* withFile(
        "m.csv",
        "\ufeffPeriod,File,Project,Table,Action\r\njan:2024,a.csv,\"P, Q\",GL,Append\r\n\r\ncurrent,/abs/b.csv,P,T,\r\n"
      )
      const paths = yield* Path.Path
      assert.deepStrictEqual(
        (yield* Manifest.read(path)).map((
          row
        ) => [row.row, row.file, row.address.project, row.address.period, row.action]),
        [
          [2, paths.join(paths.dirname(path), "a.csv"), "P, Q", "Jan:2024", "append"],
          [4, "/abs/b.csv", "P", "current", "overwrite"]
        ]
      )
    }))

  it.effect("reads JSON", () =>
    Effect.gen(function*() {
      const path = yield* withFile("m.json", `[{"file":"a.csv","project":"P","table":"T","period":"March:2024"}]`)
      const [row] = yield* Manifest.read(path)
      assert.strictEqual(row?.address.table, "T")
      assert.strictEqual(row?.action, "overwrite")
    }))

  it.effect("reports every bad row at once, by its number", () =>
    Effect.gen(function*() {
      const problems = yield* problemsOf(
        "m.csv",
        "file,project,table,period,action\na.csv,P,T,nonsense,\n,P,T,May:2024,\na.csv,P,..,May:2024,\na.csv,P,T,May:2024,upsert\n"
      )
      assert.deepStrictEqual(problems.map((problem) => problem.slice(0, 5)), ["row 2", "row 3", "row 4", "row 5"])
      assert.include(problems[0], "January:2024")
      assert.include(problems[1], "file is missing")
      assert.include(problems[3], "neither overwrite nor append")
    }))

  it.effect("names what is wrong with a header, an empty file, a folder, a missing file and broken JSON", () =>
    Effect.gen(function*() {
      assert.include((yield* problemsOf("m.csv", "file,project,tabel,period\n"))[0], "missing: table; unknown: tabel")
      assert.include((yield* problemsOf("m.csv", ""))[0], "is empty")
      assert.include((yield* problemsOf("m.csv", "file,project,table,period,action\n"))[0], "lists no uploads")
      assert.include((yield* problemsOf("m.json", "[]"))[0], "lists no uploads")
      assert.include((yield* problemsOf("m.json", "{"))[0], "not a JSON array")
      assert.include((yield* problemsOf("m.json", `[{"file":"a","tabel":"T"}]`))[0], "unknown tabel")
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      assert.include((yield* Effect.flip(Manifest.read(folder))).message, "is a folder")
      assert.include((yield* Effect.flip(Manifest.read(`${folder}/none.csv`))).message, "there is no such file")
    }))
})
