import { ErrorMapping } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Batch, Multipart, UploadSource, UploadTarget } from "@effect-resilience/upload"
import { Effect } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import type { Item, Outcome } from "./manifest.ts"

/** Uploads a manifest according to the journal. */
export const upload = Effect.fnUntraced(function*(
  url: string,
  items: ReadonlyArray<Item>,
  backoff: Backoff.Options = Backoff.constant("5 millis")
) {
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
  const { results } = yield* Batch.runWithJournal(target, items, {
    name: ({ id }) => id,
    concurrency: 4,
    stallTimeout: "2 seconds",
    responseTimeout: "2 seconds",
    policy: RetryPolicy.make({ times: 8, backoff })
  })
  return results.map((result): Outcome => ({
    id: result.item.id,
    outcome: result._tag,
    why: result._tag === "Failed" ? result.error.reason._tag : undefined
  }))
})
