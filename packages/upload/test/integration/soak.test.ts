import { RelayFault } from "@effect-resilience/chaos"
import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import { AccessLog } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { AttemptBudget } from "@effect-resilience/retry"
import { SqlJournal } from "@effect-resilience/upload"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, FileSystem, Layer, References } from "effect"
import * as Server from "../servers/Server.ts"
import * as Manifest from "./manifest.ts"
import { upload } from "./upload.ts"

// A command of its own: SOAK_SECONDS=180 npm run test:integration -- packages/upload/test/integration/soak
const seconds = Number(process.env["SOAK_SECONDS"] ?? 0)

const faults: ReadonlyArray<RelayFault.RelayFault> = [
  RelayFault.latency("30 millis", { probability: 0.3 }),
  RelayFault.bandwidth(20_000, { probability: 0.1 }),
  RelayFault.slowClose("1 second", { probability: 0.1 }),
  RelayFault.reset({ name: "breaks off", after: 3_000, direction: "up", probability: 0.15 }),
  RelayFault.end({ name: "cut response", after: 400, direction: "down", probability: 0.1 }),
  RelayFault.reset({ name: "all at once", from: "3 seconds", for: "100 millis", every: "5 seconds" }),
  RelayFault.halfOpen({ name: "lost", from: "4 seconds", for: "100 millis", every: "8 seconds", probability: 0.5 }),
  RelayFault.silence({ name: "cut off", from: "6 seconds", for: "1 second", every: "9 seconds" }),
  RelayFault.hold({ name: "partition", from: "2 seconds", for: "1 second", every: "7 seconds" })
]

describe.runIf(seconds > 0)("uploads through a network with all faults", () => {
  it.live(
    `lose nothing and add nothing twice in ${seconds} s`,
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const directory = yield* fs.makeTempDirectoryScoped()
        const tables: Manifest.Tables = new Map()
        const server = yield* Server.make((response, { body, url = "" }) => {
          const { apply, digest } = Manifest.store(tables, url, body)
          apply()
          response.end(digest)
        })
        const relay = yield* TcpRelay.make({ port: Number(new URL(server.url).port), faults, seed: 19 })
        const url = `http://127.0.0.1:${relay.port}`
        const stack = (round: number) =>
          Layer.mergeAll(
            Connections.layer({ connections: 8, connectTimeout: "2 seconds" }),
            SqlJournal.layer().pipe(Layer.provide(SqliteClient.layer({ filename: `${directory}/${round}.db` }))),
            AttemptBudget.layer({ name: "uploads", ratio: 1, minPerSecond: 100, burst: 100 })
          )

        const began = yield* Clock.currentTimeMillis
        const tally = { rounds: 0, items: 0, doubtful: 0 }
        while ((yield* Clock.currentTimeMillis) < began + seconds * 1000) {
          tables.clear()
          const items = Manifest.make(120)
          const outcomes = yield* Effect.provide(
            upload(url, items, { base: "100 millis", cap: "1 second" }),
            stack(tally.rounds)
          )
          tally.doubtful += Manifest.verify(items, outcomes, tables, true)
          // A second run finds in the journal what is done, and sends none of it again.
          const asked = server.requests.length
          const again = yield* Effect.provide(
            upload(url, items, { base: "100 millis", cap: "1 second" }),
            stack(tally.rounds)
          )
          const open = outcomes.filter(({ outcome }) => outcome !== "Uploaded" && outcome !== "Skipped")
          if (open.length === 0) assert.strictEqual(server.requests.length, asked)
          Manifest.verify(items, again, tables, true)
          tally.rounds++
          tally.items += items.length
        }

        // Everything is closed, and each fault was there.
        yield* relay.faults.kill
        yield* relay.until(({ open }) => open === 0)
        const struck = yield* relay.faults.counts
        if (seconds >= 20) assert.deepStrictEqual(Object.entries(struck).filter(([, count]) => count === 0), [])
        yield* Effect.logWarning(tally, struck)
      }).pipe(
        Effect.provide([NodeFileSystem.layer, AccessLog.layerMemory]),
        Effect.provideService(References.MinimumLogLevel, "Warn")
      ),
    seconds * 1000 + 60_000
  )
})
