import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { type Ended, folder, settingsFor, tbmStudio, write } from "./command.ts"

interface Item {
  readonly file: string
  readonly status: string
  readonly bytes: number
  readonly error?: { readonly reason: string }
}

const itemsOf = ({ stdout }: Ended): ReadonlyArray<Item> => JSON.parse(stdout).items
const totalsOf = ({ stdout }: Ended) => JSON.parse(stdout).totals
const statuses = (ended: Ended) => itemsOf(ended).map(({ status }) => status)

describe("tbm-studio batch --dry-run", () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(args, settingsFor(url)))
    /** Runs it, and checks that nothing was sent. */
    const plan = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
      const { state } = yield* Simulator.Simulator
      const before = yield* state
      const ended = yield* run("batch", ...args, "--dry-run")
      assert.strictEqual((yield* state).requests, before.requests)
      return ended
    })
    const manifest = (dir: string, table: string, ...rows: ReadonlyArray<readonly [file: string, action: string]>) =>
      write(
        dir,
        "m.csv",
        ["file,project,table,period,action", ...rows.map(([f, a]) => `${f},P,${table},January:2024,${a}`), ""].join(
          "\n"
        )
      )

    it.effect("shows all uploads with their bytes, and leaves no journal behind", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        for (const name of ["base.csv", "late.csv"]) write(dir, name, `a,b\n${name},1\n`)
        const list = manifest(dir, "New", ["base.csv", "overwrite"], ["late.csv", "append"])
        const json = yield* plan(list, "--json")
        assert.deepStrictEqual([json.status, json.stderr], [0, ""])
        assert.deepStrictEqual(itemsOf(json).map(({ bytes, status }) => [status, bytes]), [
          ["planned", 15],
          ["planned", 15]
        ])
        assert.deepInclude(totalsOf(json), { planned: 2, uploaded: 0, bytes: 30, attempts: 0, logins: 0 })

        const { url } = yield* Simulator.Simulator
        const text = yield* plan(list)
        assert.deepStrictEqual([text.status, text.stderr], [0, ""])
        assert.match(text.stdout, /^New \/ January:2024 +overwrite +send +15 B +.*base\.csv$/m)
        assert.include(
          text.stdout.replace("127.0.0.1", "localhost"),
          `Would send 2 of 2 uploads, 30 B, to ${url.replace("127.0.0.1", "localhost")} (acme.com, main)`
        )
        assert.deepStrictEqual(readdirSync(dir).sort(), ["base.csv", "late.csv", "m.csv"])
        assert.deepStrictEqual(statuses(yield* plan(list, "--no-journal", "--json")), ["planned", "planned"])
      }))

    it.effect("shows what is there, what is replaced and what a person must decide, as the run then finds it", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        for (const name of ["base.csv", "late.csv", "other.csv"]) write(dir, name, `a,b\n${name},1\n`)
        const list = manifest(dir, "Told", ["base.csv", "overwrite"], ["late.csv", "append"])
        assert.strictEqual((yield* run("batch", list)).status, 0)
        assert.deepStrictEqual(statuses(yield* plan(list, "--json")), ["skipped", "skipped"])

        write(dir, "late.csv", "a,b\nlate.csv,2\n")
        manifest(dir, "Told", ["base.csv", "overwrite"], ["late.csv", "append"], ["other.csv", "append"])
        const asked = yield* plan(list, "--json")
        assert.deepStrictEqual(itemsOf(asked).map(({ error, status }) => [status, error?.reason]), [
          ["skipped", undefined],
          ["failed", "ChangedSinceUpload"],
          ["notStarted", "HeldBack"]
        ])
        const real = yield* run("batch", list, "--json")
        assert.deepStrictEqual([asked.status, statuses(asked)], [real.status, statuses(real)])
        assert.strictEqual(real.status, 66)
        const text = yield* plan(list)
        assert.match(text.stdout, /^Told .* append +you decide/m)
        assert.match(text.stdout, /^Would send 0 of 3 uploads, 0 B, .* · 1 already there · 1 to decide · 1 held back/m)
        assert.include(text.stdout, "Run the batch again with --changed skip")

        assert.deepStrictEqual(statuses(yield* plan(list, "--changed", "skip", "--json")), [
          "skipped",
          "assumed",
          "planned"
        ])
        const again = yield* plan(list, "--changed", "send", "--json")
        assert.deepStrictEqual([again.status, statuses(again)], [0, ["planned", "planned", "planned"]])
        assert.deepStrictEqual(statuses(yield* run("batch", list, "--changed", "send", "--json")), [
          "uploaded",
          "uploaded",
          "uploaded"
        ])
      }))

    it.effect("checks the manifest, the files and the journal as the run does", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "base.csv", "a,b\n1\n")
        const list = manifest(dir, "Checked", ["base.csv", "overwrite"], ["none.csv", "overwrite"])
        const bad = yield* plan(list, "--json")
        assert.deepStrictEqual([bad.status, JSON.parse(bad.stdout).error.tag], [66, "InvalidFiles"])
        const unchecked = yield* plan(list, "--no-preflight", "--json")
        assert.deepStrictEqual([unchecked.status, statuses(unchecked)], [66, ["planned", "failed"]])

        write(dir, "m.csv.journal.sqlite", "")
        assert.match((yield* plan(list, "--no-preflight")).stderr, /is empty, so its records are lost/)
        rmSync(join(dir, "m.csv.journal.sqlite"))

        write(dir, "base.csv", "a,b\n1,2\n")
        const journal = join(dir, "all.sqlite")
        assert.strictEqual(
          (yield* run("batch", manifest(dir, "One", ["base.csv", "overwrite"]), "--journal", journal)).status,
          0
        )
        const other = manifest(dir, "Two", ["base.csv", "overwrite"])
        const unfit = yield* plan(other, "--journal", journal)
        assert.strictEqual(unfit.status, 66)
        assert.include(unfit.stderr, "none to a table and period of this manifest")
        assert.deepStrictEqual(statuses(yield* plan(other, "--journal", journal, "--accept-journal", "--json")), [
          "planned"
        ])
        assert.isFalse(existsSync(join(dir, "m.csv.journal.sqlite")))
      }))

    it.effect("takes a manifest with other columns and duplicate rows as the run does, and no --durable", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "late.csv", "a,b\n1,2\n")
        const list = write(
          dir,
          "m.csv",
          `sep=;\r\nfile;project;table;period;action;Owner\r\n${
            "late.csv;P;Twice;January:2024;append;Ann\r\n".repeat(2)
          }`
        )
        const columns = yield* plan(list)
        assert.deepStrictEqual([columns.status, columns.stdout], [66, ""])
        assert.include(columns.stderr, "owner (leave it out with --ignore-column owner)")
        const rows = yield* plan(list, "--ignore-column", "Owner", "--json")
        assert.deepStrictEqual([rows.status, JSON.parse(rows.stdout).error.tag], [66, "InvalidManifest"])
        assert.include(JSON.parse(rows.stdout).error.message, "row 3: appends late.csv")
        const both = yield* plan(list, "--ignore-column", "Owner", "--allow-duplicate-rows", "--json")
        assert.deepStrictEqual([both.status, statuses(both)], [0, ["planned", "planned"]])

        const needed = yield* plan(list, "--ignore-column", "Action", "--json")
        assert.strictEqual(needed.status, 64)
        assert.include(
          JSON.parse(needed.stdout).error.message,
          "a column other than file, project, table, period, action"
        )
        const durable = yield* plan(list, "--durable")
        assert.strictEqual(durable.status, 64)
        assert.include(durable.stderr, "Leave out --dry-run")
      }))
  })
})
