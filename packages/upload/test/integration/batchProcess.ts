// A process that uploads a manifest according to a journal, made to be killed.
// Arguments: address of the server, file of the journal, file of the manifest. Prints `ready`, at the end the results.
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { SqlJournal } from "@effect-resilience/upload"
import { NodeHttpClient } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { readFileSync } from "node:fs"
import type { Item } from "./manifest.ts"
import { upload } from "./upload.ts"

const [url = "", journal = "", manifest = ""] = process.argv.slice(2)
const items: ReadonlyArray<Item> = JSON.parse(readFileSync(manifest, "utf8"))

const program = Effect.gen(function*() {
  yield* Console.log("ready")
  const outcomes = yield* upload(url, items)
  yield* Console.log(JSON.stringify(outcomes))
})

const layer = Layer.merge(
  NodeHttpClient.layerUndici,
  SqlJournal.layer().pipe(Layer.provide(SqliteClient.layer({ filename: journal })))
)

await Effect.runPromise(Effect.provide(program, layer))
