import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Simulator } from "@effect-resilience/tbm-simulator"
import outputSchema from "@effect-resilience/tbm-studio-cli/schema/output.json" with { type: "json" }
import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Config, Effect, Fiber, Layer, Redacted, Schedule } from "effect"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { bin, folder, settingsFor, start, tbmStudio, write } from "../../command.ts"

interface Item {
  readonly status: string
  readonly table: string
  readonly action: "overwrite" | "append"
  readonly file: string
  readonly md5: string | null
}

/** Postgres, and a simulator whose uploads take as many milliseconds. */
const services = (ms: number) =>
  Layer.merge(
    Simulator.layer({ seed: 1, faults: [{ match: { operation: "upload" }, fault: { type: "delay", ms } }] }),
    PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") }).pipe(Layer.orDie)
  )

const prompt = Simulator.layer({ seed: 1 })

const until = <E, R>(check: Effect.Effect<boolean, E, R>) =>
  check.pipe(Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("100 millis") }))

interface Attempt {
  readonly outcome: string
  readonly time: string
  readonly durationMs: number
}

/** A worker's requests, from its access log. */
const attemptsIn = (log: string): ReadonlyArray<Attempt> => {
  const whole = existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(0, -1) : []
  return whole.map((line) => JSON.parse(line)).filter(({ kind }) => kind === "attempt")
}

const items = 40

/** Ends when two workers have shards. */
const sharing = Effect.flatMap(PgClient.PgClient, (sql) =>
  until(Effect.map(
    sql<{ pids: number }>`SELECT count(DISTINCT pid)::int AS pids FROM pg_locks WHERE locktype = 'advisory'`,
    ([row]) => row?.pids === 2
  )))

/** Two workers that both have shards, a manifest, and what is needed to submit it. */
const cluster = Effect.fnUntraced(function*(submitting: ReadonlyArray<string>, count = items) {
  const { url } = yield* Simulator.Simulator
  const env = { ...settingsFor(url), DATABASE_URL: Redacted.value(yield* Config.Redacted("DATABASE_URL")) }
  const dir = yield* folder
  const rows = Array.from({ length: count }, (_, index) => {
    write(dir, `${index}.csv`, `account,amount\r\n${index},1\r\n`)
    return `${index}.csv,P,${dir} ${index},January:2024,${index % 2 === 0 ? "overwrite" : "append"}`.replaceAll(
      "/",
      "-"
    )
  })
  const manifest = write(dir, "manifest.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
  const workers = yield* Effect.forEach(["one", "two"], (name) =>
    Effect.gen(function*() {
      const log = join(dir, `${name}.jsonl`)
      const port = yield* LocalServer.freePort
      const args = ["worker", "--port", String(port), "--access-log", log, "--json"]
      const running = yield* start(process.execPath, [bin, ...args], env)
      const attempts = () => attemptsIn(log)
      return {
        ...running,
        address: `127.0.0.1:${port}`,
        attempts,
        outcomes: () => attempts().map(({ outcome }) => outcome)
      }
    }))
  yield* sharing
  const submit = tbmStudio(["batch", manifest, "--durable", "--json", ...submitting], env)
  return { env, workers, submit }
})

const isCluster = new Ajv2020({ strict: true, strictRequired: false }).compile({
  ...outputSchema,
  anyOf: [{ $ref: "#/$defs/cluster" }]
})

interface Worker {
  readonly address: string
  readonly concurrency: number
  readonly share: number
  readonly running: ReadonlyArray<{ readonly table: string; readonly period: string }>
  readonly uploaded: number
  readonly heartbeatMs: number
  readonly isAlive: boolean
}

const recordOf = Effect.flatMap(Simulator.Simulator, ({ state }) => Effect.map(state, ({ uploads }) => uploads))

describe("a cluster on Postgres", { timeout: 90_000 }, () => {
  layer(services(300), { excludeTestServices: true })((it) => {
    it.effect("loses and doubles nothing when one of two workers is killed, and remembers what it did", () =>
      Effect.gen(function*() {
        const { submit, workers: [one, two] } = yield* cluster(["--concurrency", "8"])
        if (one === undefined || two === undefined) return assert.fail("two workers")
        const killed = Effect.andThen(
          until(Effect.sync(() => one.outcomes().length >= 5 && two.outcomes().length >= 5)),
          Effect.sync(() => one.kill("SIGKILL"))
        )
        const [{ status, stdout }] = yield* Effect.all([submit, killed], { concurrency: 2 })

        const record = yield* recordOf
        const reported: ReadonlyArray<Item> = JSON.parse(stdout).items
        assert.strictEqual(reported.length, items)
        for (const { action, file, md5, status, table } of reported) {
          const stored = record.filter((upload) => upload.table === table)
          const content = createHash("md5").update(readFileSync(file)).digest("hex")
          assert.isTrue(stored.every((upload) => upload.md5 === content && upload.action === action), table)
          if (action === "append") assert.isAtMost(stored.length, 1, table)
          else assert.isAtLeast(stored.length, 1, table)
          if (status === "unknown") {
            assert.strictEqual(action, "append", table)
          } else {
            // The killed worker uploaded and journaled a skipped row, but did not report it to the engine.
            assert.include(["uploaded", "skipped"], status, table)
            assert.deepStrictEqual([md5, stored.length > 0], [content, true], table)
          }
        }
        assert.strictEqual(status, reported.some(({ status }) => status === "unknown") ? 75 : 0)

        const again = yield* submit
        assert.strictEqual(again.status, status)
        assert.deepStrictEqual(
          JSON.parse(again.stdout).items.map(({ status }: Item) => status),
          reported.map(({ status }) => status)
        )
        assert.strictEqual((yield* recordOf).length, record.length)
      }))

    it.effect("uploads as many at once as all of its workers together", () =>
      Effect.gen(function*() {
        const { submit, workers } = yield* cluster([])
        const { status, stderr } = yield* submit
        assert.strictEqual(status, 0, stderr)
        const uploads = workers.flatMap(({ attempts }) => attempts()).filter(({ durationMs }) => durationMs >= 300)
        assert.isAtLeast(uploads.length, items)
        const begun = uploads.map(({ durationMs, time }) => Date.parse(time) - durationMs)
        const atOnce = begun.map((at) => begun.filter((other) => other <= at && other > at - 300).length)
        // Four by each of the two, as far as their logs show.
        assert.isAbove(Math.max(...atOnce), 6)
      }))

    it.effect("shows its workers, what each does, and which of them is lost", () =>
      Effect.gen(function*() {
        // As many as take several heartbeats.
        const count = 4 * items
        const { env, submit, workers: [one, two] } = yield* cluster([], count)
        if (one === undefined || two === undefined) return assert.fail("two workers")
        // Workers that other tests have killed are there for a while.
        const ours = [one.address, two.address]
        const shown = Effect.map(tbmStudio(["status", "--cluster", "--json"], env), ({ status, stdout }) => {
          const document: unknown = JSON.parse(stdout)
          assert.isTrue(isCluster(document), stdout)
          const all: ReadonlyArray<Worker> = JSON.parse(stdout).workers
          const workers = all.filter(({ address }) => ours.includes(address))
          return { status, alive: workers.filter(({ isAlive }) => isAlive), workers }
        })
        const busy = shown.pipe(
          Effect.repeat({ until: ({ alive }) => alive.some(({ running }) => running.length > 0) })
        )
        const [seen, { status, stderr }] = yield* Effect.all([busy, submit], { concurrency: 2 })
        assert.deepStrictEqual([seen.status, status], [0, 0], stderr)
        assert.deepStrictEqual(seen.alive.map(({ concurrency }) => concurrency), [4, 4])
        const shares = seen.alive.map(({ share }) => share)
        assert.approximately(shares.reduce((sum, share) => sum + share, 0), 1, 0.01)
        assert.isTrue(shares.every((share) => share > 0.1), `${shares}`)
        const running = seen.alive.flatMap(({ running }) => running)
        assert.isTrue(running.every(({ period }) => period === "January:2024"), JSON.stringify(running))

        yield* until(Effect.map(shown, ({ alive }) => alive.reduce((sum, { uploaded }) => sum + uploaded, 0) === count))
        two.kill("SIGTERM")
        yield* two.ended
        assert.lengthOf((yield* shown).workers, 1)
        one.kill("SIGKILL")
        yield* until(Effect.map(shown, ({ alive }) => alive.length === 0))
        const lost = yield* shown
        assert.strictEqual(lost.status, 69)
        assert.isAbove(lost.workers[0]?.heartbeatMs ?? 0, 15_000)
        const text = yield* tbmStudio(["status", "--cluster"], env)
        assert.match(text.stdout, /ago, lost\n[^]*No worker is there · \d+ without a heartbeat/)
      }))

    it.effect("--max-time stops waiting for the workers, which continue", () =>
      Effect.gen(function*() {
        const { url } = yield* Simulator.Simulator
        const env = { ...settingsFor(url), DATABASE_URL: Redacted.value(yield* Config.Redacted("DATABASE_URL")) }
        const dir = yield* folder
        write(dir, "a.csv", "a,b\n1,2\n")
        const manifest = write(dir, "m.csv", "file,project,table,period\na.csv,P,No time,January:2024\n")
        const { status, stderr, stdout } = yield* tbmStudio(
          ["batch", manifest, "--durable", "--max-time", "3s", "--json"],
          env
        )
        const { items: [item] } = JSON.parse(stdout)
        assert.deepStrictEqual([status, item.status, item.error.tag], [130, "unknown", "TimeOver"], stderr)
        assert.match(item.error.message, /The workers may still upload it/)
      }))

    it.effect("gets no uploads if a file is invalid, unless the preflight is off", () =>
      Effect.gen(function*() {
        const { url } = yield* Simulator.Simulator
        const env = { ...settingsFor(url), DATABASE_URL: Redacted.value(yield* Config.Redacted("DATABASE_URL")) }
        const dir = yield* folder
        write(dir, "bad.csv", "a,b\n1\n")
        const manifest = write(dir, "m.csv", `file,project,table,period\nbad.csv,P,Preflight,January:2024\n`)
        const before = (yield* recordOf).length
        const ended = yield* tbmStudio(["batch", manifest, "--durable"], env)
        assert.deepStrictEqual([ended.status, ended.stdout], [66, ""])
        assert.match(ended.stderr, /bad\.csv, line 2: has 1 field where the header has 2/)
        assert.strictEqual((yield* recordOf).length, before)

        const args = ["worker", "--port", String(yield* LocalServer.freePort)]
        yield* start(process.execPath, [bin, ...args], env)
        const sent = yield* tbmStudio(["batch", manifest, "--durable", "--no-preflight", "--json"], env)
        assert.strictEqual(sent.status, 0, sent.stderr)
        assert.strictEqual((yield* recordOf).length, before + 1)

        // A changed overwrite is sent again.
        write(dir, "bad.csv", "a,b\n1,23\n")
        assert.strictEqual((yield* tbmStudio(["batch", manifest, "--durable"], env)).status, 0)
        assert.strictEqual((yield* recordOf).length, before + 2)
        assert.strictEqual((yield* tbmStudio(["batch", manifest, "--durable"], env)).status, 0)
        assert.strictEqual((yield* recordOf).length, before + 2)

        // The preflight skips what the cluster has uploaded.
        rmSync(join(dir, "bad.csv"))
        assert.strictEqual((yield* tbmStudio(["batch", manifest, "--durable"], env)).status, 0)
      }))

    it.effect("a batch that is interrupted while it waits for the workers reports each item of unknown outcome", () =>
      Effect.gen(function*() {
        const { url } = yield* Simulator.Simulator
        const sql = yield* PgClient.PgClient
        const env = { ...settingsFor(url), DATABASE_URL: Redacted.value(yield* Config.Redacted("DATABASE_URL")) }
        const dir = yield* folder
        write(dir, "a.csv", "a,b\n1,2\n")
        const manifest = write(dir, "m.csv", "file,project,table,period\na.csv,P,No workers,January:2024\n")
        const submitted = sql<{ count: number }>`
          SELECT count(*)::int AS count FROM cluster_messages WHERE payload LIKE ${`%${dir}%`}`
        const running = yield* start(process.execPath, [bin, "batch", manifest, "--durable", "--json"], env)
        yield* until(Effect.map(submitted, ([now]) => now !== undefined && now.count > 0))
        running.kill("SIGINT")
        yield* Effect.sleep("300 millis")
        running.kill("SIGTERM")
        const { status, stdout } = yield* running.ended
        const { error, items, totals } = JSON.parse(stdout)
        assert.deepStrictEqual([status, error.tag, totals.unknown], [130, "Interrupted", 1])
        assert.match(items[0].error.message, /The workers may still upload it/)
      }))

    it.effect("a worker that is stopped finishes its running uploads, and the other does the rest", () =>
      Effect.gen(function*() {
        const { submit, workers: [one, two] } = yield* cluster(["--concurrency", "8"])
        if (one === undefined || two === undefined) return assert.fail("two workers")
        const stopped = Effect.gen(function*() {
          yield* until(Effect.sync(() => one.outcomes().length >= 5 && two.outcomes().length >= 5))
          one.kill("SIGTERM")
          return yield* one.ended
        })
        const before = (yield* recordOf).length
        const [{ status, stdout }, ended] = yield* Effect.all([submit, stopped], { concurrency: 2 })

        assert.strictEqual(ended.status, 0)
        const { failed, unknown, uploaded } = JSON.parse(ended.stdout)
        assert.deepStrictEqual([uploaded > 0, failed, unknown], [true, 0, 0])
        assert.strictEqual(status, 0, stdout)
        const reported: ReadonlyArray<Item> = JSON.parse(stdout).items
        assert.strictEqual(reported.length, items)
        const stored = (yield* recordOf).slice(before)
        for (const { action, table } of reported) {
          const times = stored.filter((upload) => upload.table === table).length
          // The engine runs an activity at least once, and an overwrite may be sent again.
          assert.isTrue(action === "append" ? times === 1 : times >= 1, `${action} of ${table}: stored ${times} times`)
        }
        assert.deepStrictEqual(new Set(one.outcomes()), new Set(["success"]))
      }))
  })

  // Longer than a shard waits for what its worker runs.
  layer(services(8_000), { excludeTestServices: true })((it) => {
    it.effect("finishes what is being sent when its shard moves to a worker that joins", () =>
      Effect.gen(function*() {
        const { state, url } = yield* Simulator.Simulator
        const env = { ...settingsFor(url), DATABASE_URL: Redacted.value(yield* Config.Redacted("DATABASE_URL")) }
        const dir = yield* folder
        const count = 16
        const rows = Array.from({ length: count }, (_, i) => {
          write(dir, `${i}.csv`, `a,b\n1,${i}\n`)
          return `${i}.csv,P,Moves ${i},January:2024,append`
        })
        const manifest = write(dir, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        const joined = Effect.gen(function*() {
          const port = yield* LocalServer.freePort
          const args = ["worker", "--port", String(port), "--concurrency", String(count), "--json"]
          const worker = yield* start(process.execPath, [bin, ...args], env)
          const seen = Effect.map(tbmStudio(["status", "--cluster", "--json"], env), ({ stdout }) => {
            const { workers }: { readonly workers: ReadonlyArray<Worker> } = JSON.parse(stdout)
            return workers.find(({ address }) => address === `127.0.0.1:${port}`)
          })
          return { ...worker, seen }
        })
        const first = yield* joined
        // Workers that other tests have killed keep their share for a while.
        yield* until(Effect.map(first.seen, (worker) => worker?.share === 1))
        const submitted = yield* Effect.forkScoped(tbmStudio(["batch", manifest, "--durable", "--json"], env))
        yield* until(Effect.map(first.seen, (worker) => worker !== undefined && worker.running.length > 0))
        yield* joined
        yield* sharing
        const { status, stdout } = yield* Fiber.join(submitted)
        assert.strictEqual(status, 0, stdout)
        const stored = (yield* state).uploads.map(({ table }) => table)
        assert.deepStrictEqual(stored.toSorted(), Array.from({ length: count }, (_, i) => `Moves ${i}`).toSorted())
        first.kill("SIGTERM")
        const { failed, unknown, uploaded } = JSON.parse((yield* first.ended).stdout)
        assert.deepStrictEqual([uploaded > 0, failed, unknown], [true, 0, 0])
      }))
  })

  layer(Layer.fresh(prompt), { excludeTestServices: true })((it) => {
    it.effect("leaves each table as its manifest says, in its order, after failures in the first round", () =>
      Effect.gen(function*() {
        const { addFaults, state, url } = yield* Simulator.Simulator
        const env = { ...settingsFor(url), DATABASE_URL: Redacted.value(yield* Config.Redacted("DATABASE_URL")) }
        const dir = yield* folder
        const places = 10
        const rows = Array.from({ length: places }, (_, i) => {
          write(dir, `base${i}.csv`, `a,b\nbase,${i}\n`)
          write(dir, `delta${i}.csv`, `a,b\ndelta,${i}\n`)
          const place = `P,Ordered ${i},January:2024`
          return [`base${i}.csv,${place},overwrite`, `delta${i}.csv,${place},append`]
        }).flat()
        const manifest = write(dir, "m.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        yield* addFaults([{ match: { path: "Ordered" }, times: 6, fault: { type: "status", status: 404 } }])
        for (const _ of [1, 2]) {
          yield* start(process.execPath, [bin, "worker", "--port", String(yield* LocalServer.freePort)], env)
        }
        const round = (number: number) =>
          tbmStudio(["batch", manifest, "--durable", "--round", String(number), "--json"], env)
        const held = Effect.map(state, ({ uploads }) => {
          const tables = new Map<string, Array<string>>()
          for (const { action, fileName, table } of uploads.filter(({ table }) => table.startsWith("Ordered"))) {
            tables.set(table, [...action === "overwrite" ? [] : tables.get(table) ?? [], fileName])
          }
          return [...tables].sort(([a], [b]) => a < b ? -1 : 1).map(([, files]) => files)
        })
        const wanted = Array.from({ length: places }, (_, i) => [`base${i}.csv`, `delta${i}.csv`])

        const first = yield* round(1)
        const statuses: ReadonlyArray<string> = JSON.parse(first.stdout).items.map(({ status }: Item) => status)
        assert.strictEqual(first.status, 65)
        for (let i = 0; i < places; i++) {
          if (statuses[2 * i] === "failed") assert.strictEqual(statuses[2 * i + 1], "notStarted")
        }
        const second = yield* round(2)
        assert.strictEqual(second.status, 0, second.stdout)
        assert.deepStrictEqual(yield* held, wanted)

        // A corrected overwrite removes what was appended to it, so the appends are sent again too.
        write(dir, "base3.csv", "a,b\ncorrected,3\n")
        assert.strictEqual((yield* round(2)).status, 0)
        assert.deepStrictEqual(yield* held, wanted)
        const third = (yield* state).uploads.filter(({ table }) => table === "Ordered 3").map(({ action }) => action)
        assert.deepStrictEqual(third.slice(-2), ["overwrite", "append"])
        assert.isAtLeast(third.length, 4)
      }))
  })
})
