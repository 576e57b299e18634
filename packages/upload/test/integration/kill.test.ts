import { NodeFileSystem } from "@effect/platform-node"
import { describe, it } from "@effect/vitest"
import { Effect, FileSystem, Random, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
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

/** Keeps tables as the actions say, and misbehaves in about one call of three. */
const makeServer = Effect.gen(function*() {
  const tables: Manifest.Tables = new Map()
  const random = yield* Random.Random
  const delay = (count / Math.max(kills, 1)) > 4 ? 60 : 250
  const server = yield* Server.make((response, { body, url = "" }) => {
    const { apply, digest } = Manifest.store(tables, url, body)
    const respond = () => response.end(digest)
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
        const doubtful = Manifest.verify(items, outcomes, tables)
        yield* Effect.log(`${kills} kills, ${count} items, ${doubtful} in doubt, reported`)
      }).pipe(Effect.provide(NodeFileSystem.layer), Random.withSeed("kill")),
    1_800_000
  )
})
