import { ResilientClient } from "@effect-resilience/client"
import { AccessLog, Operation, Telemetry } from "@effect-resilience/http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer, Metric } from "effect"
import { HttpClient, HttpClientResponse, HttpServer, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

const scripted = (...statuses: ReadonlyArray<number>) => {
  const sent: Array<{ readonly method: string; readonly url: string; readonly headers: object }> = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      sent.push({ method: request.method, url: url.href, headers: request.headers })
      return HttpClientResponse.fromWeb(request, Response.json({}, { status: statuses[sent.length - 1] ?? 200 }))
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

  it.effect("a client inside a call of the same operation is told once", () =>
    Effect.gen(function*() {
      const { layer } = scripted(200, 200)
      const client = yield* ResilientClient.make({ name: "ledger", baseUrl: "https://ledger.example.com" }).pipe(
        Effect.provide(layer)
      )
      yield* Effect.andThen(client.get("/a"), client.get("/b")).pipe(
        Telemetry.observeCall,
        AccessLog.logCall,
        Operation.within({ name: "read both", endpoint: "/{name}" })
      )
      const lines = yield* (yield* AccessLog.Memory).entries
      assert.deepStrictEqual(lines.map(({ attempt, kind }) => `${kind} ${attempt}`), [
        "attempt 1",
        "attempt 2",
        "call 2"
      ])
      const calls = (yield* Metric.snapshot).find(({ id }) => id === "resilience.call.attempts")
      assert.strictEqual(calls?.type === "Histogram" ? calls.state.count : 0, 1)
    }).pipe(Effect.provide(AccessLog.layerMemory), Effect.provideService(Metric.MetricRegistry, new Map())))

  it.live("reaches a real server", () =>
    Effect.gen(function*() {
      yield* HttpServer.serveEffect(HttpServerResponse.json({ stored: true }))
      const server = yield* HttpServer.HttpServer
      const client = yield* ResilientClient.make({ name: "ledger", baseUrl: HttpServer.formatAddress(server.address) })
      const response = yield* client.post("/orders")
      assert.deepStrictEqual(yield* response.json, { stored: true })
    }).pipe(
      Effect.scoped,
      Effect.provide([NodeHttpClient.layerUndici, NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })])
    ))

  it.effect("what it sends is known to all copies of this package that a program may have", () =>
    Effect.gen(function*() {
      const keys: Array<string> = []
      const transport = HttpClient.make((request) =>
        Effect.contextWith((context: Context.Context<never>) => {
          keys.push(...context.mapUnsafe.keys())
          return Effect.succeed(HttpClientResponse.fromWeb(request, new Response()))
        })
      )
      const client = yield* ResilientClient.make({ name: "ledger", baseUrl: "https://ledger.example.com" }).pipe(
        Effect.provideService(HttpClient.HttpClient, transport)
      )
      yield* client.get("/accounts")
      assert.include(keys, "@effect-resilience/client/CurrentSending")
    }))

  it("fails with nothing but what its description names", () => {
    const base = { name: "ledger", baseUrl: "https://ledger.example.com" } as const
    const bare = ResilientClient.make({ ...base, pipeline: {} })
    type ErrorOf<M> = M extends Effect.Effect<ResilientClient.ResilientClient<infer E>, never, unknown> ? E : never
    expectTypeOf<ErrorOf<typeof bare>["_tag"]>().toEqualTypeOf<
      "ApiError" | "BodyNotReplayable" | "DeadlineExceeded" | "ForeignUrl"
    >()
    const standard = ResilientClient.make(base)
    expectTypeOf<Extract<ErrorOf<typeof standard>["_tag"], "CircuitOpen" | "LimitReached">>().toEqualTypeOf<
      "CircuitOpen"
    >()
  })
  it("is a client of any description, where a service wants one", () => {
    class Ledger extends Context.Service<Ledger, ResilientClient.ResilientClient>()("test/Ledger") {}
    const base = { name: "ledger", baseUrl: "https://ledger.example.com" }
    const made = ResilientClient.make<ResilientClient.Description>(base)
    expectTypeOf(Layer.effect(Ledger, made)).toEqualTypeOf<Layer.Layer<Ledger, never, HttpClient.HttpClient>>()
    // @ts-expect-error -- no such limit
    const misspelt = () => ResilientClient.make<ResilientClient.Description>({ ...base, timeouts: { totl: 1 } })
    assert.throws(misspelt, RangeError)
  })
})
