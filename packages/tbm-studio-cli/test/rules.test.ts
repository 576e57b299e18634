import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { type Ended, folder, settingsFor, tbmStudio, write } from "./command.ts"

const documentOf = ({ stdout }: Ended) => JSON.parse(stdout)

describe("tbm-studio --rules", () => {
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

    it.effect("compares the rows of a table with those of the last period, in its journal or another", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const rules = write(dir, "rules.json", JSON.stringify({ tables: [{ table: "Monthly", rowsChange: 0.5 }] }))
        const rows = (count: number, from = 0) =>
          `Account\n${Array.from({ length: count }, (_, i) => `${from + i}\n`).join("")}`
        const month = (name: string, period: string, base: number, late: number) => {
          write(dir, `${name}-base.csv`, rows(base))
          write(dir, `${name}-late.csv`, rows(late, 1_000))
          const row = (file: string, action: string) => `${name}-${file}.csv,P,Monthly,${period},${action}`
          const lines = ["file,project,table,period,action", row("base", "overwrite"), row("late", "append"), ""]
          return write(dir, `${name}.csv`, lines.join("\n"))
        }
        const january = month("january", "Jan:2024", 7, 3)
        assert.strictEqual((yield* run("batch", january, "--rules", rules)).status, 0)
        const last = ["--rules", rules, "--last-journal", `${january}.journal.sqlite`]

        const few = yield* run("batch", month("february", "February:2024", 3, 1), ...last)
        assert.deepStrictEqual([few.status, few.stdout], [66, ""])
        assert.strictEqual(
          few.stderr.split("\n")[0],
          "P / Monthly / February:2024: has 4 rows where January:2024 has 10, and the rule allows 50% more or fewer"
        )
        for (const [base, status] of [[15, 66], [14, 0]] as const) {
          assert.strictEqual((yield* run("batch", month("february", "Feb:2024", base, 1), ...last)).status, status)
        }
        // One journal for all months: the last one is February's, with 15 rows.
        const march = (base: number) =>
          run(
            "batch",
            month("march", "March:2024", base, 1),
            "--rules",
            rules,
            "--journal",
            `${dir}/february.csv.journal.sqlite`,
            "--accept-journal"
          )
        const dry = yield* run(
          "batch",
          month("march", "March:2024", 22, 1),
          "--rules",
          rules,
          "--journal",
          `${dir}/february.csv.journal.sqlite`,
          "--accept-journal",
          "--dry-run"
        )
        assert.deepStrictEqual([dry.status, dry.stdout], [66, ""])
        const many = yield* march(22)
        assert.strictEqual(many.status, 66)
        assert.include(many.stderr, "has 23 rows where February:2024 has 15")
        assert.strictEqual((yield* march(21)).status, 0)

        const missing = yield* run("batch", january, "--rules", rules, "--last-journal", `${dir}/none.sqlite`)
        assert.strictEqual(missing.status, 66)
        assert.strictEqual(missing.stderr, `There is no journal ${dir}/none.sqlite. Check its name.\n`)
        assert.isFalse(existsSync(`${dir}/none.sqlite`))
        assert.strictEqual((yield* run("batch", january, "--last-journal", `${dir}/none.sqlite`)).status, 64)
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
            [`${dir}/none.json`, "none.json cannot be read: there is no such file or folder."],
            [misspelled, "no such option: a rule has project, table, required"],
            [write(dir, "list.json", JSON.stringify({ table: [] })), "no such list: there are tables and watch"],
            [
              write(dir, "watch.json", JSON.stringify({ watch: [{ pattern: "*.csv", project: "P", table: "T" }] })),
              "no such option: a rule has files, project, table"
            ],
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
