import { ResilientClient } from "@effect-resilience/client"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"

const scripted = (...statuses: ReadonlyArray<number>) => {
  const sent: Array<{ readonly method: string; readonly url: string; readonly headers: object }> = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      sent.push({ method: request.method, url: url.href, headers: request.headers })
      return HttpClientResponse.fromWeb(request, new Response("{}", { status: statuses[sent.length - 1] ?? 200 }))
    })
  )
  return { sent, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

describe("ResilientClient", () => {
  it.effect("a GET is repeated, a POST is not", () =>
    Effect.gen(function*() {
      const { layer, sent } = scripted(503, 200, 503)
      const client = yield* ResilientClient.make({
        name: "ledger",
        baseUrl: "https://ledger.example.com/v1",
        pipeline: { retry: { times: 2, backoff: { base: 0 } } }
      }).pipe(Effect.provide(layer))
      assert.strictEqual((yield* client.get("/accounts")).status, 200)
      const error = yield* Effect.flip(client.post("/orders"))
      assert.strictEqual(error._tag, "ApiError")
      assert.deepStrictEqual(sent.map(({ method, url }) => `${method} ${url}`), [
        "GET https://ledger.example.com/v1/accounts",
        "GET https://ledger.example.com/v1/accounts",
        "POST https://ledger.example.com/v1/orders"
      ])
      const foreign = yield* Effect.flip(client.get("https://evil.test/x"))
      assert.strictEqual(foreign._tag, "ForeignUrl")
    }))
})
