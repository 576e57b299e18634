import { type AuthError, TokenCache, TokenSource } from "@effect-resilience/auth"
import { ResilientClient, ResilientHttpApi, ResilientRpc } from "@effect-resilience/client"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Schema } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "effect/rpc"
import { inspect } from "node:util"

const secret = "s3cret-t0ken"

const auth: ResilientClient.Authenticate = (client) =>
  HttpClient.mapRequestEffect(
    client,
    (request): Effect.Effect<HttpClientRequest.HttpClientRequest, AuthError.AuthError> =>
      Effect.succeed(HttpClientRequest.setHeader(request, "x-token", secret))
  )

const Api = HttpApi.make("shop").add(
  HttpApiGroup.make("orders").add(HttpApiEndpoint.get("read", "/orders", { success: Schema.String }))
)
const Shop = RpcGroup.make(Rpc.make("Place", { success: Schema.String }))

type Client = Effect.Success<ReturnType<typeof make>>

const make = (response: () => Response, authenticate = auth) => {
  const sent: Array<string | undefined> = []
  const transport = HttpClient.make((request) =>
    Effect.sync(() => {
      sent.push(request.headers["x-token"])
      return HttpClientResponse.fromWeb(request, response())
    })
  )
  return ResilientClient.make({ name: "shop", baseUrl: "https://shop.example.com", auth: authenticate, pipeline: {} })
    .pipe(
      Effect.provideService(HttpClient.HttpClient, transport),
      Effect.map((client) => ({ client, sent }))
    )
}

const broken = () =>
  new Response(
    new ReadableStream({
      async pull(controller) {
        await Promise.resolve()
        controller.error(new TypeError("network error"))
      }
    })
  )

/** It comes in pieces. */
const page = (contentLength: string | undefined) =>
  new Response(
    new ReadableStream({
      async start(controller) {
        for (const piece of ["<title>", "Log in to shop.exam", "</title>"]) {
          controller.enqueue(new TextEncoder().encode(piece))
          await new Promise((resolve) => setImmediate(resolve))
        }
        controller.close()
      }
    }),
    { headers: { "content-type": "text/html", ...(contentLength && { "content-length": contentLength }) } }
  )

const json = <E>(client: HttpClient.HttpClient.With<E>) =>
  Effect.flatMap(client.get("/orders"), (response): Effect.Effect<unknown, unknown> => response.json)

const filtered = <E>(client: HttpClient.HttpClient.With<E>) =>
  Effect.flatMap(
    client.get("/orders"),
    (response): Effect.Effect<unknown, unknown> => HttpClientResponse.filterStatus(response, (status) => status === 999)
  )

const uses: ReadonlyArray<readonly [string, (client: Client["client"]) => Effect.Effect<unknown, unknown>]> = [
  ["a filter of statuses", filtered],
  ["JSON", json],
  ["a filter of statuses, as an HttpClient", (client) => filtered(ResilientClient.toHttpClient(client))],
  ["JSON, as an HttpClient", (client) => json(HttpClient.filterStatusOk(ResilientClient.toHttpClient(client)))],
  [
    "an HttpApi",
    (client) => Effect.flatMap(ResilientHttpApi.makeWith(Api, client), ({ orders }) => Effect.asVoid(orders.read()))
  ],
  [
    "the response of an HttpApi",
    (client) =>
      Effect.flatMap(ResilientHttpApi.makeWith(Api, client), ({ orders }) =>
        Effect.flatMap(
          orders.read({ responseMode: "response-only" }),
          HttpClientResponse.filterStatus((status) => status === 999)
        ))
  ],
  ["an RpcClient", (client) =>
    Effect.gen(function*() {
      const protocol = yield* ResilientRpc.makeProtocol(Shop, client)
      const shop = yield* Effect.provideService(RpcClient.make(Shop), RpcClient.Protocol, protocol)
      return yield* shop.Place()
    }).pipe(Effect.scoped, Effect.provide(RpcSerialization.layerNdjson))]
]

const responses: ReadonlyArray<readonly [string, () => Response]> = [
  ["a 404", () => new Response("no", { status: 404 })],
  ["a 503 with a long page", () => new Response("no".repeat(1_000_000), { status: 503 })],
  ["a 203", () => Response.json("order", { status: 203 })],
  ["a 204", () => new Response(null, { status: 204 })],
  ["a text that is no JSON", () => new Response("{no")],
  ["a long text that is no JSON", () => new Response("{no".padEnd(100_000))],
  ["a body that breaks off", broken]
]

describe("credentials of a client", () => {
  it.effect("are on every request, though what adds them threw at first", () =>
    Effect.gen(function*() {
      let made = 0
      const { client, sent } = yield* make(() => Response.json("order"), (inner, origin) => {
        if (++made === 1) throw new Error("not ready")
        return auth(inner, origin)
      })
      assert.isTrue(Exit.hasDies(yield* Effect.exit(json(client))))
      yield* json(client)
      assert.deepStrictEqual(sent, [secret])
    }))

  for (const [use, run] of uses) {
    for (const [what, response] of responses) {
      // As Node prints what is not caught.
      it.effect(`no error of ${use} prints them, after ${what}`, () =>
        Effect.gen(function*() {
          const { client, sent } = yield* make(response)
          const result = yield* Effect.result(run(client))
          assert.deepStrictEqual(sent, [secret])
          assert.notInclude(inspect(result, { customInspect: false, depth: 20, showHidden: true }), secret)
        }))
    }
  }

  for (const contentLength of [undefined, "34"]) {
    it.effect(`a login page is a rejected token, and no response to the caller, with length ${contentLength}`, () =>
      Effect.gen(function*() {
        let logins = 0
        const login = Effect.sync(() => ({ value: Redacted.make(`token-${++logins}`) }))
        const cache = yield* TokenCache.make(TokenSource.fromEffect(login, { identity: ["shop"] }))
        const transport = HttpClient.make((request) =>
          Effect.sync(() =>
            HttpClientResponse.fromWeb(
              request,
              request.headers["authorization"] === "Bearer token-1" ? page(contentLength) : Response.json("order")
            )
          )
        )
        const client = yield* Effect.provideService(
          ResilientClient.make({
            name: "shop",
            baseUrl: "https://shop.example.com",
            pipeline: {},
            auth: ResilientClient.tokens(cache, { rejected: ({ headers }) => headers["content-type"] === "text/html" })
          }),
          HttpClient.HttpClient,
          transport
        )
        const response = yield* client.get("/orders")
        assert.strictEqual(response.headers["content-type"], "application/json")
        assert.strictEqual(yield* response.json, "order")
        assert.strictEqual(logins, 2)
      }))
  }

  it.effect("a response is one to a request that has the key of its call", () =>
    Effect.gen(function*() {
      const { client } = yield* make(() => Response.json("order"))
      yield* client.reload({
        name: "shop",
        baseUrl: "https://shop.example.com",
        auth,
        pipeline: {},
        idempotency: { key: true }
      })
      const { request } = yield* client.post("/orders")
      assert.deepStrictEqual(Object.keys(request.headers), ["idempotency-key"])
      assert.strictEqual(request.url, "https://shop.example.com/orders")
    }))
})
