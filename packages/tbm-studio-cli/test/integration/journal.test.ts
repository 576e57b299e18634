import { Simulator } from "@effect-resilience/tbm-simulator"
import { Journal } from "@effect-resilience/upload"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { recorder } from "../../../tbm-studio/test/recorder.ts"
import * as journalFile from "../../src/internal/journalFile.ts"
import { bin, type Ended, folder, settingsFor, start, tbmStudio, write } from "../command.ts"

interface Item {
  readonly status: string
  readonly table: string
  readonly error?: { readonly tag: string; readonly reason: string }
}

interface Entry {
  readonly state: string
  readonly project: string
  readonly table: string
  readonly action: string
  readonly attempts: number
  readonly verified: boolean
}

const statuses = ({ stdout }: Ended): ReadonlyArray<string> =>
  JSON.parse(stdout).items.map(({ status }: Item) => status)

const states = ({ stdout }: Ended): ReadonlyArray<string> => JSON.parse(stdout).items.map(({ state }: Entry) => state)

/** A manifest in a new folder: a file of two lines for each table. */
const manifestOf = Effect.fnUntraced(function*(...tables: ReadonlyArray<readonly [table: string, action: string]>) {
  const dir = yield* folder
  const rows = tables.map(([table, action]) => {
    write(dir, `${table}.csv`, `account,amount\n${table},1\n`)
    return `${table}.csv,P,${table},January:2024,${action}`
  })
  return { dir, manifest: write(dir, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n")) }
})

const simulator = Simulator.layer({
  seed: 1,
  faults: [
    { match: { path: "Slow" }, fault: { type: "delay", ms: 1_500 } },
    { match: { path: "Silent" }, times: 1, fault: { type: "hang" } },
    { match: { path: "Mute" }, fault: { type: "hang" } },
    { match: { path: "Lost" }, times: 1, apply: true, fault: { type: "reset", at: "beforeResponse" } }
  ]
})

describe("the journal of tbm-studio", { timeout: 90_000 }, () => {
  layer(simulator, { excludeTestServices: true })((it) => {
    const env = Effect.map(Simulator.Simulator, ({ url }) => settingsFor(url))
    const run = (...args: ReadonlyArray<string>) => Effect.flatMap(env, (env) => tbmStudio(args, env))
    const storedIn = (table: string) =>
      Effect.flatMap(
        Simulator.Simulator,
        ({ state }) => Effect.map(state, ({ uploads }) => uploads.filter((upload) => upload.table === table).length)
      )
    /** Starts a command, and waits until the simulator has received this many further requests. */
    const startUntil = Effect.fnUntraced(function*(requests: number, ...args: ReadonlyArray<string>) {
      const { state } = yield* Simulator.Simulator
      const before = (yield* state).requests
      const running = yield* start(process.execPath, [bin, ...args], yield* env)
      yield* state.pipe(
        Effect.repeat({ until: (now) => now.requests >= before + requests, schedule: Schedule.spaced("20 millis") })
      )
      return running
    })

    it.effect("recognises an upload by any spelling of its period", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf(["Spelled", "append"])
        assert.strictEqual((yield* run("batch", manifest)).status, 0)
        write(dir, "m.csv", readFileSync(manifest, "utf8").replace("January:2024", "jan%3A2024"))
        assert.deepStrictEqual(statuses(yield* run("batch", manifest, "--json")), ["skipped"])
        assert.strictEqual(yield* storedIn("Spelled"), 1)
      }))

    it.effect("two runs at once do not send twice: the second is rejected until the first ends or is killed", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf(["Mute", "append"], ["After", "append"])
        const args = ["batch", manifest, "--concurrency", "1", "--json"]
        const first = yield* startUntil(3, ...args)
        const second = yield* run(...args)
        assert.strictEqual(second.status, 69)
        assert.match(JSON.parse(second.stdout).error.message, /another tbm-studio/)
        const running = yield* run("status", manifest)
        assert.deepStrictEqual([running.status, running.stdout.includes("A batch is running.")], [0, true])
        assert.notInclude(running.stdout, "--unknown")
        first.kill("SIGKILL")
        yield* first.ended
        const status = yield* run("status", manifest)
        assert.strictEqual(status.status, 75)
        assert.include(status.stdout, "One append may have arrived or not.")
        const third = yield* run(...args, "--unknown", "skip")
        assert.deepStrictEqual([third.status, statuses(third)], [0, ["assumed", "uploaded"]])
        assert.strictEqual(yield* storedIn("After"), 1)
      }))

    it.effect("a second run sends only what is new or changed, and status reports it", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf(["One", "overwrite"], ["Two", "append"])
        const first = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual([first.status, statuses(first)], [0, ["uploaded", "uploaded"]])
        assert.isTrue(existsSync(`${manifest}.journal.sqlite`))

        const second = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual([second.status, statuses(second)], [0, ["skipped", "skipped"]])
        assert.strictEqual(JSON.parse(second.stdout).totals.skipped, 2)

        const [plain, status, text] = yield* Effect.all([
          run("batch", manifest),
          run("status", manifest, "--json"),
          run("status", `${manifest}.journal.sqlite`)
        ], { concurrency: 2 })
        assert.include(plain.stdout, "2 already there")
        assert.deepStrictEqual([status.status, states(status)], [0, ["uploaded", "uploaded"]])
        const entries: ReadonlyArray<Entry> = JSON.parse(status.stdout).items
        assert.deepStrictEqual(
          entries.map(({ action, attempts, project, table, verified }) => [project, table, action, attempts, verified]),
          [["P", "One", "overwrite", 1, true], ["P", "Two", "append", 1, true]]
        )
        assert.strictEqual(text.status, 0)
        assert.match(text.stdout, /P \/ One \/ January:2024 +overwrite +uploaded/)
        assert.include(text.stdout, "2 uploaded")

        for (const name of ["One.csv", "Two.csv"]) {
          const path = write(dir, name, "account,amount\nnew,22\n")
          utimesSync(path, 1_700_000_000, 1_700_000_000)
        }
        const third = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual([third.status, statuses(third)], [66, ["uploaded", "failed"]])
        assert.strictEqual(JSON.parse(third.stdout).items[1].error.reason, "ChangedSinceUpload")
        assert.deepStrictEqual([yield* storedIn("One"), yield* storedIn("Two")], [2, 1])
      }))

    it.effect("--journal names another file, --no-journal keeps none", () =>
      Effect.gen(function*() {
        const { dir, manifest } = yield* manifestOf(["Elsewhere", "overwrite"])
        const journal = join(dir, "other.sqlite")
        const runs = [
          yield* run("batch", manifest, "--journal", journal, "--json"),
          yield* run("batch", manifest, "--journal", journal, "--json"),
          yield* run("batch", manifest, "--no-journal", "--json")
        ]
        assert.deepStrictEqual(runs.map(statuses), [["uploaded"], ["skipped"], ["uploaded"]])
        assert.deepStrictEqual([existsSync(journal), existsSync(`${manifest}.journal.sqlite`)], [true, false])
        const [status, none, bad] = yield* Effect.all([
          run("status", journal, "--json"),
          run("status", manifest),
          run("batch", manifest, "--journal", join(dir, "missing", "journal.sqlite"), "--json")
        ], { concurrency: 2 })
        assert.deepStrictEqual(states(status), ["uploaded"])
        assert.strictEqual(none.status, 66)
        assert.deepStrictEqual([bad.status, JSON.parse(bad.stdout).error.tag], [64, "InvalidOption"])
      }))

    it.effect("a person decides about an append of unknown outcome: fail, skip or retry", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf(["Lost", "append"], ["Found", "overwrite"])
        const journal = `${manifest}.journal.sqlite`
        const first = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual([first.status, statuses(first)], [75, ["unknown", "uploaded"]])
        const second = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual([second.status, statuses(second)], [75, ["unknown", "skipped"]])
        assert.include((yield* run("batch", manifest)).stdout, "again with --unknown skip")
        assert.strictEqual(JSON.parse(second.stdout).items[0].error.reason, "InDoubt")
        const status = yield* run("status", manifest)
        assert.deepStrictEqual([status.status, /1 uploaded · 1 unknown/.test(status.stdout)], [75, true])
        const doubted = readFileSync(journal)
        const skip = yield* run("batch", manifest, "--unknown", "skip", "--json")
        assert.deepStrictEqual([skip.status, statuses(skip)], [0, ["assumed", "skipped"]])
        const after = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual(
          [after.status, statuses(after)],
          [0, ["skipped", "skipped"]],
          "the decision is remembered"
        )
        assert.strictEqual((yield* run("status", manifest)).status, 0)
        assert.strictEqual(yield* storedIn("Lost"), 1)
        writeFileSync(journal, doubted)
        const retry = yield* run("batch", manifest, "--unknown", "retry", "--json")
        assert.deepStrictEqual([retry.status, statuses(retry)], [0, ["uploaded", "skipped"]])
        assert.strictEqual(yield* storedIn("Lost"), 2)
        const settled = yield* run("status", manifest)
        assert.deepStrictEqual([settled.status, settled.stdout.includes("--unknown")], [0, false])
        assert.match(settled.stdout, /2 uploaded · 1 failed\n/)
        assert.include(settled.stdout, "was in doubt, and is sent again")
      }))

    it.effect("a journal with entries of another program is rejected", () =>
      Effect.gen(function*() {
        const dir = yield* folder
        const path = join(dir, "other.sqlite")
        yield* Effect.flatMap(Journal.Journal, ({ record }) =>
          record({
            place: "x",
            ordinal: 1,
            run: "theirs",
            revision: 1,
            action: "add",
            name: "x",
            state: "uploaded",
            attempts: 1,
            version: undefined,
            bytes: 1,
            md5: undefined,
            verified: true,
            note: undefined,
            at: 0
          })).pipe(
            Effect.provide(Layer.provide(journalFile.layerExclusive(path, { incomplete: false }), NodeServices.layer))
          )
        const status = yield* run("status", path)
        assert.deepStrictEqual([status.status, status.stdout], [66, ""])
        assert.include(status.stderr, "entries of another program")
      }))

    it.effect("a person decides about appends only", () =>
      Effect.sync(() => {
        assert.deepStrictEqual(journalFile.advice([{ action: "overwrite", status: "unknown" }]), [])
        assert.match(journalFile.advice([{ action: "append", status: "unknown" }]).join(), /One append/)
      }))

    it.effect("Ctrl-C finishes the running uploads, reports what is left, and the next run sends that", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf(["Slow", "append"], ["Next", "append"], ["Last", "overwrite"])
        const { ended, kill } = yield* startUntil(3, "batch", manifest, "--concurrency", "1", "--json")
        kill("SIGINT")
        const stopped = yield* ended
        assert.deepStrictEqual([stopped.status, statuses(stopped)], [130, ["uploaded", "notStarted", "notStarted"]])
        assert.strictEqual(JSON.parse(stopped.stdout).totals.notStarted, 2)
        assert.include(stopped.stderr, "Stopping: running uploads may finish.")
        assert.notInclude(stopped.stderr, "notStarted", "of many rows each would be a line")
        const next = yield* run("batch", manifest, "--json")
        assert.deepStrictEqual([next.status, statuses(next)], [0, ["skipped", "uploaded", "uploaded"]])
        assert.deepStrictEqual([yield* storedIn("Slow"), yield* storedIn("Next"), yield* storedIn("Last")], [1, 1, 1])
      }))

    it.effect("--on-interrupt abandon does not wait, and says what may have been applied", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf(["Silent", "append"], ["Mute", "overwrite"], ["After", "overwrite"])
        const args = ["batch", manifest, "--concurrency", "2", "--on-interrupt", "abandon", "--json"]
        const { ended, kill } = yield* startUntil(4, ...args)
        // The bytes follow once the server has the request. Wait until the last of them is sent.
        yield* Effect.sleep("300 millis")
        kill("SIGTERM")
        const stopped = yield* ended
        assert.deepStrictEqual([stopped.status, statuses(stopped)], [75, ["unknown", "failed", "notStarted"]])
        const status = yield* run("status", manifest, "--json")
        assert.deepStrictEqual([status.status, states(status)], [75, ["started", "started"]])
      }))

    it.effect("a second signal ends it at once, with what is known, and the journal records it", () =>
      Effect.gen(function*() {
        const { manifest } = yield* manifestOf(["Mute", "overwrite"], ["Later", "overwrite"])
        const { ended, kill } = yield* startUntil(3, "batch", manifest, "--concurrency", "1", "--json")
        kill("SIGINT")
        yield* Effect.sleep("300 millis")
        kill("SIGINT")
        const stopped = yield* ended
        assert.deepStrictEqual([stopped.status, statuses(stopped)], [130, ["failed", "notStarted"]])
        assert.strictEqual(JSON.parse(stopped.stdout).error.tag, "Interrupted")
        const entries = yield* run("status", manifest, "--json")
        assert.deepStrictEqual([entries.status, states(entries)], [130, ["started"]])
      }))

    it.effect("TBM_TOKEN_CACHE=file: one login for all commands, and no secret in the file", () =>
      Effect.gen(function*() {
        const token = "t0ken+with/odd=chars \"and\" quotes & more"
        const { requests, url } = yield* recorder((request, response) => {
          if (request.url !== "/service/apikeylogin") return false
          request.resume()
          response.writeHead(200, { "apptio-opentoken": token, "content-type": "application/json" }).end("{}")
          return true
        })
        const { dir, manifest } = yield* manifestOf(["Cached", "overwrite"])
        const shared: { readonly [name: string]: string } = {
          ...settingsFor(url),
          TBM_TOKEN_CACHE: "file",
          XDG_CACHE_HOME: dir
        }
        const ended = [
          yield* tbmStudio(["login", "--json"], shared),
          yield* tbmStudio(["batch", manifest, "--json"], shared),
          yield* tbmStudio(["batch", manifest, "--no-journal", "--json"], shared)
        ]
        assert.deepStrictEqual(ended.map(({ status }) => status), [0, 0, 0])
        assert.strictEqual(requests.filter(({ path }) => path === "/service/apikeylogin").length, 1)
        const uploads = requests.filter(({ path }) => path.startsWith("/biit/"))
        assert.deepStrictEqual(uploads.map(({ headers }) => headers["apptio-opentoken"]), [token, token])

        const cache = join(dir, "tbm-studio")
        assert.strictEqual(statSync(cache).mode & 0o077, 0)
        const bytes = readdirSync(cache).filter((name) => name !== "compiled").map((name) =>
          readFileSync(join(cache, name)).toString("latin1")
        ).join("\n")
        assert.include(bytes, "SQLite format 3")
        const log = Object.values(ended).map(({ stderr, stdout }) => stdout + stderr).join("\n")
        for (const secret of [token, shared["TBM_SECRET_KEY"] ?? "", shared["TBM_PUBLIC_KEY"] ?? ""]) {
          const base64 = Buffer.from(secret).toString("base64")
          const encoded = [
            secret,
            encodeURIComponent(secret),
            base64.replace(/=+$/, ""),
            base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
            Buffer.from(secret).toString("hex"),
            JSON.stringify(secret).slice(1, -1)
          ]
          for (const text of encoded) {
            assert.isFalse(bytes.includes(text), text)
            assert.isFalse(log.includes(text), text)
          }
        }
      }))
  })
})
