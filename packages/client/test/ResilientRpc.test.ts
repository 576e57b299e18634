import { ResilientClient, ResilientRpc } from "@effect-resilience/client"
import { Classifier, NotAsked, Recovery } from "@effect-resilience/errors"
import { AccessLog } from "@effect-resilience/http"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse, HttpRouter, HttpServer } from "effect/http"
import { Rpc, RpcClient, type RpcClientError, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"

class Busy extends Schema.TaggedError<Busy>()("Busy", {}) {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}
class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { item: Schema.String }) {}

const Shop = RpcGroup.make(
  Rpc.make("Place", { payload: { item: Schema.String }, success: Schema.String, error: Schema.Union([Busy, SoldOut]) }),
  Rpc.make("Watch", { success: Schema.Number, error: Busy, stream: true })
)

/** A body without length, whose pieces come one after the other. */
const inPieces = (text: string) =>
  new ReadableStream({
    async start(controller) {
      for (const piece of [text.slice(0, 20), text.slice(20)]) {
        controller.enqueue(new TextEncoder().encode(piece))
        await new Promise((resolve) => setImmediate(resolve))
      }
      controller.close()
    }
  })

const over = <A, E>(
  serialization: typeof RpcSerialization.layerJson,
  body: (
    shop: RpcClient.FromGroup<typeof Shop, RpcClientError.RpcClientError>,
    calls: Array<string>
  ) => Effect.Effect<A, E, AccessLog.Memory>,
  description: Partial<ResilientClient.Description> = {}
) =>
  Effect.gen(function*() {
    const calls: Array<string> = []
    const handlers = Shop.toLayer({
      Place: ({ item }) =>
        Effect.suspend((): Effect.Effect<string, Busy | SoldOut> => {
          calls.push(item)
          if (item === "shoes") return Effect.fail(new SoldOut({ item }))
          return calls.length === 1 || item === "busy"
            ? Effect.fail(new Busy())
            : Effect.succeed(`order ${calls.length}`)
        }),
      Watch: () => Stream.make(1, 2, 3)
    })
    const server = RpcServer.layerHttp({ group: Shop, path: "/rpc", protocol: "http" }).pipe(
      Layer.provide([handlers, serialization])
    )
    yield* Layer.build(HttpRouter.serve(server, { disableLogger: true }))
    const { address } = yield* HttpServer.HttpServer
    const client = yield* ResilientClient.make({
      name: "shop",
      baseUrl: HttpServer.formatAddress(address),
      pipeline: { retry: { times: 2, backoff: { base: 0 } } },
      ...description
    })
    const protocol = yield* Effect.provide(ResilientRpc.makeProtocol(Shop, client, { path: "/rpc" }), serialization)
    const shop = yield* Effect.provideService(RpcClient.make(Shop), RpcClient.Protocol, protocol)
    return yield* body(shop, calls)
  }).pipe(
    Effect.scoped,
    Effect.provide([
      FetchHttpClient.layer,
      NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }),
      AccessLog.layerMemory
    ])
  )

for (
  const [name, serialization] of [["JSON", RpcSerialization.layerJson], [
    "NDJSON",
    RpcSerialization.layerNdjson
  ]] as const
) {
  describe(`ResilientRpc over ${name}`, () => {
    it.live("a declared error with a Recovery is repeated, and any other is a result", () =>
      over(serialization, (shop, calls) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* shop.Place({ item: "hat" }), "order 2")
          assert.deepStrictEqual(calls, ["hat", "hat"])
          assert.deepStrictEqual(yield* Effect.flip(shop.Place({ item: "shoes" })), new SoldOut({ item: "shoes" }))
          assert.strictEqual(calls.length, 3)
          const lines = (yield* (yield* AccessLog.Memory).entries).filter(({ kind }) => kind === "call")
          assert.deepStrictEqual(lines.map(({ attempt, operation }) => `${operation} ${attempt}`), [
            "Place 2",
            "Place 1"
          ])
        })))

    it.live("the last one reaches the caller, and a circuit counts it", () =>
      over(
        serialization,
        (shop, calls) =>
          Effect.gen(function*() {
            assert.instanceOf(yield* Effect.flip(shop.Place({ item: "busy" })), Busy)
            assert.strictEqual(calls.length, 1)
            const rejected = yield* Effect.flip(shop.Place({ item: "hat" }))
            assert.strictEqual(rejected._tag, "RpcClientError")
            assert.isTrue(NotAsked.isNotAsked(rejected))
            assert.strictEqual(calls.length, 1)
          }),
        { pipeline: { circuitBreaker: { tripPolicy: { consecutive: 1 }, openDuration: "1 minute" } } }
      ))
  })
}

describe("ResilientRpc", () => {
  it.live("streams pass piece by piece", () =>
    over(RpcSerialization.layerNdjson, (shop) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* Stream.runCollect(shop.Watch()), [1, 2, 3])
      })))

  it.live("a declared error is repeated, although its response comes in pieces", () =>
    Effect.gen(function*() {
      let requests = 0
      const transport = HttpClient.make((request) =>
        Effect.sync(() => {
          const { body } = request
          const { id } = JSON.parse(body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : "{}") as {
            readonly id: string
          }
          const exit = ++requests === 1
            ? { _tag: "Failure", cause: [{ _tag: "Fail", error: { _tag: "Busy" } }] }
            : { _tag: "Success", value: `order ${requests}` }
          const text = `${JSON.stringify({ _tag: "Exit", requestId: id, exit })}\n`
          return HttpClientResponse.fromWeb(request, new Response(inPieces(text)))
        })
      )
      const client = yield* Effect.provideService(
        ResilientClient.make({
          name: "shop",
          baseUrl: "https://shop.example.com",
          pipeline: { retry: { times: 2, backoff: { base: 0 } } }
        }),
        HttpClient.HttpClient,
        transport
      )
      const protocol = yield* ResilientRpc.makeProtocol(Shop, client)
      const shop = yield* Effect.provideService(RpcClient.make(Shop), RpcClient.Protocol, protocol)
      assert.strictEqual(yield* shop.Place({ item: "hat" }), "order 2")
      assert.strictEqual(requests, 2)
    }).pipe(Effect.scoped, Effect.provide(RpcSerialization.layerNdjson)))

  it.effect("a status is a failure, and says what to do", () =>
    Effect.gen(function*() {
      const shop = yield* RpcClient.make(Shop)
      const missing = yield* Effect.flip(shop.Place({ item: "hat" }))
      assert.strictEqual(missing._tag, "RpcClientError")
      assert.strictEqual(Classifier.classify(missing)._tag, "Correct")
      const unknown = yield* Effect.flip(shop.Place({ item: "hat" }))
      assert.strictEqual(Classifier.classify(unknown)._tag, "Verify")
      const { sent } = yield* ResilientClient.TestServer
      assert.deepStrictEqual((yield* sent).map(({ method, url }) => `${method} ${url}`), [
        "POST https://shop.example.com/v1/rpc",
        "POST https://shop.example.com/v1/rpc"
      ])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        ResilientRpc.layerProtocol(Shop, { path: "/rpc" }).pipe(
          Layer.provideMerge(
            ResilientClient.layerTest({ name: "shop", baseUrl: "https://shop.example.com/v1" }, [
              new Response("", { status: 404 }),
              new Response("", { status: 503 })
            ])
          ),
          Layer.provide(RpcSerialization.layerJson)
        )
      )
    ))
})
