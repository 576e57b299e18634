import { Manifest } from "@effect-resilience/tbm-studio-cli"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Path } from "effect"

const read = Effect.fnUntraced(function*(name: string, content: string | Uint8Array, options?: Manifest.Options) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const path = paths.join(yield* Effect.orDie(fs.makeTempDirectoryScoped()), name)
  yield* Effect.orDie(fs.writeFile(path, typeof content === "string" ? new TextEncoder().encode(content) : content))
  return yield* Manifest.read(path, options)
})

const rowsOf = (name: string, content: string | Uint8Array, options?: Manifest.Options) =>
  Effect.map(
    read(name, content, options),
    (rows) =>
      rows.map(({ action, address, name, row }) => [row, name, address.project, address.table, address.period, action])
  )

const problemsOf = (name: string, content: string | Uint8Array, options?: Manifest.Options) =>
  Effect.map(Effect.flip(read(name, content, options)), ({ problems }) => problems)

/** As Excel saves a sheet, in the delimiter and line ends of its menu. */
const sheet = (delimiter: string, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  rows.map((row) => `${row.map((cell) => /[",;\t]/.test(cell) ? `"${cell}"` : cell).join(delimiter)}\r\n`).join("")

const header = ["File", "Project", "Table", "Period", "Action"]
const ledger = ["gl.csv", "Kosten, gesamt", "GL Übersicht", "January:2024", "append"]
const budget = ["plan.csv", "Kosten, gesamt", "Budget; Plan", "Jan:FY2024", ""]

const expected = (first: number) => [
  [first, "gl.csv", "Kosten, gesamt", "GL Übersicht", "January:2024", "append"],
  [first + 1, "plan.csv", "Kosten, gesamt", "Budget; Plan", "Jan:FY2024", "overwrite"]
]

/** The beginning of a ZIP archive whose first entry has this name. */
const zipOf = (name: string, content = "") => {
  const head = Buffer.alloc(30)
  head.write("PK\u0003\u0004", "latin1")
  head.writeUInt16LE(name.length, 26)
  return Buffer.concat([head, Buffer.from(`${name}${content}`), Buffer.alloc(4_096)])
}

layer(NodeServices.layer)("a manifest that a spreadsheet saved", (it) => {
  it.effect("is read with semicolons, tabs, commas or bars", () =>
    Effect.gen(function*() {
      for (const delimiter of [",", ";", "\t", "|"]) {
        for (const mark of ["", "\ufeff"]) {
          assert.deepStrictEqual(
            yield* rowsOf("m.csv", mark + sheet(delimiter, [header, ledger, budget])),
            expected(2),
            JSON.stringify(delimiter)
          )
        }
      }
    }))

  it.effect("is read with a line sep=, which is no row of the sheet, but a line of the file", () =>
    Effect.gen(function*() {
      for (const delimiter of [",", ";", "\t", "|"]) {
        for (
          const told of [
            `sep=${delimiter}\r\n`,
            `SEP=${delimiter}\n`,
            `"sep=${delimiter}"\r\n`,
            `\ufeffsep=${delimiter}\r\n`
          ]
        ) {
          assert.deepStrictEqual(yield* rowsOf("m.csv", told + sheet(delimiter, [header, ledger, budget])), expected(2))
        }
      }
      const broken = `sep=;\r\n${sheet(";", [header, ledger])}"gl.csv";P;T"x;May:2024\r\n`
      assert.deepStrictEqual(yield* problemsOf("m.csv", broken), [
        "line 4 is not valid CSV: has a quote inside a field that does not begin with one."
      ])
      assert.deepStrictEqual(yield* problemsOf("m.csv", "sep=;\r\nfile;project;table;period\r\n;P;T;May:2024\r\n"), [
        "row 2: file is missing."
      ])
      assert.deepStrictEqual(yield* problemsOf("m.csv", `sep=^\r\nfile^project\r\n`), [
        "line 1 has the separator \"^\": use , ; | or a tab."
      ])
    }))

  it.effect("is read with empty rows before the header, empty rows between, and empty columns at the end", () =>
    Effect.gen(function*() {
      const wide = [header, ledger, ["", "", "", "", ""], budget].map((row) => [...row, "", " ", ""])
      const empty = wide[2] ?? []
      const [first = [], second = []] = expected(4)
      const rows = [first, [6, ...second.slice(1)]]
      for (const delimiter of [",", ";", "\t"]) {
        const saved = sheet(delimiter, wide)
        for (
          const before of [
            sheet(delimiter, [empty, empty]),
            "\r\n\r\n",
            " \n\t\n",
            `sep=${delimiter}\r\n\r\n${sheet(delimiter, [empty])}`
          ]
        ) {
          assert.deepStrictEqual(yield* rowsOf("m.csv", before + saved), rows, JSON.stringify(before))
        }
      }
      assert.deepStrictEqual(
        yield* problemsOf("m.csv", "\r\n;;;;\r\nfile;project;table;period;;\r\n;P;T;May:2024;;x\r\n"),
        [
          "row 4: has 6 cells where the header has 4: a name that contains the delimiter stands in quotes."
        ]
      )
      assert.include(
        (yield* problemsOf("m.csv", "file,project,,table,period\n"))[0],
        "unknown: column 3, which has no name"
      )
    }))

  it.effect("is read in UTF-16, as \"Unicode Text\" is saved, with a byte order mark or without", () =>
    Effect.gen(function*() {
      for (const mark of ["\ufeff", ""]) {
        const little = Buffer.from(mark + sheet("\t", [header, ledger, budget]), "utf16le")
        for (const bytes of [little, Buffer.from(little).swap16()]) {
          assert.deepStrictEqual(yield* rowsOf("m.txt", bytes), expected(2))
        }
      }
      const json = JSON.stringify([{ file: "ü.csv", project: "P", table: "T", period: "current" }])
      assert.deepStrictEqual(yield* rowsOf("m.json", Buffer.from(`\ufeff${json}`, "utf16le")), [
        [1, "ü.csv", "P", "T", "current", "overwrite"]
      ])
      const cut = Buffer.from(`\ufefffile\tproject\r\n`, "utf16le").subarray(0, -1)
      assert.include((yield* problemsOf("m.txt", cut))[0], "is not UTF-16")
      assert.deepStrictEqual(yield* problemsOf("m.csv", "file,project,table,period\na.csv,P,T\0,May:2024\n"), [
        "line 2 has a NUL character, so it is no text."
      ])
    }))

  it.effect("is not read as a workbook, which is named with the way to save it", () =>
    Effect.gen(function*() {
      const workbook =
        "is an Excel workbook: open it in Excel, choose File > Save As > \"CSV UTF-8 (Comma delimited)\", and use that file."
      for (const name of ["[Content_Types].xml", "_rels/.rels", "docProps/app.xml", "xl/workbook.xml"]) {
        assert.deepStrictEqual(yield* problemsOf("m.xlsx", zipOf(name)), [workbook])
        assert.deepStrictEqual(yield* problemsOf("renamed.csv", zipOf(name)), [workbook])
      }
      const old = Buffer.concat([Buffer.from("d0cf11e0a1b11ae1", "hex"), Buffer.alloc(1_024)])
      assert.deepStrictEqual(yield* problemsOf("m.xls", old), [workbook])
      const libre = zipOf("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
      assert.match((yield* problemsOf("m.ods", libre)).join(), /^is a spreadsheet of LibreOffice: .*"Text CSV"/)
      assert.deepStrictEqual(yield* problemsOf("m.zip", zipOf("m.csv", "file,project")), [
        "is a ZIP archive: unpack it."
      ])
      assert.match((yield* problemsOf("m.csv", "\r\n<!DOCTYPE html><html>")).join(), /^is an HTML page/)
    }))

  it.effect("may have columns that are ignored, of any name but those of a manifest", () =>
    Effect.gen(function*() {
      const rows = [["Owner", ...header, "Comment"], ["Ann", ...ledger, "late; late"], ["Bo", ...budget, ""]]
      const ignoreColumns = ["owner", " COMMENT "]
      assert.deepStrictEqual(yield* rowsOf("m.csv", sheet(";", rows), { ignoreColumns }), expected(2))
      const json = [{ file: "a", project: "P", table: "T", period: "current", Owner: "Ann" }]
      assert.lengthOf(yield* rowsOf("m.json", JSON.stringify(json), { ignoreColumns }), 1)
      assert.deepStrictEqual(
        yield* rowsOf("m.csv", sheet(",", [header, ledger]), { ignoreColumns: ["action", "file"] }),
        expected(2).slice(0, 1)
      )
      assert.match(
        (yield* problemsOf("m.csv", sheet(",", [["Cost Owner", ...header], ["", ...ledger]]))).join(),
        /; unknown: cost owner \(leave it out with --ignore-column "cost owner"\)\.$/
      )
    }))

  it.effect("names the header, action and period that were meant", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* problemsOf("m.csv", "fil,project,tabel,perod,action\n"), [
        "row 1: the header is fil,project,tabel,perod,action where file,project,table,period,action is expected" +
        "; missing: file, table, period" +
        "; unknown: fil (did you mean file?), tabel (did you mean table?), perod (did you mean period?)."
      ])
      const [action, period] = yield* problemsOf(
        "m.csv",
        sheet(",", [
          header,
          [...ledger.slice(0, 4), "apend"],
          [...ledger.slice(0, 3), "Jan-24", "append"]
        ])
      )
      assert.strictEqual(action, "row 2: the action \"apend\" is neither overwrite nor append. Did you mean append?")
      assert.match(period ?? "", /^row 3: The period "Jan-24" is not valid: .* Did you mean Jan:2024\?$/)
    }))
})

layer(NodeServices.layer)("a manifest in JSON", (it) => {
  const row = (file: string) => JSON.stringify({ file, project: "P", table: "T", period: "current" })
  const named = (...names: ReadonlyArray<string>) =>
    names.map((name, i) => [i + 1, name, "P", "T", "current", "overwrite"])

  it.effect("may have one object on each line, whatever its name ends in", () =>
    Effect.gen(function*() {
      for (const name of ["m.jsonl", "m.ndjson", "m.json", "M.JSONL"]) {
        assert.deepStrictEqual(yield* rowsOf(name, `${row("a")}\n${row("b")}\r\n`), named("a", "b"))
        assert.deepStrictEqual(yield* rowsOf(name, row("a")), named("a"))
        assert.deepStrictEqual(yield* rowsOf(name, `[${row("a")},\n${row("b")}]`), named("a", "b"))
      }
      assert.deepStrictEqual(
        (yield* rowsOf("m.jsonl", `\n${row("a")}\n\n${row("b")}\n`)).map(([line, name]) => [line, name]),
        [[2, "a"], [4, "b"]]
      )
    }))

  it.effect("is rejected by line", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* problemsOf("m.jsonl", `${row("a")}\n{"file":\n7\n${row("b").replace("\"T\"", "\"\"")}\n`),
        [
          "row 2: is not JSON: write one object with file, project, table, period, action on each line, or an array of them.",
          "row 3: is not an object with file, project, table, period, action.",
          "row 4: table is missing."
        ]
      )
      assert.deepStrictEqual(yield* problemsOf("m.json", `[\n  ${row("a")},\n  }\n]`), [
        "is not a JSON array of objects with file, project, table, period, action."
      ])
      for (const text of ["7", "null", "\"file\""]) {
        assert.deepStrictEqual(yield* problemsOf("m.json", text), [
          "is not a JSON array of objects with file, project, table, period, action."
        ])
      }
    }))
})

layer(NodeServices.layer)("identical append rows of a manifest", (it) => {
  const manifest = (...rows: ReadonlyArray<string>) => ["file,project,table,period,action", ...rows, ""].join("\n")

  it.effect("are rejected, however the file and the period are spelled, unless they are allowed", () =>
    Effect.gen(function*() {
      const content = manifest(
        "late.csv,P,T,Jan:2024,append",
        "other.csv,P,T,Jan:2024,append",
        "./late.csv,P,T,January:2024,append",
        "late.csv,P,T,JAN:2024,append"
      )
      const problem = (row: number, period: string) =>
        `row ${row}: appends late.csv to P / T / ${period}, as row 2 does, so its rows would be stored twice: remove one, or ` +
        "use --allow-duplicate-rows."
      assert.deepStrictEqual(yield* problemsOf("m.csv", content), [problem(4, "January:2024"), problem(5, "Jan:2024")])
      assert.lengthOf(yield* rowsOf("m.csv", content, { allowDuplicateRows: true }), 4)
    }))

  it.effect("are accepted if they go to different places, or an overwrite stands between them", () =>
    Effect.gen(function*() {
      const content = manifest(
        "late.csv,P,T,Jan:2024,append",
        "late.csv,P,T,Feb:2024,append",
        "late.csv,P,U,Jan:2024,append",
        "gl.csv,P,T,Jan:2024,overwrite",
        "gl.csv,P,T,Jan:2024,overwrite",
        "late.csv,P,T,Jan:2024,append"
      )
      assert.lengthOf(yield* rowsOf("m.csv", content), 6)
    }))
})
