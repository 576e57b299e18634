import { CircuitBreaker } from "@effect-resilience/limit"
import { Pipeline, PipelineRegistry, Status } from "@effect-resilience/pipeline"
import * as StatusApi from "@effect-resilience/pipeline/StatusApi"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import { HttpClient, HttpRouter } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiClient, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"

describe("StatusApi", () => {
  it.live("serves the status of a registry and of policies, as JSON and as text, over a socket", () =>
    Effect.gen(function*() {
      const registry = yield* PipelineRegistry.make([
        { name: "ledger", bulkhead: { permits: 10, queue: Infinity }, circuitBreaker: {} }
      ])
      const search = yield* CircuitBreaker.make({ name: "search", tripPolicy: CircuitBreaker.consecutive(1) })
      yield* Effect.exit(search.execute(Effect.fail("no response")))
      const server = HttpRouter.serve(StatusApi.layer({ registry, policies: [search] }), { disableLogger: true })
      yield* Effect.gen(function*() {
        const json = yield* HttpClient.get("/resilience")
        assert.strictEqual(json.status, 200)
        const { pipelines, policies } = yield* Schema.decodeUnknownEffect(StatusApi.Report)(yield* json.json)
        assert.deepStrictEqual(pipelines.map(({ name, parts }) => [name, parts.map(({ part }) => part)]), [
          ["ledger", ["bulkhead", "circuitBreaker"]]
        ])
        assert.deepInclude(policies[0], { name: "search", kind: "CircuitBreaker" })
        assert.deepInclude(policies[0]?.now, { state: "Open", rejected: 0 })
        const text = yield* HttpClient.get("/resilience.txt")
        assert.match(text.headers["content-type"] ?? "", /^text\/plain/)
        assert.match(
          yield* text.text,
          /^ledger\n {2}bulkhead {8}permits 10, queue Infinity {2}\[permits 10, running 0,/
        )
        assert.strictEqual((yield* HttpClient.post("/resilience")).status, 404)
      }).pipe(Effect.provide(Layer.provideMerge(server, NodeHttpServer.layerTest)))
    }))

  it.effect("has a schema that takes reports and nothing else", () =>
    Effect.gen(function*() {
      const ledger = yield* Pipeline.make({ name: "ledger", retry: { times: 3 } })
      const report = yield* Status.report({ pipelines: [ledger], policies: [{ name: "p", snapshot: Effect.void }] })
      const decode = Schema.decodeUnknownEffect(StatusApi.Report)
      assert.deepStrictEqual(yield* decode(report), report)
      const [pipeline] = report.pipelines
      const others = [
        { ...report, pipelines: [{ parts: [] }] },
        { ...report, pipelines: [{ ...pipeline, parts: [{ part: "retry" }] }] },
        { ...report, policies: [{ name: "p" }] },
        { ...report, keyed: { tenants: "many" } }
      ]
      for (const other of others) assert.isTrue(Exit.isFailure(yield* Effect.exit(decode(other))))
    }))

  it.live("stands in an API of your own, which derives a client", () =>
    Effect.gen(function*() {
      const Orders = HttpApiGroup.make("orders").add(
        HttpApiEndpoint.get("count", "/orders", { success: Schema.Number })
      )
      const Api = HttpApi.make("shop").add(Orders, StatusApi.Group)
      const ledger = yield* Pipeline.make({ name: "ledger", retry: { times: 3 } })
      const routes = Layer.provide(HttpApiBuilder.layer(Api), [
        HttpApiBuilder.group(Api, "orders", (group) => group.handleAll({ count: () => Effect.succeed(3) })),
        HttpApiBuilder.group(Api, "resilience", StatusApi.handlers({ pipelines: [ledger] }))
      ])
      yield* Effect.gen(function*() {
        const client = yield* HttpApiClient.make(Api)
        assert.strictEqual(yield* client.orders.count(), 3)
        const { pipelines } = yield* client.resilience.status()
        assert.deepStrictEqual(pipelines, [{
          name: "ledger",
          parts: [{ slot: "retry", part: "retry", options: "times 3", now: { times: 3 } }]
        }])
        assert.include(yield* client.resilience.text(), "ledger")
      }).pipe(
        Effect.provide(Layer.provideMerge(HttpRouter.serve(routes, { disableLogger: true }), NodeHttpServer.layerTest))
      )
    }))
})
