// A batch that is killed again and again. SOAK_KILLS says how often: 8 where it is not set, 200 for the whole proof.
import { Simulator } from "@effect-resilience/tbm-simulator"
import { assert, describe, layer } from "@effect/vitest"
import { Console, Effect, Random, Schedule } from "effect"
import { createHash } from "node:crypto"
import { bin, folder, settingsFor, start, tbmStudio, write } from "../command.ts"

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

describe("a batch that is killed again and again", { timeout: 120_000 + kills * 5_000 }, () => {
  layer(simulator, { excludeTestServices: true })((it) => {
    it.effect(`ends as its manifest says after ${kills} kills`, () =>
      Effect.gen(function*() {
        const { clearFaults, state, url } = yield* Simulator.Simulator
        const env = settingsFor(url)
        const dir = yield* folder
        const actionOf = (index: number) => index % 2 === 0 ? "overwrite" : "append"
        const rows = Array.from({ length: size }, (_, index) => {
          write(dir, `${index}.csv`, contentOf(index))
          return `${index}.csv,P,${index},January:2024,${actionOf(index)}`
        })
        const manifest = write(dir, "manifest.csv", ["file,project,table,period,action", ...rows, ""].join("\n"))
        const args = ["batch", manifest, "--concurrency", "4", "--json"]

        // So much time a run that the kills fall all along the batch, and from the start of a process on.
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
        const unknown = new Set(clean.items.filter(({ status }) => status === "unknown").map(({ table }) => table))
        const skipped = clean.items.filter(({ status }) => status === "skipped").length
        yield* Console.log(
          `clean run: ${skipped} already there, ${size - skipped - unknown.size} uploaded, ${unknown.size} unknown`
        )
        assert.strictEqual(clean.items.length, size)
        assert.deepStrictEqual(
          clean.items.filter(({ status }) => !["uploaded", "skipped", "unknown"].includes(status)),
          []
        )
        assert.strictEqual(clean.status, unknown.size > 0 ? 75 : 0)
        assert.isAbove(skipped, 0)

        const check = (most: (unknown: boolean) => number, least: (unknown: boolean) => number) =>
          Effect.map(state, ({ tables, uploads }) => {
            for (let index = 0; index < size; index++) {
              const doubtful = unknown.has(String(index))
              const stored = uploads.filter(({ table }) => table === String(index))
              const md5 = createHash("md5").update(contentOf(index)).digest("hex")
              assert.isTrue(stored.every((upload) => upload.md5 === md5 && upload.action === actionOf(index)))
              assert.isAtLeast(stored.length, least(doubtful), `${index}`)
              if (actionOf(index) === "append") assert.isAtMost(stored.length, most(doubtful), `${index}`)
              else assert.isFalse(doubtful, `${index}`)
            }
            assert.isAtLeast(Object.keys(tables).length, size - unknown.size)
            return uploads.length
          })
        const before = yield* check(() => 1, (doubtful) => doubtful ? 0 : 1)

        const leaving = yield* run("skip")
        assert.deepStrictEqual([
          leaving.status,
          leaving.items.every(({ status }) => ["skipped", "assumed"].includes(status))
        ], [0, true])
        assert.strictEqual((yield* state).uploads.length, before)

        const again = yield* run("retry")
        assert.strictEqual(again.status, 0)
        assert.deepStrictEqual(
          again.items.filter(({ status }) => status === "uploaded").map(({ table }) => table),
          [...unknown]
        )
        const after = yield* check((doubtful) => doubtful ? 2 : 1, () => 1)
        assert.strictEqual(after, before + unknown.size)
      }).pipe(Random.withSeed("kill -9")))
  })
})
