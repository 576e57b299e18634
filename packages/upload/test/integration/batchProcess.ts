// A process that uploads a manifest according to a journal, made to be killed.
// Arguments: address of the server, file of the journal, file of the manifest. Prints `ready`, at the end the results.
import { ErrorMapping } from "@effect-resilience/http"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Batch, Multipart, SqlJournal, UploadSource, UploadTarget } from "@effect-resilience/upload"
import { NodeHttpClient } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { readFileSync } from "node:fs"
import type { Item } from "./manifest.ts"

const [url = "", journal = "", manifest = ""] = process.argv.slice(2)
const items: ReadonlyArray<Item> = JSON.parse(readFileSync(manifest, "utf8"))

const program = Effect.gen(function*() {
  const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {})
  const target = UploadTarget.http({
    client,
    operation: ({ action }: Item) => ({
      name: action,
      endpoint: "/{table}/{action}",
      idempotent: action === "overwrite"
    }),
    source: ({ rows, table }) => UploadSource.bytes(`${table}.csv`, rows),
    key: ({ table }) => table,
    digests: ["md5"],
    request: ({ action, table }, { name, size, stream }) =>
      Effect.succeed(
        HttpClientRequest.post(`${url}/${table}/${action}`).pipe(
          HttpClientRequest.setBody(
            Multipart.toBody(Multipart.make([Multipart.file("myfile", { fileName: name, size, stream })]))
          )
        )
      ),
    receive: (response) => Effect.map(Effect.orDie(response.text), (md5) => ({ receipt: md5, stored: { md5 } }))
  })
  yield* Console.log("ready")
  const { results } = yield* Batch.runWithJournal(target, items, {
    name: ({ id }) => id,
    concurrency: 4,
    policy: RetryPolicy.make({ times: 8, backoff: Backoff.constant("5 millis") })
  })
  yield* Console.log(JSON.stringify(results.map((result) => ({
    id: result.item.id,
    outcome: result._tag,
    why: result._tag === "Failed" ? result.error.reason._tag : undefined
  }))))
})

const layer = Layer.merge(
  NodeHttpClient.layerUndici,
  SqlJournal.layer().pipe(Layer.provide(SqliteClient.layer({ filename: journal })))
)

await Effect.runPromise(Effect.provide(program, layer))
