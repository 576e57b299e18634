// What the command does with rows of one table and period, which depend on each other, and with journals that it finds.
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, utimesSync } from "node:fs"
import { join } from "node:path"
import * as Place from "../../src/internal/place.ts"
import { bin, type Ended, folder, settingsFor, start, tbmStudio, write } from "../command.ts"

interface Item {
  readonly status: string
  readonly error?: { readonly reason: string; readonly message: string }
}

const itemsOf = ({ stdout }: Ended): ReadonlyArray<Item> => JSON.parse(stdout).items

const statuses = (ended: Ended): ReadonlyArray<string> => itemsOf(ended).map(({ status }) => status)

const rowsOf = (name: string) => `account,amount\n${name},1\n`

describe("a batch", { timeout: 60_000 }, () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio([...args, "--json"], settingsFor(url)))
    const batch = (manifest: string, ...args: ReadonlyArray<string>) => run("batch", manifest, ...args)
    const fault = (rule: FaultRule.FaultRule) =>
      Effect.flatMap(Simulator.Simulator, ({ addFaults }) => addFaults([rule]))
    const uploadsOf = (table: string) =>
      Effect.flatMap(
        Simulator.Simulator,
        ({ state }) => Effect.map(state, ({ uploads }) => uploads.filter((upload) => upload.table === table))
      )
    const bytesOf = (table: string) =>
      Effect.flatMap(
        Simulator.Simulator,
        ({ state }) => Effect.map(state, ({ tables }) => tables[`P/${table}/January:2024`]?.bytes)
      )
    const manifestOf = Effect.fnUntraced(
      function*(table: string, ...rows: ReadonlyArray<readonly [file: string, action: string]>) {
        const dir = yield* folder
        for (const [file] of rows) write(dir, file, rowsOf(file))
        return { dir, manifest: write(dir, "m.csv", manifest(table, rows)) }
      }
    )
    const manifest = (table: string, rows: ReadonlyArray<readonly [file: string, action: string]>) =>
      ["file,project,table,period,action", ...rows.map(([f, a]) => `${f},P,${table},January:2024,${a}`), ""].join("\n")
    const both = rowsOf("base.csv").length + rowsOf("delta.csv").length

    it.effect("sends nothing after a failed row of the same table and period, and the next run sends both", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf("Held", ["base.csv", "overwrite"], ["delta.csv", "append"])
        yield* fault({ match: { path: "Held" }, times: 1, fault: { type: "status", status: 404 } })
        const first = yield* batch(manifest)
        assert.deepStrictEqual([first.status, statuses(first)], [65, ["failed", "notStarted"]])
        assert.strictEqual(itemsOf(first)[1]?.error?.reason, "HeldBack")
        const second = yield* batch(manifest)
        assert.deepStrictEqual([second.status, statuses(second)], [0, ["uploaded", "uploaded"]])
        assert.strictEqual(yield* bytesOf("Held"), both)
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["skipped", "skipped"])
      }))

    it.effect("sends appends again that an overwrite removed, if its file was corrected after a clean run", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Fixed", ["base.csv", "overwrite"], ["delta.csv", "append"])
        assert.strictEqual((yield* batch(manifest)).status, 0)
        write(dir, "base.csv", "account,amount\ncorrected,2\n")
        const second = yield* batch(manifest)
        assert.deepStrictEqual([second.status, statuses(second)], [0, ["uploaded", "uploaded"]])
        const actions = (yield* uploadsOf("Fixed")).map(({ action }) => action)
        assert.deepStrictEqual(actions, ["overwrite", "append", "overwrite", "append"])
      }))

    it.effect("ends with the last of two overwrites of one table and period", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Twice", ["a.csv", "overwrite"], ["b.csv", "overwrite"])
        yield* fault({ match: { path: "Twice" }, times: 1, fault: { type: "status", status: 404 } })
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["failed", "notStarted"])
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["uploaded", "uploaded"])
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["skipped", "skipped"])
        write(dir, "a.csv", rowsOf("corrected"))
        const corrected = yield* batch(manifest)
        assert.deepStrictEqual([corrected.status, statuses(corrected)], [0, ["superseded", "skipped"]])
        const files = (yield* uploadsOf("Twice")).map(({ fileName }) => fileName)
        assert.deepStrictEqual(files, ["a.csv", "b.csv"])
      }))

    it.effect("recognises an append however its folder, its manifest, its file and its host are spelled, moved or linked", () =>
      Effect.gen(function*() {
        const { url } = yield* Simulator.Simulator
        const { dir, manifest } = yield* manifestOf("Moved", ["delta.csv", "append"])
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["uploaded"])
        const link = join(dir, "link")
        symlinkSync(dir, link)
        const linked = join(dir, "linked.csv")
        symlinkSync(manifest, linked)
        const respelled = { ...settingsFor(url.replace("127.0.0.1", "localhost")), TBM_DOMAIN: "ACME.com" }
        const runs = [
          yield* batch(join(link, "m.csv")),
          yield* batch(linked),
          yield* tbmStudio(["batch", "./m.csv", "--json"], settingsFor(url), dir),
          yield* tbmStudio(["batch", manifest, "--json"], respelled)
        ]
        renameSync(join(dir, "delta.csv"), join(dir, "late.csv"))
        write(dir, "m.csv", readFileSync(manifest, "utf8").replace("delta.csv", "./late.csv"))
        runs.push(yield* batch(manifest))
        const moved = join(dir, "moved")
        mkdirSync(moved)
        for (const name of ["m.csv", "m.csv.journal.sqlite"]) renameSync(join(dir, name), join(moved, name))
        write(moved, "late.csv", readFileSync(join(dir, "late.csv")))
        runs.push(yield* batch(join(moved, "m.csv")))
        assert.deepStrictEqual(
          runs.map((ended) => [ended.status, ...statuses(ended)]),
          runs.map(() => [0, "skipped"])
        )
        assert.lengthOf(yield* uploadsOf("Moved"), 1)
      }))

    it.effect("counts identical rows, and recognises them in another order", () =>
      Effect.gen(function*() {
        const { dir } = yield* manifestOf("Counted", ["a.csv", "append"])
        write(dir, "b.csv", rowsOf("b.csv"))
        const list = (...files: ReadonlyArray<string>) =>
          write(dir, "m.csv", manifest("Counted", files.map((file) => [file, "append"])))
        assert.deepStrictEqual(statuses(yield* batch(list("a.csv", "b.csv"))), ["uploaded", "uploaded"])
        assert.deepStrictEqual(statuses(yield* batch(list("b.csv", "a.csv"))), ["skipped", "skipped"])
        assert.deepStrictEqual(statuses(yield* batch(list("a.csv", "a.csv", "b.csv"), "--allow-duplicate-rows")), [
          "skipped",
          "uploaded",
          "skipped"
        ])
      }))

    it.effect("skips an append that was only touched, and asks about one that has changed", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Touched", ["delta.csv", "append"])
        assert.strictEqual((yield* batch(manifest)).status, 0)
        utimesSync(join(dir, "delta.csv"), 1_700_000_000, 1_700_000_000)
        const touched = yield* batch(manifest)
        assert.deepStrictEqual([touched.status, statuses(touched)], [0, ["skipped"]])
        write(dir, "delta.csv", rowsOf("changed"))
        const asked = yield* batch(manifest)
        assert.deepStrictEqual([asked.status, itemsOf(asked)[0]?.error?.reason], [66, "ChangedSinceUpload"])
        const { url } = yield* Simulator.Simulator
        assert.include((yield* tbmStudio(["batch", manifest], settingsFor(url))).stdout, "--changed send")
        assert.deepStrictEqual(statuses(yield* batch(manifest, "--changed", "skip")), ["assumed"])
        assert.lengthOf(yield* uploadsOf("Touched"), 1)
        assert.deepStrictEqual(statuses(yield* batch(manifest, "--changed", "send")), ["uploaded"])
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["skipped"])
        assert.lengthOf(yield* uploadsOf("Touched"), 2)
      }))

    it.effect("sends a changed append again with the overwrite of its table, so that no row is there twice", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Replayed", ["base.csv", "overwrite"], ["delta.csv", "append"])
        assert.strictEqual((yield* batch(manifest)).status, 0)
        write(dir, "delta.csv", rowsOf("other.csv"))
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["skipped", "failed"])
        assert.deepStrictEqual(statuses(yield* batch(manifest, "--changed", "send")), ["uploaded", "uploaded"])
        assert.strictEqual(yield* bytesOf("Replayed"), both)
      }))

    it.effect("asks if a table has an append that its manifest no longer lists", () =>
      Effect.gen(function*() {
        const { dir } = yield* manifestOf("Surplus", ["base.csv", "overwrite"], ["delta.csv", "append"])
        const path = join(dir, "m.csv")
        assert.strictEqual((yield* batch(path)).status, 0)
        write(dir, "m.csv", manifest("Surplus", [["base.csv", "overwrite"]]))
        const asked = yield* batch(path)
        assert.deepStrictEqual([asked.status, itemsOf(asked)[0]?.error?.reason], [66, "SurplusAdditions"])
        assert.deepStrictEqual(statuses(yield* batch(path, "--changed", "skip")), ["skipped"])
        assert.deepStrictEqual(statuses(yield* batch(path, "--changed", "send")), ["uploaded"])
        assert.strictEqual(yield* bytesOf("Surplus"), rowsOf("base.csv").length)
      }))

    it.effect("resolves an unknown outcome with the overwrite of its table", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf("Doubted", ["base.csv", "overwrite"], ["delta.csv", "append"])
        yield* fault({
          match: { path: "Doubted", method: "POST" },
          after: 1,
          times: 1,
          apply: true,
          fault: { type: "reset", at: "beforeResponse" }
        })
        const first = yield* batch(manifest)
        assert.deepStrictEqual([first.status, statuses(first)], [75, ["uploaded", "unknown"]])
        assert.deepStrictEqual(statuses(yield* batch(manifest, "--unknown", "retry")), ["uploaded", "uploaded"])
        assert.strictEqual(yield* bytesOf("Doubted"), both)
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["skipped", "skipped"])
      }))

    it.effect("asks once about an append that an overwrite of unknown outcome may have replaced, if that is no longer listed", () =>
      Effect.gen(function*() {
        const { dir } = yield* manifestOf("Endangered", ["delta.csv", "append"], ["base.csv", "overwrite"])
        const path = join(dir, "m.csv")
        const list = (...rows: Parameters<typeof manifest>[1]) => write(dir, "m.csv", manifest("Endangered", rows))
        list(["delta.csv", "append"])
        assert.deepStrictEqual(statuses(yield* batch(path)), ["uploaded"])
        list(["base.csv", "overwrite"])
        yield* fault({
          match: { path: "Endangered", method: "POST" },
          times: 4,
          fault: { type: "reset", at: "beforeResponse" }
        })
        assert.deepStrictEqual((yield* batch(path)).status, 69)
        const status = Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio(["status", path], settingsFor(url)))
        const told = yield* status
        assert.deepStrictEqual([told.status, told.stdout.includes("may have replaced 1 append")], [1, true])
        list(["delta.csv", "append"])
        const asked = yield* batch(path)
        assert.deepStrictEqual([asked.status, itemsOf(asked)[0]?.error?.reason], [75, "InDoubt"])
        assert.deepStrictEqual(statuses(yield* batch(path, "--unknown", "skip")), ["assumed"])
        assert.deepStrictEqual(statuses(yield* batch(path)), ["skipped"])
        const settled = yield* status
        assert.deepStrictEqual([settled.status, settled.stdout.includes("may have replaced")], [0, false])
        assert.lengthOf(yield* uploadsOf("Endangered"), 1)
      }))

    it.effect("rejects an empty journal", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Empty", ["delta.csv", "append"])
        assert.strictEqual((yield* batch(manifest)).status, 0)
        write(dir, "m.csv.journal.sqlite", "")
        const rejected = yield* batch(manifest)
        assert.deepStrictEqual([rejected.status, itemsOf(rejected)], [66, []])
        assert.include(rejected.stderr, "is empty")
        assert.lengthOf(yield* uploadsOf("Empty"), 1)
      }))

    it.effect("asks about a journal of another service, and about one without its tables", () =>
      Effect.gen(function*() {
        const { dir } = yield* manifestOf("Unfit", ["delta.csv", "append"])
        const path = join(dir, "m.csv")
        const { url } = yield* Simulator.Simulator
        assert.strictEqual((yield* batch(path)).status, 0)
        const elsewhere = { ...settingsFor(url), TBM_ENVIRONMENT: "test" }
        const other = yield* tbmStudio(["batch", path, "--json"], elsewhere)
        assert.deepStrictEqual([other.status, itemsOf(other)], [66, []])
        assert.match(
          JSON.parse(other.stdout).error.message,
          /acme.com, main.*acme.com, test.*tbm-studio adopt MANIFEST/
        )

        write(dir, "m.csv", manifest("Unfit again", [["delta.csv", "append"]]))
        const unfit = yield* batch(path)
        assert.strictEqual(unfit.status, 66)
        assert.include(JSON.parse(unfit.stdout).error.message, "--accept-journal")
        assert.deepStrictEqual(statuses(yield* batch(path, "--accept-journal")), ["uploaded"])
        assert.deepStrictEqual(statuses(yield* batch(path)), ["skipped"])
      }))

    it.effect("takes over a journal with uploads to the same service under another address", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Adopted", ["delta.csv", "append"])
        const { url } = yield* Simulator.Simulator
        const before = { ...settingsFor(url), TBM_ENVIRONMENT: "test" }
        const scope = Place.scopeOf({ api: "http://127.0.0.1:9", domain: "acme.com", environment: "main" })
        assert.strictEqual((yield* batch(manifest)).status, 0)
        yield* moveTo(join(dir, "m.csv.journal.sqlite"), scope)
        assert.strictEqual((yield* batch(manifest)).status, 66)
        const adopted = yield* run("adopt", manifest)
        assert.deepInclude(JSON.parse(adopted.stdout), { outdated: 0, moved: 1 })
        assert.deepStrictEqual(statuses(yield* batch(manifest)), ["skipped"])
        assert.strictEqual((yield* tbmStudio(["batch", manifest, "--json"], before)).status, 66)
      }))

    it.effect("rejects a journal of an earlier build until it is adopted, and then continues with it", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf(
          "Old",
          ["base.csv", "overwrite"],
          ["delta.csv", "append"],
          ["late.csv", "append"]
        )
        const { url } = yield* Simulator.Simulator
        yield* outdated(join(dir, "m.csv.journal.sqlite"), url, [
          [join(dir, "base.csv"), "overwrite", "uploaded", 100],
          [join(dir, "delta.csv"), "append", "started", 200]
        ])
        const rejected = yield* batch(manifest)
        assert.deepStrictEqual([rejected.status, itemsOf(rejected)], [66, []])
        assert.include(rejected.stderr, "tbm-studio adopt MANIFEST")
        assert.strictEqual((yield* run("status", manifest)).status, 66)
        const adopted = yield* run("adopt", manifest)
        assert.deepInclude(JSON.parse(adopted.stdout), { outdated: 2, moved: 0 })
        const next = yield* batch(manifest)
        assert.deepStrictEqual([next.status, statuses(next)], [75, ["skipped", "unknown", "notStarted"]])
      }))

    it.effect("lists what is stored if its journal can no longer be written, and exits with 74", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        write(dir, "x.csv", rowsOf("x"))
        const rows = Array.from({ length: 200 }, (_, i) => `x.csv,P,Full${i},January:2024,append`)
        const manifest = write(dir, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        const { url } = yield* Simulator.Simulator
        const limited = `ulimit -f 100; exec "$0" "${bin}" batch "${manifest}" --json`
        const { ended } = yield* start("bash", ["-c", limited, process.execPath], settingsFor(url))
        const full = yield* ended
        const { error, items, totals } = JSON.parse(full.stdout)
        assert.deepStrictEqual([full.status, items.length, error.tag], [74, 200, "JournalError"])
        assert.include(error.message, `${manifest}.journal.sqlite could not be written`)
        const { state } = yield* Simulator.Simulator
        const stored = (yield* state).uploads.filter(({ table }) => table.startsWith("Full")).length
        assert.deepStrictEqual([totals.uploaded, totals.notStarted], [stored, 200 - stored])
        assert.isAbove(stored, 0)
        // When there is room again, the journal is whole. What was stored after its last record is in doubt.
        const again = yield* tbmStudio(["batch", manifest, "--json"], settingsFor(url))
        const { skipped, unknown, uploaded } = JSON.parse(again.stdout).totals
        assert.strictEqual(again.status, unknown === 0 ? 0 : 75)
        assert.strictEqual(skipped + unknown + uploaded, 200)
        assert.isAbove(skipped, 0)
        assert.isAtMost(unknown, 4)
      }))

    it.effect("names a journal only when it has its table", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Begun", ["delta.csv", "append"])
        // As after a killed process.
        write(dir, "m.csv.journal.sqlite.new", "")
        assert.strictEqual((yield* batch(manifest)).status, 0)
        assert.isFalse(existsSync(join(dir, "m.csv.journal.sqlite.new")))
      }))
  })
})

describe("the place of an upload", () => {
  layer(Layer.empty)((it) => {
    it.effect("is the same for all spellings of this machine, a domain and a period", () =>
      Effect.sync(() => {
        const scopes = ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "http://127.9.9.9:8080"]
          .map((api) => Place.scopeOf({ api, domain: "Acme.com", environment: "main" }))
        assert.strictEqual(new Set(scopes.map(Place.describe)).size, 1)
        assert.isFalse(Place.sameScope(
          Place.scopeOf({ api: "https://acme.apptio.com", domain: "acme.com", environment: "main" }),
          Place.scopeOf({ api: "http://localhost:8080", domain: "acme.com", environment: "main" })
        ))
      }))
    it.effect("of the current period differs in each month", () =>
      Effect.sync(() => {
        const scope = Place.scopeOf({ api: "https://acme.apptio.com", domain: "acme.com", environment: "main" })
        const of = (now: string) =>
          Place.of(scope, { project: "P", table: "T", period: "current" as never }, new Date(now).getTime())
        assert.strictEqual(of("2026-05-01T00:00:00Z"), of("2026-05-31T23:59:59Z"))
        assert.notStrictEqual(of("2026-05-31T23:59:59Z"), of("2026-06-01T00:00:00Z"))
      }))
  })
})

const inFile = <A, E>(path: string, effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.orDie(Effect.provide(effect, Layer.fresh(SqliteClient.layer({ filename: path }))))

const moveTo = (path: string, scope: Place.Scope) =>
  inFile(
    path,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql<{ readonly place: string }>`SELECT place FROM upload_history`
      const place = JSON.parse(row?.place ?? "[]")
      const moved = JSON.stringify([scope.service, scope.domain, scope.environment, ...place.slice(3)])
      yield* sql`UPDATE upload_history SET place = ${moved}`
    })
  )

const outdated = (
  path: string,
  url: string,
  entries: ReadonlyArray<readonly [file: string, action: string, state: string, at: number]>
) =>
  inFile(
    path,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE upload_journal (batch VARCHAR(255) NOT NULL, id TEXT NOT NULL, state VARCHAR(16) NOT NULL,
        attempts INTEGER NOT NULL, version VARCHAR(255), bytes BIGINT, md5 VARCHAR(32), verified INTEGER NOT NULL,
        note TEXT, at BIGINT NOT NULL, PRIMARY KEY (batch, id)) WITHOUT ROWID`
      for (const [file, action, state, at] of entries) {
        const id = JSON.stringify([url, "acme.com", "main", file, "P", "Old", "Jan:2024", action, 1])
        yield* sql`INSERT INTO upload_journal VALUES ('', ${id}, ${state}, 1, NULL, NULL, NULL, 1, NULL, ${at})`
      }
    })
  )
