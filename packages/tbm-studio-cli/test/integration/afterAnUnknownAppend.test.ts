import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs"
import { join } from "node:path"
import { bin, type Ended, folder, settingsFor, start, tbmStudio, write } from "../command.ts"

const documentOf = ({ stdout }: Ended) => JSON.parse(stdout)

describe("after an unknown append", { timeout: 120_000 }, () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (dir: string, ...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(args, settingsFor(url), dir))
    const at = (table: string) => ["--project", "P", "--table", table, "--period", "January:2024"]
    const uploadsTo = (table: string) =>
      Effect.map(
        Effect.flatMap(Simulator.Simulator, ({ state }) => state),
        ({ uploads }) => uploads.filter((upload) => upload.table === table).length
      )
    const faulty = (...rules: ReadonlyArray<FaultRule.FaultRule>) =>
      Effect.flatMap(Simulator.Simulator, ({ addFaults }) => addFaults(rules))
    const lost = (table: string, apply: boolean): FaultRule.FaultRule => ({
      match: { operation: "upload", path: `P/${table}/*append` },
      times: 1,
      apply,
      fault: { type: "reset", at: "beforeResponse" }
    })
    const base = "A,B\n1,a\n2,b\n"
    const late = "A,B\n3,c\n"

    it.effect("upload --look tells what has changed in the table, and sends nothing again", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "base.csv", base)
        write(dir, "late.csv", late)
        const append = ["upload", "late.csv", "--action", "append", "--look"]
        for (
          const [table, apply, more, says, sentence] of [
            ["Missing", false, [], "unchanged", "is as it was before this append, with 2 rows"],
            ["Arrived", true, [], "grown", "has 1 row more than before this append, as many as the file"],
            ["Uncounted", true, ["--no-preflight"], "changed", "had 2 rows before this append and has 3 now"]
          ] as const
        ) {
          assert.strictEqual((yield* run(dir, "upload", "base.csv", ...at(table))).status, 0)
          yield* faulty(lost(table, apply))
          const ended = yield* run(dir, ...append, ...at(table), ...more, "--json")
          const { look, status } = documentOf(ended)
          assert.deepStrictEqual([ended.status, status, look.says, look.before.rows], [75, "unknown", says, 2], table)
          assert.include(look.message, sentence)
          assert.include(look.message, "look at it yourself")
          assert.strictEqual(yield* uploadsTo(table), apply ? 2 : 1)
        }
        const quiet = yield* run(dir, ...append, ...at("Arrived"), "--json")
        assert.deepStrictEqual([quiet.status, documentOf(quiet).look], [0, undefined])
      }))

    it.effect("upload --look also appends to what it cannot look at, and says that it could not", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "late.csv", late)
        const append = (table: string) => run(dir, "upload", "late.csv", "--action", "append", "--look", ...at(table))
        const download = (table: string, after: number): FaultRule.FaultRule => ({
          match: { operation: "download", path: `tables/${table}/` },
          after,
          fault: { type: "status", status: 403 }
        })
        yield* faulty(download("Hidden", 0))
        const hidden = yield* append("Hidden")
        assert.strictEqual(hidden.status, 0)
        assert.include(hidden.stderr, "P / Hidden / January:2024 could not be looked at before late.csv is appended")

        yield* faulty(download("Later", 1), lost("Later", true))
        const later = yield* append("Later")
        assert.strictEqual(later.status, 75)
        assert.include(later.stderr, "P / Later / January:2024 could not be looked at again")
      }))

    it.effect("a batch remembers its look in the journal, for the next run and for resolve", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "base.csv", base)
        write(dir, "late.csv", late)
        write(dir, "more.csv", "A,B\n4,d\n5,e\n")
        const rows = ["One", "Two"].flatMap((table) => [
          `base.csv,P,${table},Jan:2024,overwrite`,
          `${table === "One" ? "late" : "more"}.csv,P,${table},Jan:2024,append`
        ])
        write(dir, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        yield* faulty(lost("One", true), lost("Two", false))
        const statuses = (ended: Ended) =>
          documentOf(ended).items.map(({ look, status }: { look?: { says: string }; status: string }) =>
            look === undefined ? status : `${status}: ${look.says}`
          )
        const first = yield* run(dir, "batch", "m.csv", "--look", "--json")
        assert.deepStrictEqual([first.status, statuses(first)], [
          75,
          ["uploaded", "unknown: grown", "uploaded", "unknown: unchanged"]
        ])
        const second = yield* run(dir, "batch", "m.csv", "--look", "--json")
        assert.deepStrictEqual([second.status, statuses(second)], [
          75,
          ["skipped", "unknown: grown", "skipped", "unknown: unchanged"]
        ])
        assert.include((yield* run(dir, "batch", "m.csv", "--look")).stdout, "it has probably arrived.")

        const asked = yield* run(dir, "resolve", "m.csv")
        assert.deepStrictEqual([asked.status, asked.stdout], [64, ""])
        assert.include(asked.stderr, "no terminal to ask on")
        const none = yield* run(dir, "resolve", "m.csv", "--unknown", "skip", "--file", "base.csv")
        assert.strictEqual(none.status, 66)
        assert.include(
          none.stderr,
          "m.csv.journal.sqlite, but of late.csv, more.csv."
        )

        const skip = yield* run(dir, "resolve", "m.csv", "--unknown", "skip", "--file", "late.csv", "--look", "--json")
        const [item] = documentOf(skip).items
        assert.deepStrictEqual(
          [skip.status, documentOf(skip).left, item.file, item.decision, item.look.says],
          [75, 1, "late.csv", "skip", "grown"]
        )
        const retry = yield* run(dir, "resolve", "m.csv.journal.sqlite", "--unknown", "retry")
        assert.deepStrictEqual([retry.status, retry.stdout], [
          0,
          "1 to be sent again\nRun the batch again: it sends what is missing.\n"
        ])
        assert.strictEqual((yield* run(dir, "status", "m.csv")).status, 1)
        const third = yield* run(dir, "batch", "m.csv", "--json")
        assert.deepStrictEqual([third.status, statuses(third)], [0, ["skipped", "skipped", "skipped", "uploaded"]])
        assert.deepStrictEqual([yield* uploadsTo("One"), yield* uploadsTo("Two")], [2, 2])
        const nothing = yield* run(dir, "resolve", "m.csv", "--unknown", "retry")
        assert.deepStrictEqual([nothing.status, nothing.stdout], [0, "Nothing is in doubt.\n"])
      }))

    it.effect("a look survives a killed process", () =>
      Effect.scoped(Effect.gen(function*() {
        const dir = yield* folder
        const { state, url } = yield* Simulator.Simulator
        write(dir, "late.csv", late)
        write(dir, "m.csv", "file,project,table,period,action\nlate.csv,P,Killed,Jan:2024,append\n")
        yield* faulty({
          match: { operation: "upload", path: "P/Killed/" },
          times: 1,
          apply: true,
          fault: { type: "hang" }
        })
        const batch = yield* start(process.execPath, [bin, "batch", "m.csv", "--look"], settingsFor(url), dir)
        while ((yield* uploadsTo("Killed")) === 0) yield* Effect.promise(() => fetch(`${url}/__simulator/state`))
        batch.kill("SIGKILL")
        yield* batch.ended
        const { requests } = yield* state
        const resolved = yield* run(dir, "resolve", "m.csv", "--unknown", "skip", "--look", "--json")
        assert.deepStrictEqual([resolved.status, documentOf(resolved).items[0].look.says], [0, "grown"])
        assert.isAbove((yield* state).requests, requests)
        assert.strictEqual((yield* run(dir, "batch", "m.csv")).status, 0)
        assert.strictEqual(yield* uploadsTo("Killed"), 1)
      })))

    it.effect("resolve makes no journal where there is none", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "m.csv", "file,project,table,period\n")
        assert.strictEqual((yield* run(dir, "resolve", "m.csv", "--unknown", "skip")).status, 66)
        assert.deepStrictEqual(readdirSync(dir), ["m.csv"])
      }))

    it.effect("--backup keeps what an overwrite replaces, for its owner only", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "base.csv", base)
        write(dir, "late.csv", late)
        write(dir, "m.csv", "file,project,table,period\nlate.csv,P,Kept / it,Jan:2024\nlate.csv,P,New,Jan:2024\n")
        yield* run(dir, "upload", "base.csv", "--project", "P", "--table", "Kept / it", "--period", "Jan:2024")
        const first = yield* run(dir, "batch", "m.csv", "--backup", "old", "--json")
        const [kept, none] = documentOf(first).items
        assert.deepStrictEqual([first.status, none.backup], [0, undefined], first.stderr)
        assert.match(kept.backup, /^old\/P Kept_it January_2024 \d{4}-\d\d-\d\dT\d{6}Z\.tsv$/)
        const backup = join(dir, kept.backup)
        assert.strictEqual(readFileSync(backup, "utf8"), "A\tB\n1\ta\n2\tb\n")
        assert.deepStrictEqual([statSync(backup).mode & 0o777, statSync(join(dir, "old")).mode & 0o777], [0o600, 0o700])

        for (let i = 0; i < 2; i++) {
          const again = yield* run(dir, "upload", "base.csv", ...at("New").slice(0, 5), "Jan:2024", "--backup", "old")
          assert.strictEqual(again.status, 0, again.stderr)
          assert.include(again.stdout, "What it replaced is in old/P New January_2024")
        }
        assert.lengthOf(readdirSync(join(dir, "old")), 3)
        write(dir, "late.csv", base)
        const batch = yield* run(dir, "batch", "m.csv", "--backup", "old")
        assert.include(batch.stdout, "What 2 overwrites replaced is in old.")
      }))

    it.effect("--backup keeps a content once, however often its overwrite fails, and a content that came back again", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "base.csv", base)
        write(dir, "late.csv", late)
        const upload = (file: string) => run(dir, "upload", file, ...at("Often"), "--backup", "old", "--json")
        assert.strictEqual((yield* upload("base.csv")).status, 0)
        yield* faulty({ match: { path: "P/Often/*overwrite" }, times: 3, fault: { type: "status", status: 403 } })
        const backups: Array<string> = []
        for (let i = 0; i < 4; i++) backups.push(documentOf(yield* upload("late.csv")).backup)
        assert.deepStrictEqual(readdirSync(join(dir, "old")).map((name) => `old/${name}`), [...new Set(backups)])
        assert.lengthOf(readdirSync(join(dir, "old")), 1)
        for (const file of ["base.csv", "late.csv"]) yield* upload(file)
        const kept = readdirSync(join(dir, "old")).toSorted().map((name) =>
          readFileSync(join(dir, "old", name), "utf8")
        )
        assert.deepStrictEqual(kept, ["A\tB\n1\ta\n2\tb\n", "A\tB\n3\tc\n", "A\tB\n1\ta\n2\tb\n"])
      }))

    it.effect("--backup removes what a killed one had begun, and neither what one writes now nor other files", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "base.csv", base)
        mkdirSync(join(dir, "old"), { mode: 0o700 })
        const names = [
          "P T January_2024 2024-02-01T000000Z.tsv",
          "mine.part",
          "now.tsv.1a2b.part",
          "P T x.tsv.zz9.part"
        ]
        for (const name of names) write(join(dir, "old"), name, "A\n")
        const yesterday = Date.now() / 1000 - 86_400
        for (const name of names.filter((name) => !name.startsWith("now"))) {
          utimesSync(join(dir, "old", name), yesterday, yesterday)
        }
        const ended = yield* run(dir, "upload", "base.csv", ...at("Cleaned"), "--backup", "old")
        assert.strictEqual(ended.status, 0, ended.stderr)
        assert.deepStrictEqual(readdirSync(join(dir, "old")).toSorted(), names.slice(0, 3).toSorted())

        for (const name of ["got.tsv.a1.part", "gotten.tsv.a1.part"]) {
          write(dir, name, "A\n")
          utimesSync(join(dir, name), yesterday, yesterday)
        }
        assert.strictEqual((yield* run(dir, "download", ...at("Cleaned"), "--output", "got.tsv")).status, 0)
        assert.deepStrictEqual(readdirSync(dir).toSorted(), ["base.csv", "got.tsv", "gotten.tsv.a1.part", "old"])
      }))

    it.effect("an overwrite whose backup cannot be made is not sent", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "base.csv", base)
        write(dir, "m.csv", "file,project,table,period\nbase.csv,P,Guarded,January:2024\n")
        yield* run(dir, "upload", "base.csv", ...at("Guarded"))
        yield* faulty({
          match: { operation: "download", path: "tables/Guarded/" },
          times: 1,
          fault: { type: "status", status: 403 }
        })
        const denied = yield* run(dir, "batch", "m.csv", "--backup", "old", "--json")
        const [item] = documentOf(denied).items
        assert.deepStrictEqual([denied.status, item.status, item.error.tag], [77, "failed", "BackupFailed"])
        assert.include(item.error.message, "It was not sent, since what it replaces could not be kept")
        assert.deepStrictEqual([yield* uploadsTo("Guarded"), readdirSync(join(dir, "old"))], [1, []])
        assert.strictEqual((yield* run(dir, "batch", "m.csv", "--backup", "old")).status, 0)

        mkdirSync(join(dir, "open"))
        chmodSync(join(dir, "open"), 0o755)
        for (const directory of ["open", "base.csv"]) {
          const ended = yield* run(dir, "upload", "base.csv", ...at("Guarded"), "--backup", directory)
          assert.deepStrictEqual([ended.status, ended.stdout], [64, ""], directory)
          assert.include(ended.stderr, `--backup ${directory} cannot be used`)
        }
        assert.strictEqual(yield* uploadsTo("Guarded"), 2)
      }))

    it.effect("resolve is believed by a batch whose sessions are in doubt, also if the batch fails at first", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "late.csv", late)
        write(dir, "s.csv", "file,project,table,period,action\nlate.csv,P,Sessions,Jan:2024,append\n")
        const batch = run(dir, "batch", "s.csv", "--via", "uploader", "--sessions", "sessions", "--json")
        yield* faulty({ match: { operation: "process" }, times: 1, fault: { type: "reset", at: "beforeResponse" } })
        for (const ended of [yield* batch, yield* batch]) assert.strictEqual(ended.status, 75, ended.stdout)
        assert.strictEqual((yield* run(dir, "resolve", "s.csv", "--unknown", "retry")).status, 0)
        yield* faulty({ match: { operation: "login" }, times: 1, fault: { type: "status", status: 403 } })
        assert.strictEqual((yield* batch).status, 77)
        for (const status of ["uploaded", "skipped"]) {
          const ended = yield* batch
          assert.deepStrictEqual([ended.status, documentOf(ended).items[0].status], [0, status], ended.stdout)
        }
        assert.strictEqual(yield* uploadsTo("Sessions"), 1)
      }))

    it.effect("resolve is believed by a batch that then sends other content under the same name", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "late.csv", late)
        write(dir, "s.csv", "file,project,table,period,action\nlate.csv,P,Changed,Jan:2024,append\n")
        const batch = ["batch", "s.csv", "--via", "uploader", "--sessions", "sessions", "--json"]
        const reset = { type: "reset", at: "beforeResponse" } as const
        yield* faulty({ match: { operation: "process" }, times: 1, apply: true, fault: reset })
        assert.strictEqual((yield* run(dir, ...batch)).status, 75)
        assert.strictEqual((yield* run(dir, "resolve", "s.csv", "--unknown", "skip")).status, 0)
        write(dir, "late.csv", `${late}4,d\n`)
        assert.strictEqual((yield* run(dir, ...batch)).status, 66)
        assert.strictEqual((yield* run(dir, ...batch, "--changed", "send")).status, 0)
      }))
  })
})
