import { ErrorMapping } from "@effect-resilience/http"
import { Multipart, type UploadSource, UploadTarget } from "@effect-resilience/upload"
import { Effect } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"

/** A form upload over the `HttpClient` of the environment whose receipt is the text of the response. */
export const target = <R = never>(url: string, options: {
  readonly idempotent?: boolean
} = {}) =>
  Effect.map(HttpClient.HttpClient, (client) =>
    UploadTarget.http({
      client: ErrorMapping.mapErrors(client, {}),
      operation: () => ({ name: "upload", endpoint: "/upload", idempotent: options.idempotent ?? true }),
      source: (source: UploadSource.UploadSource<R>) => source,
      digests: ["md5"],
      request: (_, { name, size, stream }) =>
        Effect.succeed(
          HttpClientRequest.post(url).pipe(
            HttpClientRequest.setBody(
              Multipart.toBody(Multipart.make([Multipart.file("myfile", { fileName: name, size, stream })]))
            )
          )
        ),
      receive: (response) =>
        Effect.map(Effect.orDie(response.text), (text) => {
          const md5 = /^[0-9a-f]{32}$/.exec(text)?.[0]
          return { receipt: text, stored: md5 === undefined ? undefined : { md5 } }
        })
    }))
