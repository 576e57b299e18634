import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ErrorMapping } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import type * as Http from "node:http"

const serve = (handler: Http.RequestListener) => Effect.map(LocalServer.http(handler), ({ url }) => url)

describe("a JSON body larger than what an attempt reads", () => {
  it.live("is whole at each reading, or fails", () =>
    Effect.gen(function*() {
      const body = JSON.stringify("x".repeat(2_500_000))
      const url = yield* serve((_, response) => {
        response.writeHead(200, { "content-type": "application/json" })
        response.end(body)
      })
      for (const layer of [FetchHttpClient.layer, Connections.layer()]) {
        yield* Effect.gen(function*() {
          const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient)
          const twice = yield* client.get(url)
          assert.strictEqual((yield* twice.text).length, body.length)
          assert.strictEqual((yield* twice.arrayBuffer).byteLength, body.length)
          const atOnce = yield* client.get(url)
          const texts = yield* Effect.all([atOnce.text, atOnce.text], { concurrency: "unbounded" })
          assert.deepStrictEqual(texts.map((text) => text.length), [body.length, body.length])
          const streamed = yield* client.get(url)
          yield* Stream.runDrain(streamed.stream)
          assert.isTrue(Exit.isFailure(yield* Effect.exit(Stream.runDrain(streamed.stream))))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(streamed.text)))
        }).pipe(Effect.provide(layer))
      }
    }))
})
