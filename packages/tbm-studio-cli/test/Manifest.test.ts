import { Manifest } from "@effect-resilience/tbm-studio-cli"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Path } from "effect"

const withFile = Effect.fnUntraced(function*(name: string, content: string | Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const path = paths.join(yield* fs.makeTempDirectoryScoped(), name)
  yield* fs.writeFile(path, typeof content === "string" ? new TextEncoder().encode(content) : content)
  return path
}, Effect.orDie)

const problemsOf = (name: string, content: string | Uint8Array) =>
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

  it.effect("gives a file in its folder the same name, however its path is spelled", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const paths = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      const link = `${yield* fs.makeTempDirectoryScoped()}/link`
      yield* fs.symlink(folder, link)
      const below = `../${paths.basename(folder)}`
      const names = (folder: string, ...files: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const path = paths.join(folder, "m.csv")
          const rows = files.map((file) => `${file},P,T,May:2024\n`).join("")
          yield* fs.writeFileString(path, `file,project,table,period\n${rows}`)
          return (yield* Manifest.read(path)).map(({ name }) => name)
        })
      const spellings = ["d/a.csv", "./d//a.csv", `${folder}/d/a.csv`, `${below}/d/a.csv`]
      assert.deepStrictEqual(yield* names(folder, ...spellings), spellings.map(() => "d/a.csv"))
      assert.deepStrictEqual(yield* names(link, `${folder}/d/a.csv`, `${link}/d/a.csv`), ["d/a.csv", "d/a.csv"])
      assert.deepStrictEqual(yield* names(folder, "../a.csv", "/a.csv", "..a.csv"), ["../a.csv", "/a.csv", "..a.csv"])
      assert.deepStrictEqual(yield* names(folder, "a\u0308.csv"), ["\u00e4.csv"])
    }).pipe(Effect.orDie))

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

  it.effect("rejects a row with too many cells, which would shift its names, and allows empty ones at its end", () =>
    Effect.gen(function*() {
      const header = "file,project,period,table\n"
      assert.deepStrictEqual(yield* problemsOf("m.csv", `${header}a.csv,P,May:2024,GL, Actuals\n`), [
        "row 2: has 5 cells where the header has 4: a name that contains the delimiter stands in quotes."
      ])
      const path = yield* withFile("m.csv", `${header}a.csv,P,May:2024,"GL, Actuals",, \n`)
      assert.deepStrictEqual((yield* Manifest.read(path)).map(({ address }) => address.table), ["GL, Actuals"])
    }))

  it.effect("rejects what is not UTF-8, and names its line", () =>
    Effect.gen(function*() {
      const text = "file,project,table,period\na.csv,P,T,May:2024\na.csv,P,K\u00fche,May:2024\n"
      const latin1 = Buffer.from(text, "latin1")
      const wrong = [
        "line 3 is not UTF-8: save the manifest with that encoding. In Excel, it is \"CSV UTF-8 (Comma delimited)\"."
      ]
      assert.deepStrictEqual(yield* problemsOf("m.csv", latin1), wrong)
      assert.deepStrictEqual(yield* problemsOf("m.csv", Buffer.from(text.replaceAll("\n", "\r"), "latin1")), wrong)
      assert.deepStrictEqual(yield* problemsOf("m.json", latin1), wrong)
    }))

  it.effect("also reports problems of rows before a quote that never ends", () =>
    Effect.gen(function*() {
      const problems = yield* problemsOf("m.csv", "file,project,table,period\na.csv,P,T,never\n\"a.csv,P,T,May:2024\n")
      assert.match(problems[0] ?? "", /^row 2: The period "never" /)
      assert.deepStrictEqual(problems.slice(1), ["line 3 is not valid CSV: a quoted field is never closed."])
    }))

  it.effect("reports each row whose quotes do not enclose a whole cell, and continues", () =>
    Effect.gen(function*() {
      const rows = "a.csv, \"P\",T,May:2024\n\nb.csv,\"P\"!,T,May:2024\nc.csv,\"P\n\",T,never\n"
      const problems = yield* problemsOf("m.csv", `file,project,table,period\n${rows}`)
      assert.deepStrictEqual(problems.slice(0, 2), [
        "line 2 is not valid CSV: has a quote inside a field that does not begin with one.",
        "line 4 is not valid CSV: has text after a closing quote."
      ])
      assert.match(problems[2] ?? "", /^row 5: The period "never" /)
    }))

  it.effect("reads lines that end with only a carriage return", () =>
    Effect.gen(function*() {
      const path = yield* withFile(
        "m.csv",
        "\ufefffile,project,table,period\ra.csv,P,T,May:2024\r\rb.csv,P,T,May:2024\r"
      )
      assert.deepStrictEqual((yield* Manifest.read(path)).map(({ name, row }) => [name, row]), [["a.csv", 2], [
        "b.csv",
        4
      ]])
    }))

  it.effect("reports each invalid row of a JSON manifest", () =>
    Effect.gen(function*() {
      const row = { file: "a", project: "P", table: "T", period: "current" }
      const rows = [{ ...row, tabel: "T" }, { ...row, table: 2024 }, "a.csv", null, { ...row, action: null }, [row]]
      assert.deepStrictEqual(yield* problemsOf("m.json", JSON.stringify(rows)), [
        "row 1: has the unknown tabel (did you mean table?); known are file, project, table, period, action.",
        "row 2: table is 2024, not a text.",
        "row 3: is not an object with file, project, table, period, action.",
        "row 4: is not an object with file, project, table, period, action.",
        "row 6: is not an object with file, project, table, period, action."
      ])
    }))

  it.effect("pauses for signals while it reads a long manifest", () =>
    Effect.gen(function*() {
      const rows = (end: string) => `file,project,table,period\n${"a.csv,P,T,May:2024\n".repeat(50_000)}${end}`
      const path = yield* withFile("m.csv", rows(""))
      const fs = yield* FileSystem.FileSystem
      const atOnce = { ...fs, readFile: () => Effect.succeed(new TextEncoder().encode(rows(""))) }
      let turns = 0
      const turning = Effect.forever(Effect.callback<void>((resume) => {
        turns++
        setImmediate(() => resume(Effect.void))
      }))
      yield* Effect.raceFirst(turning, Effect.provideService(Manifest.read(path), FileSystem.FileSystem, atOnce))
      assert.isAbove(turns, 5)
    }))

  it.effect("reports the problem of a header, an empty file, a folder, a missing file and broken JSON", () =>
    Effect.gen(function*() {
      assert.include((yield* problemsOf("m.csv", "file,project,tabel,period\n"))[0], "missing: table; unknown: tabel")
      assert.include((yield* problemsOf("m.csv", "file,project,table,period,Table\n"))[0], "twice: table")
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
