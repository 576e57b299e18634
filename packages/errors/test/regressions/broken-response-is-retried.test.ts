import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Classifier } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"

const server = LocalServer.http((_, response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "10" })
  response.write("[1, 2", () => response.destroy())
})

describe("Classifier.classify", () => {
  // Effect calls both a `DecodeError`.
  it.live("distinguishes a response whose connection breaks from one that cannot be decoded", () =>
    Effect.gen(function*() {
      const { url } = yield* server
      const client = yield* HttpClient.HttpClient
      const broken = yield* Effect.flip(
        Effect.flatMap(client.get(url), (response) => response.text)
      )
      assert.strictEqual(broken.reason._tag, "DecodeError")
      assert.strictEqual(Classifier.classify(broken)._tag, "Retry")

      const page = HttpClientResponse.fromWeb(broken.request, new Response("<html>"))
      const unreadable = yield* Effect.flip(HttpClientResponse.schemaBodyJson(Schema.Unknown)(page))
      assert.strictEqual(Classifier.classify(unreadable)._tag, "GiveUp")
    }).pipe(Effect.provide(FetchHttpClient.layer)))
})
