// What is left of a journal, in the ways in which files get lost, is never taken for all of it.
import { type FaultRule, Simulator } from "@effect-resilience/tbm-simulator"
import * as Journal from "@effect-resilience/upload/Journal"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as journalFile from "../../src/internal/journalFile.ts"
import { bin, type Ended, folder, settingsFor, start, tbmStudio, write } from "../command.ts"

const statuses = ({ stdout }: Ended): ReadonlyArray<string> =>
  JSON.parse(stdout).items.map(({ status }: { readonly status: string }) => status)

describe("a batch", { timeout: 60_000 }, () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    const run = (...args: ReadonlyArray<string>) =>
      Effect.flatMap(Simulator.Simulator, ({ url }) => tbmStudio([...args, "--json"], settingsFor(url)))
    const hang: FaultRule.FaultRule = { match: { operation: "upload" }, apply: true, fault: { type: "hang" } }
    const storedIn = (table: string) =>
      Effect.flatMap(
        Simulator.Simulator,
        ({ state }) => Effect.map(state, ({ uploads }) => uploads.filter((upload) => upload.table === table).length)
      )
    const manifestOf = Effect.fnUntraced(function*(table: string) {
      const dir = yield* folder
      write(dir, "x.csv", "account,amount\nx,1\n")
      const manifest = write(dir, "m.csv", `file,project,table,period,action\nx.csv,P,${table},January:2024,append\n`)
      return { dir, manifest, journal: `${manifest}.journal.sqlite` }
    })
    const rejected = Effect.fnUntraced(function*(manifest: string, word: string, ...args: ReadonlyArray<string>) {
      const ended = yield* run("batch", manifest, ...args)
      assert.deepStrictEqual([ended.status, statuses(ended)], [66, []], word)
      assert.include(ended.stderr, word)
      assert.notInclude(ended.stderr, "--no-journal")
    })

    it.effect("stops if its journal is damaged, and says what to do", () =>
      Effect.gen(function*() {
        const { dir, journal, manifest } = yield* manifestOf("Damaged")
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
        const whole = readFileSync(journal)
        const flipped = Buffer.from(whole)
        flipped.fill(0xff, 4_096, 4_296)
        for (const bytes of [whole.subarray(0, 4_096), whole.subarray(0, 50), flipped, Buffer.from("notes\n")]) {
          writeFileSync(journal, bytes)
          yield* rejected(manifest, "is damaged, or not a journal")
        }
        for (const command of ["status", "adopt"]) {
          const ended = yield* run(command, manifest)
          assert.strictEqual(ended.status, 66)
          assert.include(ended.stderr, "is damaged, or not a journal")
        }
        renameSync(journal, join(dir, "away"))
        mkdirSync(journal)
        yield* rejected(manifest, "is damaged, or not a journal")
        assert.strictEqual(yield* storedIn("Damaged"), 1)
      }))

    it.effect("does not create a journal for a link to a missing file", () =>
      Effect.gen(function*() {
        const { dir, journal, manifest } = yield* manifestOf("Unmounted")
        symlinkSync(join(dir, "disk", "journal.sqlite"), journal)
        yield* rejected(manifest, "a link to a file that is missing")
        assert.strictEqual(yield* storedIn("Unmounted"), 0)
      }))

    it.effect("takes the same lock for a journal through any link", () =>
      Effect.gen(function*() {
        const { dir, journal, manifest } = yield* manifestOf("Linked")
        const link = join(dir, "link.sqlite")
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
        symlinkSync(journal, link)
        const second = yield* Effect.provide(
          run("batch", manifest, "--journal", link),
          Layer.provide(journalFile.layerExclusive(journal, { incomplete: false }), NodeServices.layer)
        )
        assert.strictEqual(second.status, 69)
      }))

    it.effect("does not change the database of another program", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Foreign")
        const path = join(dir, "other.sqlite")
        const theirs = new DatabaseSync(path)
        theirs.exec("CREATE TABLE theirs (a)")
        yield* rejected(manifest, "is not a journal of tbm-studio", "--journal", path)
        assert.strictEqual((yield* run("status", path)).status, 66)
        assert.lengthOf(theirs.prepare("SELECT name FROM sqlite_master").all(), 1)
        theirs.close()
      }))

    it.effect("notices that the last records of a killed process are missing, or are all that is left", () =>
      Effect.gen(function*() {
        const { dir, journal, manifest } = yield* manifestOf("Killed")
        const { addFaults, clearFaults, url } = yield* Simulator.Simulator
        yield* addFaults([hang])
        const running = yield* start(process.execPath, [bin, "batch", manifest], settingsFor(url))
        while ((yield* storedIn("Killed")) === 0) yield* Effect.sleep("20 millis")
        running.kill("SIGKILL")
        yield* running.ended
        yield* clearFaults
        const wal = readFileSync(`${journal}-wal`)

        // Reading the status changes nothing.
        assert.strictEqual((yield* run("status", manifest)).status, 75)
        rmSync(`${journal}-wal`)
        rmSync(`${journal}-shm`)
        yield* rejected(manifest, "is incomplete")
        yield* rejected(manifest, "is incomplete")
        assert.strictEqual((yield* run("status", manifest)).status, 66)
        const copy = join(dir, "copy.sqlite")
        copyFileSync(journal, copy)
        const accepted = yield* run("batch", manifest, "--journal", copy, "--accept-journal")
        assert.deepStrictEqual(statuses(accepted), ["uploaded"])
        assert.deepStrictEqual(statuses(yield* run("batch", manifest, "--journal", copy)), ["skipped"])

        writeFileSync(`${journal}-wal`, wal)
        const doubted = yield* run("batch", manifest)
        assert.deepStrictEqual([doubted.status, statuses(doubted)], [75, ["unknown"]])

        rmSync(journal)
        writeFileSync(`${journal}-wal`, wal)
        yield* rejected(manifest, "There is no journal")
        rmSync(`${journal}-wal`)
        assert.deepStrictEqual(statuses(yield* run("batch", manifest)), ["uploaded"])
      }))

    it.effect("creates a journal again if it was killed before the journal had its table", () =>
      Effect.gen(function*() {
        const { journal, manifest } = yield* manifestOf("Begun")
        for (const suffix of ["", "-wal", "-shm"]) writeFileSync(`${journal}.new${suffix}`, "left over")
        assert.deepStrictEqual(statuses(yield* run("batch", manifest)), ["uploaded"])
        for (const suffix of ["", "-wal", "-shm"]) assert.isFalse(existsSync(`${journal}.new${suffix}`))
      }))

    it.effect("exits with 74 if the disk has no room for a new journal, and sends nothing", () =>
      Effect.gen(function*() {
        const { journal, manifest } = yield* manifestOf("Roomless")
        const { state, url } = yield* Simulator.Simulator
        const limited = `ulimit -f 0; exec "$0" "${bin}" batch "${manifest}" --json`
        const { ended } = yield* start("bash", ["-c", limited, process.execPath], settingsFor(url))
        const full = yield* ended
        const { error, items } = JSON.parse(full.stdout)
        assert.deepStrictEqual([full.status, error.tag, items], [74, "CannotWrite", []])
        assert.include(error.message, `The journal ${journal} cannot be opened: `)
        assert.deepStrictEqual((yield* state).uploads.filter(({ table }) => table.startsWith("Roomless")), [])
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
      }))

    it.effect("does not suggest --no-journal for an existing journal", () =>
      Effect.gen(function*() {
        const { journal, manifest } = yield* manifestOf("Guarded")
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
        rmSync(`${journal}.lock`)
        // A lock that cannot be taken.
        mkdirSync(`${journal}.lock`)
        const ended = yield* run("batch", manifest)
        assert.strictEqual(ended.status, 64)
        assert.include(ended.stderr, "cannot be opened")
        assert.notInclude(ended.stderr, "--no-journal")
      }))
  })
})

describe("a journal", () => {
  layer(NodeServices.layer)((it) => {
    it.effect("is complete after it was closed, without any file beside it", () =>
      Effect.gen(function*() {
        const path = join(yield* folder, "j.sqlite")
        const entries = Effect.flatMap(Journal.Journal, ({ history }) => history(["x"]))
        yield* Effect.provide(entries, Layer.fresh(journalFile.layerExclusive(path, { incomplete: false })))
        assert.isFalse(existsSync(`${path}-wal`))
        yield* Effect.provide(entries, Layer.fresh(journalFile.layer(path)))
        yield* Effect.provide(entries, Layer.fresh(journalFile.layerExclusive(path, { incomplete: false })))
      }))
  })
})
