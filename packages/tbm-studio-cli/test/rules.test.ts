import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Ended, folder, settingsFor, tbmStudio, write } from "./command.ts"

const documentOf = ({ stdout }: Ended) => JSON.parse(stdout)

describe("tbm-studio --rules", { timeout: 120_000 }, () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(args, settingsFor(url)))
    const rules = {
      tables: [
        { required: ["Account"] },
        { project: "P", table: "GL Data", required: ["Cost Center"], numbers: ["Amount"], leastRows: 3 }
      ]
    }

    it.effect("checks the files of each table by the rules for it, and lists all problems", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const file = write(dir, "rules.json", JSON.stringify(rules))
        write(dir, "gl.csv", "Account;CostCenter;Amount\r\n4711;A;\"1.234,56\"\r\n4712;B;n/a\r\n")
        write(dir, "other.csv", "Accounts;Amount\r\n1;1,5\r\n")
        write(dir, "plan.txt", "Account\tAmount\r\n4711\t1,5\r\n")
        const list = write(
          dir,
          "m.csv",
          "file,project,table,period\ngl.csv,P,GL Data,May:2024\nother.csv,P,Other,May:2024\nplan.txt,P,Plan,May:2024\n"
        )
        const ended = yield* run("batch", list, "--rules", file, "--json")
        assert.deepStrictEqual([ended.status, documentOf(ended).error.tag], [66, "InvalidFiles"])
        assert.deepStrictEqual(documentOf(ended).error.message.replaceAll(`${dir}/`, "").split("\n"), [
          "gl.csv, line 1: has no column \"Cost Center\", but one named \"CostCenter\"",
          "gl.csv, line 2: Amount is \"1.234,56\", with a decimal comma: write 1234.56",
          "gl.csv, line 3: Amount is \"n/a\", which is no number",
          "other.csv, line 1: has no column \"Account\", but one named \"Accounts\"",
          "Nothing was sent. Correct the files, or send them as they are with --no-preflight."
        ])

        const gl = (...rows: ReadonlyArray<string>) =>
          write(dir, "gl.csv", ["Account,Cost Center,Amount", ...rows, ""].join("\n"))
        const upload = ["--project", "P", "--table", "GL Data", "--period", "May:2024", "--rules", file]
        const few = yield* run("upload", gl("4711,A,1.5", "4712,A,"), ...upload)
        assert.deepStrictEqual([few.status, few.stdout], [66, ""])
        assert.include(few.stderr, "gl.csv, line 1: has 2 rows where at least 3 are expected")
        assert.strictEqual((yield* run("upload", gl("4711,A,1.5", "4712,A,", "4713,A,-2e3"), ...upload)).status, 0)
      }))

    it.effect("rejects a file of rules that cannot be read or has other fields, and --no-preflight beside it", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "gl.csv", "Account\n1\n")
        const list = write(dir, "m.csv", "file,project,table,period\ngl.csv,P,Ruled,May:2024\n")
        const misspelled = write(dir, "misspelled.json", JSON.stringify({ tables: [{ requird: ["Account"] }] }))
        const broken = write(dir, "broken.json", "{")
        for (
          const [file, said] of [
            [`${dir}/none.json`, "none.json cannot be read: NotFound."],
            [misspelled, "requird"],
            [broken, "broken.json is invalid"]
          ] as const
        ) {
          const ended = yield* run("batch", list, "--rules", file)
          assert.deepStrictEqual([ended.status, ended.stdout], [66, ""], ended.stderr)
          assert.include(ended.stderr, said)
          assert.lengthOf(ended.stderr.trimEnd().split("\n"), 1)
        }
        const off = yield* run("batch", list, "--rules", misspelled, "--no-preflight")
        assert.strictEqual(off.status, 64)
        assert.include(off.stderr, "Leave out --no-preflight")
      }))
  })
})
