import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { chmodSync, readdirSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { bin, folder, settingsFor, start, tbmStudio, write } from "../command.ts"

/** Runs a program as a user who may read everything and write nothing here. */
const asAnother = (env: Record<string, string>, ...args: ReadonlyArray<string>) => {
  const setpriv = ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath]
  return Effect.scoped(Effect.flatMap(
    process.getuid?.() === 0
      ? start("setpriv", [...setpriv, bin, ...args], env)
      : start(process.execPath, [bin, ...args], env),
    ({ ended }) => ended
  ))
}

describe("status", { timeout: 60_000 }, () => {
  layer(
    Simulator.layer({
      seed: 1,
      faults: [
        { match: { path: "Missing" }, times: 1, fault: { type: "status", status: 404 } },
        { match: { path: "Slow" }, fault: { type: "delay", ms: 4_000 } }
      ]
    }),
    { excludeTestServices: true }
  )((it) => {
    const env = Effect.map(Simulator.Simulator, ({ url }) => settingsFor(url))
    const run = (...args: ReadonlyArray<string>) => Effect.flatMap(env, (env) => tbmStudio(args, env))
    const manifestOf = Effect.fnUntraced(function*(...tables: ReadonlyArray<string>) {
      const dir = yield* folder
      write(dir, "x.csv", "account,amount\nx,1\n")
      const rows = tables.map((table) => `x.csv,P,${table},January:2024`)
      const manifest = write(dir, "m.csv", ["file,project,table,period", ...rows, ""].join("\n"))
      return { dir, manifest, journal: `${manifest}.journal.sqlite` }
    })

    it.effect("exits with 1 as long as an upload has failed, and with 0 once a later run has sent it", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf("There", "Missing")
        assert.strictEqual((yield* run("batch", manifest)).status, 65)
        const failed = yield* run("status", manifest)
        assert.strictEqual(failed.status, 1)
        assert.include(failed.stdout, "1 upload did not succeed. Run the batch again to send it.")
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
        assert.strictEqual((yield* run("status", manifest)).status, 0)
      }))

    it.effect("reads a journal where it cannot write, also one whose process was killed, and leaves nothing behind", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf("Read")
        const settings = yield* env
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
        const before = readdirSync(dir)
        chmodSync(dir, 0o555)
        const closed = yield* asAnother(settings, "status", manifest)
        assert.strictEqual(closed.status, 0, closed.stderr)
        assert.include(closed.stdout, "1 uploaded")
        assert.deepStrictEqual(readdirSync(dir), before)

        chmodSync(dir, 0o755)
        const killed = yield* manifestOf("Slow")
        const { state } = yield* Simulator.Simulator
        const { requests } = yield* state
        const batch = yield* start(process.execPath, [bin, "batch", killed.manifest], settings)
        yield* Effect.repeat(state, {
          until: (now) => now.requests > requests + 2,
          schedule: Schedule.spaced("20 millis")
        })
        batch.kill("SIGKILL")
        yield* batch.ended
        chmodSync(killed.dir, 0o555)
        const open = yield* asAnother(settings, "status", killed.manifest)
        chmodSync(killed.dir, 0o755)
        assert.strictEqual(open.status, 130, open.stderr)
        assert.include(open.stdout, "1 started")
      }).pipe(Effect.scoped))

    it.effect("follows a batch until it ends, without a terminal a line for each change", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf("Quick", "Slow")
        const settings = yield* env
        const { state } = yield* Simulator.Simulator
        const { requests } = yield* state
        const batch = yield* start(process.execPath, [bin, "batch", manifest, "--concurrency", "1"], settings)
        yield* Effect.repeat(state, {
          until: (now) => now.requests > requests + 3,
          schedule: Schedule.spaced("20 millis")
        })
        const watch = yield* run("status", manifest, "--watch")
        assert.deepStrictEqual([watch.status, (yield* batch.ended).status], [0, 0])
        assert.deepStrictEqual(watch.stderr.trimEnd().split("\n"), ["1 uploaded · 1 started"])
        assert.include(watch.stdout, "2 uploaded")
      }).pipe(Effect.scoped))

    it.effect("prints what it saw last if a signal ends it", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf("Slow")
        const settings = yield* env
        const batch = yield* start(process.execPath, [bin, "batch", manifest], settings)
        const watch = yield* start("bash", [
          "-c",
          `until [ -s "$2.journal.sqlite-wal" ]; do sleep 0.05; done; exec "$0" "$1" status "$2" --watch --json`,
          process.execPath,
          bin,
          manifest
        ], settings)
        yield* Effect.repeat(watch.output, {
          until: ({ stderr }) => stderr.includes("1 started"),
          schedule: Schedule.spaced("20 millis")
        })
        watch.kill("SIGTERM")
        const ended = yield* watch.ended
        const { error, items } = JSON.parse(ended.stdout)
        assert.deepStrictEqual([ended.status, error.tag, items.length], [130, "Interrupted", 1])
        batch.kill("SIGKILL")
      }).pipe(Effect.scoped))
  })
})

describe("a journal that someone has changed", { timeout: 60_000 }, () => {
  layer(Simulator.layer({ seed: 1 }), { excludeTestServices: true })((it) => {
    it.effect("is rejected with what to do, since running again would not help", () =>
      Effect.gen(function*() {
        const { state, url } = yield* Simulator.Simulator
        const dir = yield* folder
        write(dir, "x.csv", "account,amount\nx,1\n")
        const changes = [
          "UPDATE upload_history SET state = 'done'",
          "UPDATE upload_history SET bytes = 'many'",
          "UPDATE upload_history SET ordinal = -1",
          "ALTER TABLE upload_history RENAME COLUMN note TO remark"
        ]
        for (const [at, change] of changes.entries()) {
          const manifest = write(dir, `${at}.csv`, `file,project,table,period\nx.csv,P,Changed,January:202${at}\n`)
          assert.strictEqual((yield* tbmStudio(["batch", manifest], settingsFor(url))).status, 0)
          const db = new DatabaseSync(`${manifest}.journal.sqlite`)
          db.exec(change)
          db.close()
          const { requests } = yield* state
          for (const command of ["status", "batch"]) {
            const ended = yield* tbmStudio([command, manifest, "--json"], settingsFor(url))
            const { error } = JSON.parse(ended.stdout)
            assert.deepStrictEqual([ended.status, error.tag, error.recovery], [66, "InvalidInput", "Correct"], change)
            assert.include(error.message, "has a record that this tbm-studio cannot read")
          }
          assert.strictEqual((yield* state).requests, requests)
        }
      }))
  })
})
