// examples/durable-embedded.ts: uploads that survive their process, on one machine with SQLite
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Simulator } from "@effect-resilience/tbm-simulator"
import { TbmStudio } from "@effect-resilience/tbm-studio"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import { SqlJournal } from "@effect-resilience/upload"
import { NodeCrypto, NodeHttpClient, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Layer } from "effect"
import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
import assert from "node:assert"
import { program, worker } from "./durable-program.ts"

// The engine and the journal in one file.
const embedded = (filename: string) =>
  Layer.merge(
    ClusterWorkflowEngine.layer.pipe(Layer.provide(SingleRunner.layer({ runnerStorage: "memory" }))),
    SqlJournal.layer()
  ).pipe(Layer.provide([SqliteClient.layer({ filename }), NodeCrypto.layerDigest]))

const main = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const file = `${yield* fs.makeTempDirectoryScoped()}/uploads.db`
  // Each run is a process of its own as far as the engine can tell.
  const process = Effect.suspend(() => Effect.provide(program, Layer.provideMerge(worker, Layer.fresh(embedded(file)))))
  yield* process
  yield* Console.log("Once more, as after a restart:")
  yield* process
  const { uploads } = yield* (yield* Simulator.Simulator).state
  yield* Console.log(`The server was sent ${uploads.length} tables in all`)
  assert.equal(uploads.length, 3)
})

const studio = TbmStudio.layer.pipe(
  Layer.provideMerge(SimulatedStudio.layer({
    faults: [{ match: { operation: "upload" }, times: 2, fault: { type: "status", status: 503 } }]
  })),
  Layer.provide(NodeHttpClient.layerUndici),
  Layer.merge(NodeServices.layer)
)
await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(studio)))
