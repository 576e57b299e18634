import { ErrorMapping } from "@effect-resilience/http"
import { Multipart, Uploader, UploadSource, UploadTarget } from "@effect-resilience/upload"
import { NodeFileSystem, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { createHash } from "node:crypto"
import * as Server from "./servers/Server.ts"

const platform = Layer.merge(NodeFileSystem.layer, NodeHttpClient.layerUndici)

const form = (url: string) =>
  Effect.map(HttpClient.HttpClient, (client) =>
    UploadTarget.http({
      client: ErrorMapping.mapErrors(client, {}),
      operation: () => ({ name: "upload", endpoint: "/upload", idempotent: true }),
      source: (path: string) => UploadSource.file(path),
      digests: ["md5"],
      request: (_, { name, size, stream }) =>
        Effect.succeed(
          HttpClientRequest.post(url).pipe(
            HttpClientRequest.setBody(
              Multipart.toBody(Multipart.make([Multipart.file("myfile", { fileName: name, size, stream })]))
            )
          )
        ),
      receive: (response) => Effect.map(Effect.orDie(response.text), (receipt) => ({ receipt }))
    }))

describe("Uploader over a socket", () => {
  it.live("sends a file as a form of exact length", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* fs.makeTempFileScoped({ suffix: ".csv" })
      const content = Buffer.alloc(3_333_333, "a;b\r\n")
      yield* fs.writeFile(path, content)

      const server = yield* Server.make()
      const report = yield* Uploader.upload(yield* form(server.url), path)

      const [request] = server.requests
      assert.strictEqual(request?.headers["content-length"], `${request?.body.length}`)
      assert.isTrue(request?.body.includes(content))
      assert.strictEqual(report.bytes, content.length)
      assert.strictEqual(report.digests.md5, createHash("md5").update(content).digest("hex"))
    }).pipe(Effect.provide(platform)))
})
