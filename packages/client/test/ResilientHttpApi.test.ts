import { ResilientClient, ResilientHttpApi } from "@effect-resilience/client"
import { ApiError, Recovery } from "@effect-resilience/errors"
import { AccessLog } from "@effect-resilience/http"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse, HttpRouter, HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { TestClock } from "effect/testing"
import { createServer } from "node:http"

class Busy extends Schema.TaggedError<Busy>()("Busy", {}, { httpApiStatus: 503 }) {
  [Recovery.symbol]() {
    return Recovery.retryAfter("2 seconds")
  }
}
class Closed extends Schema.TaggedError<Closed>()("Closed", {}, { httpApiStatus: 503 }) {
  [Recovery.symbol]() {
    return Recovery.correct
  }
}
class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { item: Schema.String }, { httpApiStatus: 409 }) {}
const Later = HttpApiSchema.status(429)(
  Schema.Struct({ _tag: Schema.tag("Later"), retryAfter: Schema.DurationFromMillis })
)

const Api = HttpApi.make("shop").add(
  HttpApiGroup.make("orders").add(
    HttpApiEndpoint.post("place", "/orders/:id", {
      params: { id: Schema.String },
      success: Schema.String,
      error: [Busy, Closed, SoldOut, Later]
    }),
    HttpApiEndpoint.get("read", "/orders/:id", {
      params: { id: Schema.String },
      success: Schema.String,
      error: [Busy, SoldOut]
    })
  ),
  HttpApiGroup.make("probes", { topLevel: true }).add(
    HttpApiEndpoint.get("health", "/health", { success: Schema.String })
  )
)

const json = (status: number, body: unknown) => () => Response.json(body, { status })

const over = (
  responses: ReadonlyArray<() => Response>,
  description: Partial<ResilientClient.Description> = {}
) =>
  Effect.gen(function*() {
    const sent: Array<string> = []
    const transport = HttpClient.make((request, url) =>
      Effect.sync(() => {
        sent.push(`${request.method} ${url.pathname}`)
        const next = responses[sent.length - 1]
        if (next === undefined) throw new Error("one request too many")
        return HttpClientResponse.fromWeb(request, next())
      })
    )
    const client = yield* ResilientClient.make({
      name: "shop",
      baseUrl: "https://shop.example.com",
      pipeline: { retry: { times: 2, backoff: { base: 0 } } },
      ...description
    }).pipe(Effect.provideService(HttpClient.HttpClient, transport))
    return { api: yield* ResilientHttpApi.makeWith(Api, client), sent }
  })

const one = { params: { id: "1" } }

describe("ResilientHttpApi", () => {
  it.effect("an error with a Recovery of its own decides, also for a POST", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(86_400_000)
      const { api, sent } = yield* over([json(503, { _tag: "Busy" }), json(200, "placed")])
      const fiber = yield* Effect.forkChild(api.orders.place(one))
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(sent.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "placed")

      const closed = yield* over([json(503, { _tag: "Closed" })])
      assert.instanceOf(yield* Effect.flip(closed.api.orders.place(one)), Closed)
    }))

  it.effect("any other declared error is judged by its status, and waits for its retryAfter", () =>
    Effect.gen(function*() {
      const sold = yield* over([json(409, { _tag: "SoldOut", item: "shoes" })])
      assert.deepStrictEqual(yield* Effect.flip(sold.api.orders.read(one)), new SoldOut({ item: "shoes" }))

      const later = yield* over([json(429, { _tag: "Later", retryAfter: 60_000 }), json(200, "placed")], {
        timeouts: { total: "5 minutes" }
      })
      const fiber = yield* Effect.forkChild(later.api.orders.place(one))
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(later.sent.length, 1)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "placed")
    }))

  it.effect("a circuit does not count what the API declares as the caller's fault, and counts the rest", () =>
    Effect.gen(function*() {
      const pipeline = { circuitBreaker: { tripPolicy: { consecutive: 1 }, openDuration: "1 minute" } } as const
      const { api } = yield* over(
        [json(409, { _tag: "SoldOut", item: "a" }), json(503, { _tag: "Closed" }), json(503, { _tag: "Busy" })],
        { pipeline }
      )
      for (let calls = 0; calls < 2; calls++) yield* Effect.flip(api.orders.place(one))
      assert.instanceOf(yield* Effect.flip(api.orders.read(one)), Busy)
      const rejected = yield* Effect.flip(api.orders.read(one))
      assert.strictEqual(rejected._tag, "CircuitOpen")
    }))

  it.effect("what the API does not declare is an ApiError", () =>
    Effect.gen(function*() {
      const page = (status: number) => () => new Response("<html><title>Not here</title></html>", { status })
      const { api } = yield* over([page(404), page(409)])
      for (const reason of ["NotFound", "Conflict"]) {
        const error = yield* Effect.flip(api.orders.read(one))
        assert.strictEqual(error instanceof ApiError.ApiError ? error.reason._tag : error._tag, reason)
      }
    }))

  it.effect("a caller who reads responses gets them, of any status", () =>
    Effect.gen(function*() {
      const { api } = yield* over([json(404, {}), json(409, { _tag: "SoldOut", item: "a" })])
      const missing = yield* api.orders.read({ ...one, responseMode: "response-only" })
      assert.strictEqual(missing.status, 404)
      const sold = yield* api.orders.read({ ...one, responseMode: "response-only" })
      assert.deepStrictEqual([sold.status, yield* sold.json], [409, { _tag: "SoldOut", item: "a" }])
    }))

  it.effect("calls are operations, which the description can name", () =>
    Effect.gen(function*() {
      const { api, sent } = yield* over(
        [json(503, {}), json(200, "placed"), json(200, "well"), json(503, {})],
        { operations: { "orders.place": { idempotent: true }, health: { without: "retry" } } }
      )
      assert.strictEqual(yield* api.orders.place(one), "placed")
      assert.strictEqual(yield* api.health(), "well")
      yield* Effect.flip(api.health())
      assert.strictEqual(sent.length, 4)
      const calls = (yield* (yield* AccessLog.Memory).entries).filter(({ kind }) => kind === "call")
      assert.deepStrictEqual(calls.map(({ endpoint, operation }) => `${operation} ${endpoint}`), [
        "orders.place /orders/{id}",
        "health /health",
        "health /health"
      ])
    }).pipe(Effect.provide(AccessLog.layerMemory)))

  it("errors of the type are those of the client and those that are declared", () => {
    const make = (client: ResilientClient.ResilientClient<ApiError.ApiError>) => ResilientHttpApi.makeWith(Api, client)
    type Made = Effect.Success<ReturnType<typeof make>>
    const read = (api: Made) => api.orders.read(one)
    expectTypeOf<Effect.Error<ReturnType<typeof read>>["_tag"]>().toEqualTypeOf<
      "ApiError" | "Busy" | "SoldOut" | "HttpClientError" | "SchemaError"
    >()
  })

  it.live("works with a server of the same declaration", () =>
    Effect.gen(function*() {
      const orders = HttpApiBuilder.group(Api, "orders", (handlers) =>
        handlers
          .handle("place", ({ params }) => Effect.fail(new SoldOut({ item: params.id })))
          .handle("read", ({ params }) => Effect.succeed(`order ${params.id}`)))
      const probes = HttpApiBuilder.group(Api, "probes", (handlers) =>
        handlers.handle("health", () =>
          Effect.succeed("well")))
      yield* Layer.build(
        HttpRouter.serve(HttpApiBuilder.layer(Api).pipe(Layer.provide([orders, probes])), { disableLogger: true })
      )
      const server = yield* HttpServer.HttpServer
      const client = yield* ResilientClient.make({ name: "shop", baseUrl: HttpServer.formatAddress(server.address) })
      const api = yield* ResilientHttpApi.makeWith(Api, client)
      const id = { params: { id: "a b" } }
      assert.deepStrictEqual(yield* Effect.flip(api.orders.place(id)), new SoldOut({ item: "a b" }))
      assert.strictEqual(yield* api.orders.read(id), "order a b")
      assert.strictEqual(yield* api.health(), "well")
    }).pipe(
      Effect.scoped,
      Effect.provide([FetchHttpClient.layer, NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })])
    ))
})
