import { RelayFault } from "@effect-resilience/chaos"
import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import { AccessLog } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { AttemptBudget } from "@effect-resilience/retry"
import { SqlJournal } from "@effect-resilience/upload"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Clock, type Duration, Effect, FileSystem, Layer, Metric, References } from "effect"
import * as Server from "../servers/Server.ts"
import * as Manifest from "./manifest.ts"
import { upload } from "./upload.ts"

// A command of its own: SOAK_SECONDS=180 npm run test:integration -- packages/upload/test/integration/soak
const seconds = Number(process.env["SOAK_SECONDS"] ?? 0)
const seed = Number(process.env["SOAK_SEED"] ?? 19)

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

// A server's own limits: it closes what a partition cut off from its client.
const limits = {
  keepAliveTimeout: 2_000,
  headersTimeout: 2_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 500
}

const soak = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  const tables: Manifest.Tables = new Map()
  const server = yield* Server.make((response, { body, url = "" }) => {
    const { apply, digest } = Manifest.store(tables, url, body)
    apply()
    response.end(digest)
  }, limits)
  const relay = yield* TcpRelay.make({ port: Number(new URL(server.url).port), faults, seed })
  const stack = (round: number) =>
    Layer.mergeAll(
      Connections.layer({ connections: 8, connectTimeout: "2 seconds" }),
      SqlJournal.layer().pipe(Layer.provide(SqliteClient.layer({ filename: `${directory}/${round}.db` }))),
      AttemptBudget.layer({ name: "uploads", ratio: 1, minPerSecond: 100, burst: 100 })
    )
  const run = (round: number, items: ReadonlyArray<Manifest.Item>) =>
    within(
      "3 minutes",
      `round ${round} to end`,
      relay,
      Effect.provide(
        upload(`http://127.0.0.1:${relay.port}`, items, { base: "100 millis", cap: "1 second" }),
        stack(round)
      )
    )

  const began = yield* Clock.currentTimeMillis
  const tally = { rounds: 0, items: 0, doubtful: 0 }
  while ((yield* Clock.currentTimeMillis) < began + seconds * 1000) {
    tables.clear()
    const items = Manifest.make(120)
    const outcomes = yield* run(tally.rounds, items)
    tally.doubtful += Manifest.verify(items, outcomes, tables, true)
    // A second run finds in the journal what is done, and sends none of it again.
    const asked = server.requests.length
    const again = yield* run(tally.rounds, items)
    const open = outcomes.filter(({ outcome }) => outcome !== "Uploaded" && outcome !== "Skipped")
    if (open.length === 0) assert.strictEqual(server.requests.length, asked, "what was done is sent again")
    Manifest.verify(items, again, tables, true)
    tally.rounds++
    tally.items += items.length
  }

  yield* relay.faults.kill
  yield* within("20 seconds", "all connections to close", relay, relay.until(({ open }) => open === 0))
  const struck = yield* relay.faults.counts
  // Each fault was there.
  if (seconds >= 20) assert.deepStrictEqual(Object.entries(struck).filter(([, count]) => count === 0), [])
  yield* Effect.logWarning(tally, struck)
}).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, AccessLog.layerMemory]))

/** A wait that says, when it is too long, what there is. */
const within = <A, E, R>(
  limit: Duration.Input,
  what: string,
  relay: TcpRelay.Relay,
  effect: Effect.Effect<A, E, R>
) =>
  Effect.timeoutOrElse(effect, {
    duration: limit,
    orElse: () =>
      Effect.gen(function*() {
        const links = yield* Effect.forEach(
          yield* relay.connections,
          ({ counts, index }) => Effect.map(counts, (counts) => ({ index, ...counts }))
        )
        const found = { relay: yield* relay.counts, links, resources: process.getActiveResourcesInfo() }
        return yield* Effect.die(new Error(`no end of the wait for ${what}: ${JSON.stringify(found)}`))
      })
  })

/** The resources of a kind that keep the process running. */
const resources = () => {
  const counts: { [kind: string]: number } = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

describe.runIf(seconds > 0)("uploads through a network with all faults", () => {
  it.live(
    `lose nothing, add nothing twice and leave nothing open in ${seconds} s`,
    () =>
      Effect.gen(function*() {
        const before = resources()
        let fibers = 0
        yield* Effect.provideService(soak, Metric.FiberRuntimeMetrics, {
          recordFiberStart: () => fibers++,
          recordFiberEnd: () => fibers--
        })
        const left = () => ({
          ...(fibers > 0 && { fibers }),
          ...Object.fromEntries(Object.entries(resources()).filter(([kind, count]) => count > (before[kind] ?? 0)))
        })
        // What has closed is reported by the next turns of the loop.
        yield* Effect.sync(left).pipe(
          Effect.delay("100 millis"),
          Effect.repeat({ times: 50, until: (left) => Object.keys(left).length === 0 })
        )
        assert.deepStrictEqual(left(), {}, "something is left open")
      }).pipe(Effect.provideService(References.MinimumLogLevel, "Warn")),
    seconds * 1000 + 300_000
  )
})
