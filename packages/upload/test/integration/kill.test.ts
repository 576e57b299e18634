import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Random, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"
import * as Server from "../servers/Server.ts"
import * as Manifest from "./manifest.ts"

// The figures of the README: KILLS=200 ITEMS=500.
const kills = Number(process.env["KILLS"] ?? 12)
const count = Number(process.env["ITEMS"] ?? 120)

const script = fileURLToPath(new URL("batchProcess.ts", import.meta.url))

interface Run {
  readonly child: ChildProcess
  readonly output: () => string
  readonly ready: Promise<void>
  readonly closed: Promise<void>
}

const start = (args: ReadonlyArray<string>): Effect.Effect<Run, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, ["--conditions=@effect-resilience/source", script, ...args], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      let output = ""
      const closed = new Promise<void>((resolve) => child.on("close", () => resolve()))
      const ready = new Promise<void>((resolve) => {
        child.stdout.on("data", (chunk: Buffer) => {
          output += chunk.toString()
          if (output.startsWith("ready")) resolve()
        })
        child.on("close", () => resolve())
      })
      return { child, output: () => output, ready, closed }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const partOf = (body: Buffer): Buffer => body.subarray(body.indexOf("\r\n\r\n") + 4, body.lastIndexOf("\r\n--"))

/** Keeps tables as the actions say, and misbehaves in about one call of three. */
const makeServer = Effect.gen(function*() {
  const tables = new Map<string, string>()
  const random = yield* Random.Random
  const delay = (count / Math.max(kills, 1)) > 4 ? 60 : 250
  const server = yield* Server.make((response, { body, url = "" }) => {
    const [, table = "", action] = url.split("/")
    const rows = partOf(body)
    const apply = () => tables.set(table, (action === "append" ? tables.get(table) ?? "" : "") + rows.toString())
    const respond = () => response.end(createHash("md5").update(rows).digest("hex"))
    const dice = random.nextDoubleUnsafe()
    if (dice < 0.1) response.writeHead(503, { "retry-after": "0" }).end()
    else if (dice < 0.15) response.destroy()
    else if (dice < 0.2) {
      apply()
      response.destroy()
    } else if (dice < 0.3) response.writeHead(429, { "retry-after": "0" }).end()
    else {
      // Killed in between, the client cannot know.
      setTimeout(() => {
        apply()
        setTimeout(respond, delay * random.nextDoubleUnsafe())
      }, delay * random.nextDoubleUnsafe())
    }
  })
  return { tables, url: server.url }
})

describe("a batch with a journal", () => {
  it.live(
    `survives ${kills} kills: nothing is lost, nothing is added twice, and every doubt is reported`,
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const directory = yield* fs.makeTempDirectoryScoped()
        const items = Manifest.make(count)
        yield* fs.writeFileString(`${directory}/manifest.json`, JSON.stringify(items))
        const { tables, url } = yield* makeServer
        const args = [url, `${directory}/journal.db`, `${directory}/manifest.json`]

        for (let i = 0; i < kills; i++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { child, closed, ready } = yield* start(args)
            yield* Effect.promise(() => ready)
            yield* Effect.sleep(yield* Random.nextIntBetween(0, 900))
            child.kill("SIGKILL")
            yield* Effect.promise(() => closed)
          }))
          // What the killed process had sent is still applied by the server.
          yield* Effect.sleep(20)
        }
        yield* Effect.sleep(600)

        const run = yield* start(args)
        yield* Effect.promise(() => run.closed)
        const outcomes: ReadonlyArray<Manifest.Outcome> = JSON.parse(run.output().split("\n")[1] ?? "[]")
        assert.strictEqual(outcomes.length, count)

        const doubtful = new Set(outcomes.filter(({ outcome }) => outcome === "Failed").map(({ id }) => id))
        const places = new Set(items.filter(({ id }) => doubtful.has(id)).map(({ table }) => table))
        const waiting = new Set(
          outcomes.filter(({ id, outcome }) =>
            outcome === "NotStarted" && places.has(items.find((item) => item.id === id)?.table ?? "")
          ).map(({ id }) => id)
        )
        for (const { id, outcome, why } of outcomes) {
          if (outcome === "Failed") assert.include(["InDoubt", "OutcomeUnknown"], why, `item ${id}`)
          // Behind one in doubt, its place waits.
          else if (outcome === "NotStarted") assert.isTrue(waiting.has(id))
          else assert.include(["Uploaded", "Skipped"], outcome)
        }
        for (const { action, id, rows, table } of items) {
          const stored = tables.get(table) ?? ""
          if (action === "overwrite") assert.strictEqual(stored, rows)
          else {
            const times = stored.split("\n").filter((row) => row === `row ${id}`).length
            if (waiting.has(id)) assert.strictEqual(times, 0, `item ${id} waits`)
            else if (doubtful.has(id)) assert.isAtMost(times, 1, `item ${id} was in doubt`)
            else assert.strictEqual(times, 1, `item ${id}`)
          }
        }
        yield* Effect.log(`${kills} kills, ${count} items, ${doubtful.size} in doubt, reported`)
      }).pipe(Effect.provide(NodeFileSystem.layer), Random.withSeed("kill")),
    1_800_000
  )
})
