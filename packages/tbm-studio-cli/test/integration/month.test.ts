// A month of 500 files, while everything goes wrong that may. A person decides about unknown appends by what is stored.
import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Console, Effect, Random, Schedule } from "effect"
import { basename } from "node:path"
import { bin, folder, settingsFor, start, tbmStudio, write } from "../command.ts"
import { timesStored } from "../storedRows.ts"

const size = 500
const kills = 5
const mostRuns = 20

interface Item {
  readonly status: string
  readonly action: string
  readonly file: string
  readonly error?: { readonly reason: string }
}

const simulator = Simulator.layer({
  seed: 11,
  faults: [
    { match: { operation: "login" }, probability: 0.1, fault: { type: "status", status: 503 } },
    // An outage that outlasts the retries of a few uploads.
    { match: { operation: "upload" }, after: 220, times: 12, fault: { type: "status", status: 503 } },
    { match: { operation: "upload" }, probability: 0.01, fault: { type: "status", status: 500 } },
    { match: { operation: "upload" }, probability: 0.01, fault: { type: "html", status: 502 } },
    { match: { operation: "upload" }, probability: 0.01, fault: { type: "expireTokens" } },
    { match: { operation: "upload" }, probability: 0.01, fault: { type: "reset", at: "connect" } },
    { match: { operation: "upload" }, probability: 0.01, fault: { type: "reset", at: "midRequest" } },
    { match: { operation: "upload" }, probability: 0.01, fault: { type: "reset", at: "beforeResponse" } },
    { match: { operation: "upload" }, probability: 0.01, apply: true, fault: { type: "reset", at: "beforeResponse" } },
    { match: { operation: "upload" }, probability: 0.01, apply: true, fault: { type: "truncate" } },
    { match: { operation: "upload" }, probability: 0.01, fault: { type: "corruptMd5" } },
    { match: { operation: "upload" }, probability: 0.2, fault: { type: "delay", ms: 20 } }
  ]
})

const contentOf = (index: number) => `account,amount\r\n${index},${index * 2}\r\n`
// The first 200 tables have two rows; the second appends.
const tables = 300
const tableOf = (index: number) => String(index % tables)
const actionOf = (index: number) => index < tables && index % 2 === 0 ? "overwrite" : "append"

describe("a month of 500 files", { timeout: 240_000 }, () => {
  layer(simulator, { excludeTestServices: true })((it) => {
    it.effect("ends as its manifest says, with nothing lost and nothing doubled, whatever goes wrong", () =>
      Effect.gen(function*() {
        const { addFaults, state, url } = yield* Simulator.Simulator
        const env = settingsFor(url)
        const dir = yield* folder
        const rows = Array.from({ length: size }, (_, index) => {
          write(dir, `${index}.csv`, contentOf(index))
          return `${index}.csv,P,${tableOf(index)},January:2024,${actionOf(index)}`
        })
        const manifest = write(dir, "month.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        const args = ["batch", manifest, "--concurrency", "4", "--json"]

        const stored = Effect.map(state, ({ uploads }) => timesStored(uploads))
        const indexOf = ({ file }: Item) => Number(basename(file, ".csv"))
        const check = Effect.fnUntraced(function*(items: ReadonlyArray<Item>) {
          const times = yield* stored
          for (let index = 0; index < size; index++) {
            assert.isAtMost(times(tableOf(index), contentOf(index)), 1, `${index}.csv is doubled`)
          }
          for (const item of items) {
            const index = indexOf(item)
            if (item.status === "uploaded" || item.status === "skipped") {
              assert.strictEqual(times(tableOf(index), contentOf(index)), 1, `${item.file} is lost`)
            }
          }
        })
        const statuses: Array<number | null> = []
        const ended = Effect.fnUntraced(function*(status: number | null, stdout: string) {
          statuses.push(status)
          const items: ReadonlyArray<Item> = status === null ? [] : JSON.parse(stdout).items
          yield* check(items)
          return items
        })
        const atRequest = (count: number) =>
          Effect.repeat(state, { until: ({ requests }) => requests >= count, schedule: Schedule.spaced("5 millis") })

        // The disk of the journal is full, first from the start, then in the middle of the batch.
        for (const blocks of [0, 120]) {
          const limited = `ulimit -f ${blocks}; exec "$0" "$@"`
          const full = yield* start("/bin/bash", ["-c", limited, process.execPath, bin, ...args], env)
          const { status, stdout } = yield* full.ended
          const items = yield* ended(status, stdout)
          assert.strictEqual(status, 74)
          assert.strictEqual(items.length, blocks === 0 ? 0 : size)
        }
        assert.isAbove((yield* state).uploads.length, 0)

        let killed = 0
        while (killed < kills && statuses.length < mostRuns) {
          const until = (yield* state).requests + (yield* Random.nextIntBetween(5, 100))
          const run = yield* start(process.execPath, [bin, ...args], env)
          // While attempts wait for an outage to end, no requests come.
          yield* Effect.raceFirst(Effect.timeoutOption(atRequest(until), "4 seconds"), run.ended)
          run.kill("SIGKILL")
          const { status, stdout } = yield* run.ended
          if (status === null) killed++
          yield* ended(status, stdout)
        }
        assert.strictEqual(killed, kills)

        // The service falls silent, and a person loses patience.
        yield* addFaults([{ match: { operation: "upload" }, times: 3, apply: true, fault: { type: "hang" } }])
        const silent = (yield* state).requests + 20
        const impatient = yield* start(process.execPath, [bin, ...args, "--on-interrupt", "abandon"], env)
        yield* Effect.raceFirst(Effect.timeoutOption(atRequest(silent), "4 seconds"), impatient.ended)
        impatient.kill("SIGINT")
        const abandoned = yield* impatient.ended
        yield* ended(abandoned.status, abandoned.stdout)

        let items: ReadonlyArray<Item> = []
        do {
          const { status, stdout } = yield* tbmStudio([...args, "--max-time", "15s", "--on-interrupt", "abandon"], env)
          items = yield* ended(status, stdout)
          const unknown = items.filter(({ action, status }) => action === "append" && status === "unknown")
          const times = yield* stored
          for (const word of ["skip", "retry"]) {
            const names = unknown.map(indexOf).filter((index) =>
              times(tableOf(index), contentOf(index)) === (word === "skip" ? 1 : 0)
            ).flatMap((index) => ["--file", `${index}.csv`])
            if (names.length === 0) continue
            const resolved = yield* tbmStudio(["resolve", manifest, "--unknown", word, ...names, "--json"], env)
            // Those that are not named stay in doubt.
            assert.include([0, 75], resolved.status, resolved.stderr)
          }
        } while (statuses.at(-1) !== 0 && statuses.length < mostRuns)

        yield* Console.log(`exit statuses: ${statuses.map((status) => status ?? "killed").join(" ")}`)
        assert.strictEqual(statuses.at(-1), 0)
        assert.include(statuses, 75)
        const times = yield* stored
        for (let index = 0; index < size; index++) {
          assert.strictEqual(times(tableOf(index), contentOf(index)), 1, `${index}.csv`)
        }
        const again = yield* tbmStudio(args, env)
        assert.strictEqual(again.status, 0)
        const last: ReadonlyArray<Item> = JSON.parse(again.stdout).items
        assert.deepStrictEqual(new Set(last.map(({ status }) => status)), new Set(["skipped"]))
      }).pipe(Random.withSeed("a month")))
  })
})
