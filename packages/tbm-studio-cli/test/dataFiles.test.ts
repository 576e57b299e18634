import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"
import { type Ended, folder, settingsFor, tbmStudio, write } from "./command.ts"

const documentOf = ({ stdout }: Ended) => JSON.parse(stdout)
const md5Of = (content: string | Uint8Array) => createHash("md5").update(content).digest("hex")

/** As Excel saves "CSV (Comma delimited)" in Germany. */
const german = "Konto;Währung;Betrag\r\n4711;€;„1,50“\r\n"
const windows1252 = Buffer.from(
  german.replace("€", "\u0080").replace("„", "\u0084").replace("“", "\u0093"),
  "latin1"
)

describe("the data files of tbm-studio", () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(args, settingsFor(url)))
    const upload = (file: string, table: string, ...args: ReadonlyArray<string>) =>
      run("upload", file, "--project", "P", "--table", table, "--period", "January:2024", "--json", ...args)
    const manifest = (dir: string, ...rows: ReadonlyArray<string>) =>
      write(dir, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
    const stored = (table: string) =>
      Effect.flatMap(
        Simulator.Simulator,
        ({ state }) => Effect.map(state, ({ tables }) => tables[`P/${table}/January:2024`])
      )

    it.effect("in Windows-1252 are rejected with the remedy, and sent as UTF-8 with --encoding", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const file = write(dir, "gl.csv", windows1252)
        const rejected = yield* upload(file, "Alone")
        assert.deepStrictEqual([rejected.status, documentOf(rejected).error.tag], [66, "InvalidFiles"])
        assert.deepStrictEqual(documentOf(rejected).error.message.replaceAll(`${dir}/`, "").split("\n"), [
          "gl.csv, line 1: is not UTF-8 from here on, but probably Windows-1252: in Excel, save it as \"CSV UTF-8 (Comma delimited)\"",
          "Nothing was sent. Correct the files, or send them as they are with --no-preflight.",
          "To send files that are in Windows-1252 as UTF-8, add --encoding windows-1252."
        ])
        assert.isUndefined(yield* stored("Alone"))

        const sent = yield* upload(file, "Alone", "--encoding", "windows-1252")
        assert.deepStrictEqual([sent.status, documentOf(sent).md5, documentOf(sent).verified], [0, md5Of(german), true])
        assert.strictEqual((yield* stored("Alone"))?.bytes, Buffer.byteLength(german))

        const list = manifest(dir, "gl.csv,P,Listed,January:2024,append", "gl.csv.gz,P,Zipped,January:2024,overwrite")
        write(dir, "gl.csv.gz", gzipSync(windows1252))
        assert.strictEqual((yield* run("batch", list)).status, 66)
        const batch = yield* run("batch", list, "--encoding", "windows-1252", "--json")
        assert.strictEqual(batch.status, 0)
        assert.strictEqual(documentOf(batch).items[0].md5, md5Of(german))
        // The journal knows what was sent, so that an append is not sent twice.
        const again = documentOf(yield* run("batch", list, "--encoding", "windows-1252", "--json"))
        assert.deepStrictEqual(again.items.map(({ status }: { readonly status: string }) => status), [
          "skipped",
          "skipped"
        ])
        assert.strictEqual((yield* stored("Listed"))?.bytes, Buffer.byteLength(german))
      }))

    it.effect("that are UTF-8 are not garbled by --encoding windows-1252", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const file = write(dir, "gl.csv", german)
        for (const args of [[], ["--no-preflight"]]) {
          const ended = yield* upload(file, "Garbled", "--encoding", "windows-1252", ...args)
          assert.strictEqual(ended.status, 66)
          assert.match(documentOf(ended).error.message, /cannot be read: it is UTF-8, not Windows-1252\./)
        }
        assert.isUndefined(yield* stored("Garbled"))
      }))

    it.effect("without rows overwrite nothing without --allow-empty, and may be appended", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const full = write(dir, "full.csv", "a,b\n1,2\n")
        assert.strictEqual((yield* upload(full, "Emptied")).status, 0)
        const empty = write(dir, "empty.csv", "a,b\r\n")
        const rejected = yield* upload(empty, "Emptied")
        assert.strictEqual(rejected.status, 66)
        assert.match(documentOf(rejected).error.message, /empty\.csv, line 1: has a header and no rows\n/)
        assert.match(documentOf(rejected).error.message, /\nTo empty a table's period on purpose, add --allow-empty\.$/)
        assert.strictEqual((yield* stored("Emptied"))?.bytes, 8)

        const list = manifest(dir, "empty.csv,P,Emptied,January:2024,overwrite", "full.csv,P,Other,January:2024,append")
        const batch = yield* run("batch", list)
        assert.deepStrictEqual([batch.status, batch.stdout], [66, ""])
        assert.include(batch.stderr, "add --allow-empty")
        assert.strictEqual((yield* upload(empty, "Appended", "--action", "append")).status, 0)
        assert.strictEqual((yield* run("batch", list, "--allow-empty")).status, 0)
        assert.strictEqual((yield* stored("Emptied"))?.bytes, 5)
      }))

    it.effect("that are no tables are listed with what they are, together, and sent with --no-preflight", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const workbook = Buffer.concat([
          Buffer.from("PK\u0003\u0004"),
          Buffer.alloc(26),
          Buffer.from("[Content_Types].xml")
        ])
        const files: Readonly<Record<string, string | Uint8Array>> = {
          "mac.csv": "a,b\r1,2\r",
          "nul.csv": "a,b\n1,\0\n",
          "page.csv": "<!DOCTYPE html>\n<html><title>Log in</title></html>\n",
          "names.csv": "a,,a\n1,2,3\n",
          "unicode.csv": Buffer.from("\uFEFFa\tb\r\n1\t2\r\n", "utf16le"),
          "book.xlsx": workbook,
          "book.csv": workbook,
          "zipped.csv.gz": Buffer.concat([gzipSync("a,b\n1,2\n"), gzipSync("3,4\n")])
        }
        for (const [name, content] of Object.entries(files)) write(dir, name, content)
        const list = manifest(
          dir,
          ...Object.keys(files).map((name, i) => `${name},P,No table ${i},January:2024,overwrite`)
        )
        const ended = yield* run("batch", list)
        assert.deepStrictEqual([ended.status, ended.stdout], [66, ""])
        const lines = ended.stderr.replaceAll(`${dir}/`, "").split("\n").map((line) =>
          line.replace(/: open it in Excel.*/, "")
        )
        assert.deepStrictEqual(lines, [
          "mac.csv, line 1: has carriage returns without line feeds, as old Macs ended lines: save the file with the line ends of Windows or Unix",
          "nul.csv, line 2: has a NUL byte, so it is no text",
          "page.csv, line 1: is an HTML page, such as the login page of the site that it was downloaded from: download it again",
          "names.csv, line 1: columns 1 and 3 have one name, \"a\"",
          "names.csv, line 1: column 2 has no name: name or delete what is empty",
          "unicode.csv, line 1: is text in UTF-16 (\"Unicode Text\")",
          "book.xlsx, line 1: is an Excel workbook",
          "book.csv, line 1: is an Excel workbook",
          "Nothing was sent. Correct the files, or send them as they are with --no-preflight.",
          ""
        ])
        assert.strictEqual((yield* upload(`${dir}/names.csv`, "As it is", "--no-preflight")).status, 0)
        assert.strictEqual((yield* upload(`${dir}/zipped.csv.gz`, "Two members")).status, 0)
      }))
  })
})
