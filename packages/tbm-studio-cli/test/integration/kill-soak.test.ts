// A batch that is killed again and again. SOAK_KILLS says how often: 8 where it is not set, 200 for the whole proof.
import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Console, Effect, Random, Schedule } from "effect"
import { bin, folder, settingsFor, start, tbmStudio, write } from "../command.ts"
import { timesStored } from "../storedRows.ts"

const kills = Number(process.env["SOAK_KILLS"] ?? 8)
const size = 500

interface Item {
  readonly status: string
  readonly table: string
}

const simulator = Simulator.layer({
  seed: 5,
  faults: [
    { match: { operation: "login" }, probability: 0.05, fault: { type: "status", status: 503 } },
    { match: { operation: "upload" }, probability: 0.03, fault: { type: "status", status: 503 } },
    { match: { operation: "upload" }, probability: 0.02, fault: { type: "expireTokens" } },
    { match: { operation: "upload" }, probability: 0.02, fault: { type: "reset", at: "connect" } },
    { match: { operation: "upload" }, probability: 0.02, fault: { type: "reset", at: "midRequest" } },
    { match: { operation: "upload" }, probability: 0.02, fault: { type: "reset", at: "beforeResponse" } },
    { match: { operation: "upload" }, probability: 0.02, apply: true, fault: { type: "reset", at: "beforeResponse" } },
    { match: { operation: "upload" }, probability: 0.02, apply: true, fault: { type: "truncate" } },
    { match: { operation: "upload" }, probability: 0.3, fault: { type: "delay", ms: 40 } }
  ]
})

const contentOf = (index: number) => `account,amount\r\n${index},${index * 2}\r\n`

describe("a batch that is killed repeatedly", { timeout: 120_000 + kills * 5_000 }, () => {
  layer(simulator, { excludeTestServices: true })((it) => {
    it.effect(`ends as its manifest says after ${kills} kills`, () =>
      Effect.gen(function*() {
        const { clearFaults, state, url } = yield* Simulator.Simulator
        const env = settingsFor(url)
        const dir = yield* folder
        // 300 tables: the first 200 get a second row, which appends to the rows of the first.
        const tables = 300
        const tableOf = (index: number) => index % tables
        const actionOf = (index: number) => index < tables && index % 2 === 0 ? "overwrite" : "append"
        const rows = Array.from({ length: size }, (_, index) => {
          write(dir, `${index}.csv`, contentOf(index))
          return `${index}.csv,P,${tableOf(index)},January:2024,${actionOf(index)}`
        })
        const manifest = write(dir, "manifest.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        const args = ["batch", manifest, "--concurrency", "4", "--json"]

        // The time before each kill, so that kills are spread over the batch, including the start of a process.
        const most = Math.ceil(1.6 * size / kills) + 3
        const longest = Math.ceil(Math.min(60, 4_000 / kills))
        let killed = 0
        let ended = 0
        while (killed < kills && ended < kills) {
          const until = (yield* state).requests + (yield* Random.nextIntBetween(0, most))
          const after = yield* Random.nextIntBetween(0, longest)
          const { ended: end, kill } = yield* start(process.execPath, [bin, ...args], env)
          const busy = state.pipe(
            Effect.repeat({ until: ({ requests }) => requests >= until, schedule: Schedule.spaced("5 millis") }),
            Effect.andThen(Effect.sleep(after))
          )
          yield* Effect.raceFirst(busy, end)
          kill("SIGKILL")
          if ((yield* end).status === null) killed++
          else ended++
        }
        const uploaded = (yield* state).uploads.length
        yield* Console.log(`${killed} kills; ${uploaded} uploads stored before the clean runs`)

        yield* clearFaults
        const run = (unknown: string) =>
          Effect.map(tbmStudio([...args, "--unknown", unknown], env), ({ status, stdout }) => ({
            status,
            items: JSON.parse(stdout).items as ReadonlyArray<Item>
          }))
        const clean = yield* run("fail")
        const count = (items: ReadonlyArray<Item>, status: string) =>
          items.filter((item) => item.status === status).length
        const known = ["uploaded", "skipped", "unknown", "notStarted"]
        const [skipped, unknown, held] = [
          count(clean.items, "skipped"),
          count(clean.items, "unknown"),
          count(clean.items, "notStarted")
        ]
        yield* Console.log(
          `clean run: ${skipped} already there, ${count(clean.items, "uploaded")} uploaded, ${unknown} unknown, ` +
            `${held} held back behind them`
        )
        assert.strictEqual(clean.items.length, size)
        assert.deepStrictEqual(clean.items.filter(({ status }) => !known.includes(status)), [])
        assert.strictEqual(clean.status, unknown > 0 ? 75 : 0)
        assert.isAbove(skipped, 0)

        /** How often each row is in its table. */
        const counted = Effect.map(state, ({ uploads }) => {
          const times = timesStored(uploads)
          return (index: number) => times(String(tableOf(index)), contentOf(index))
        })
        const timesAfter = yield* counted
        for (const [index, { status }] of clean.items.entries()) {
          const times = timesAfter(index)
          if (status === "unknown") assert.isAtMost(times, 1, `row ${index} is in doubt`)
          else assert.strictEqual(times, status === "notStarted" ? 0 : 1, `row ${index} is ${status}`)
        }

        const again = yield* run("retry")
        assert.strictEqual(again.status, 0)
        const timesInTheEnd = yield* counted
        for (const [index, { status }] of clean.items.entries()) {
          const first = tableOf(index)
          // With an overwrite of its table no row is there twice; without one, a person had to decide about the append.
          const doubtful = status === "unknown" && actionOf(first) === "append"
          const times = timesInTheEnd(index)
          if (doubtful) assert.include([1, 2], times, `row ${index}`)
          else assert.strictEqual(times, 1, `row ${index}`)
        }
        assert.deepStrictEqual(count((yield* run("fail")).items, "skipped"), size)
      }).pipe(Random.withSeed("kill -9")))
  })
})
