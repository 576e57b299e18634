import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type Ended, folder, settingsFor, tbmStudio, write } from "./command.ts"

const header = "file,project,table,period,action"

const errorOf = ({ stdout }: Ended): { readonly tag: string; readonly message: string } => JSON.parse(stdout).error

const statuses = ({ stdout }: Ended): ReadonlyArray<string> =>
  JSON.parse(stdout).items.map(({ status }: { readonly status: string }) => status)

describe("the preflight of tbm-studio batch", () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(args, settingsFor(url)))
    const requests = Effect.flatMap(Simulator.Simulator, ({ state }) => Effect.map(state, ({ requests }) => requests))
    /** Whether the simulator received no request meanwhile. */
    const quietly = Effect.fnUntraced(function*<A, R>(effect: Effect.Effect<A, never, R>) {
      const before = yield* requests
      const ended = yield* effect
      return [ended, (yield* requests) === before] as const
    })
    const manifestOf = (dir: string, ...files: ReadonlyArray<string>) =>
      write(
        dir,
        "m.csv",
        [header, ...files.map((file, i) => `${file},P,Table ${i},January:2024,overwrite`), ""].join("\n")
      )

    it.effect("lists all problems by file and line, and sends nothing", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "good.csv", "a,b\n1,2\n")
        write(dir, "ragged.csv", "a,b\n1,2\n3\n\"4\n5\",6\n7,8,9\n")
        write(dir, "latin1.tsv", Buffer.from("a\tb\nM\u00fcller\t1\n", "latin1"))
        write(dir, "zipped.csv.gz", gzipSync("a,b\n1\n"))
        write(dir, "broken.csv.gz", "a,b\n1,2\n")
        write(dir, "empty.csv", "")
        const files = [
          "good.csv",
          "ragged.csv",
          "latin1.tsv",
          "zipped.csv.gz",
          "broken.csv.gz",
          "empty.csv",
          "none.csv"
        ]
        const manifest = manifestOf(dir, ...files, "ragged.csv")
        const [json, quiet] = yield* quietly(run("batch", manifest, "--json"))
        assert.deepStrictEqual([json.status, quiet], [66, true])
        assert.deepStrictEqual([errorOf(json).tag, statuses(json)], ["InvalidFiles", []])
        const lines = errorOf(json).message.replaceAll(`${dir}/`, "").split("\n")
        assert.match(lines.splice(4, 1).join(), /^broken\.csv\.gz cannot be read: /)
        assert.deepStrictEqual(lines, [
          "ragged.csv, line 3: has 1 field where the header has 2",
          "ragged.csv, line 6: has 3 fields where the header has 2",
          "latin1.tsv, line 2: is not UTF-8 from here on, but probably Windows-1252: in Excel, save it as \"CSV UTF-8 (Comma delimited)\"",
          "zipped.csv.gz, line 2: has 1 field where the header has 2",
          "empty.csv, line 1: is empty: it has no header",
          "none.csv cannot be read: it does not exist.",
          "Nothing was sent. Correct the files, or send them as they are with --no-preflight.",
          "To send files that are in Windows-1252 as UTF-8, add --encoding windows-1252."
        ])

        const text = yield* run("batch", manifest)
        assert.deepStrictEqual([text.status, text.stdout], [66, ""])
        assert.strictEqual(text.stderr.trimEnd(), errorOf(json).message)
      }))

    it.effect("accepts other delimiters, and only checks that other files can be read", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "semicolons.csv", "a;b\n1,5;2,5\n")
        write(dir, "ledger.txt", "anything\xff")
        const good = yield* run("batch", manifestOf(dir, "semicolons.csv", "ledger.txt"), "--json")
        assert.deepStrictEqual([good.status, statuses(good)], [0, ["uploaded", "uploaded"]])

        const [bad, quiet] = yield* quietly(run("batch", manifestOf(dir, "semicolons.csv", "none.txt"), "--json"))
        assert.deepStrictEqual([bad.status, quiet], [66, true])
        assert.match(errorOf(bad).message, /none\.txt cannot be read: it does not exist\.\n/)
      }))

    it.effect("can be turned off: then invalid files are sent as they are", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "ragged.csv", "a,b\n1\n")
        const ended = yield* run("batch", manifestOf(dir, "ragged.csv", "none.csv"), "--no-preflight", "--json")
        assert.deepStrictEqual([ended.status, statuses(ended)], [66, ["uploaded", "failed"]])
      }))

    it.effect("does not need files that an earlier run has uploaded", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "one.csv", "a,b\n1,2\n")
        write(dir, "two.csv", "a,b\n1,2\n")
        const manifest = manifestOf(dir, "one.csv", "two.csv")
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
        rmSync(join(dir, "one.csv"))
        const again = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual([again.status, statuses(again)], [0, ["skipped", "skipped"]])

        write(dir, "two.csv", "a,b\n1\n")
        const [changed, quiet] = yield* quietly(run("batch", manifest, "--json"))
        assert.deepStrictEqual([changed.status, quiet], [66, true])
        assert.match(
          errorOf(changed).message,
          /^[^\n]*two\.csv, line 2: has 1 field where the header has 2\nNothing was/
        )
      }))
  })
})
