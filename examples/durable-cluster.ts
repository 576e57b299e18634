// examples/durable-cluster.ts: the same uploads on a cluster of machines with Postgres
//
// Needs DATABASE_URL, as in postgres://user@host/database. Start it on as many machines as you like (PORT tells two on one
// machine apart): each uploads a share, and when one dies, the others take over what it had.
import { TbmStudio } from "@effect-resilience/tbm-studio"
import * as SimulatedStudio from "@effect-resilience/tbm-studio/SimulatedStudio"
import { SqlJournal } from "@effect-resilience/upload"
import { NodeClusterSocket, NodeHttpClient, NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Console, Effect, Layer, Option } from "effect"
import { ClusterWorkflowEngine } from "effect/cluster"
import { program, worker } from "./durable-program.ts"

const cluster = Layer.merge(
  ClusterWorkflowEngine.layer.pipe(Layer.provide(NodeClusterSocket.layer({ storage: "sql" }))),
  SqlJournal.layer()
).pipe(Layer.provide(PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") })))

const main = Effect.gen(function*() {
  const database = yield* Config.option(Config.Redacted("DATABASE_URL"))
  if (Option.isNone(database)) {
    return yield* Console.log(
      "This example needs a Postgres database: set DATABASE_URL to postgres://user@host/database"
    )
  }
  const totals = yield* Effect.provide(program, Layer.provideMerge(worker, cluster))
  yield* Console.log(`${totals.uploaded} uploaded, by this run or by an earlier one`)
})

// Machines that share the work talk to one TBM Studio: there, use Settings.layer in place of the simulator.
const studio = TbmStudio.layer.pipe(
  Layer.provide([SimulatedStudio.layer(), NodeHttpClient.layerUndici]),
  Layer.merge(NodeServices.layer)
)
await Effect.runPromise(Effect.provide(main, studio))
