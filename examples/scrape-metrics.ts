// Runs a client against a flaky server and scrapes the metrics as Prometheus would.
import { ResilientClient } from "@effect-resilience/client"
import * as Connections from "@effect-resilience/node/Connections"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import assert from "node:assert/strict"
import { createServer } from "node:http"

let requests = 0
const api = HttpRouter.add(
  "GET",
  "/tables/:table",
  Effect.sync(() => HttpServerResponse.empty({ status: ++requests % 3 === 0 ? 503 : 200 }))
)

const Server = HttpRouter.serve(Layer.merge(api, PrometheusMetrics.layerHttp()), { disableLogger: true }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
)

const program = Effect.gen(function*() {
  const origin = HttpServer.formatAddress((yield* HttpServer.HttpServer).address)
  const client = yield* ResilientClient.make({
    name: "warehouse",
    baseUrl: origin,
    pipeline: { ...ResilientClient.standard.pipeline, retry: { backoff: { base: "5 millis" } } },
    operations: { "read table": { endpoint: "GET /tables/{table}" } }
  })
  yield* Effect.forEach(["GL", "Vendors", "Labor", "Assets"], (table) => client.get(`/tables/${table}`))

  const page = yield* Effect.flatMap(client.get("/metrics"), (response) => response.text)
  return page.split("\n").filter((line) => /^(http_client_request_duration|resilience_call_duration)_count/.test(line))
})

const series = await Effect.runPromise(Effect.provide(program, Layer.merge(Server, Connections.layer())))
console.log(series.join("\n"))
assert.ok(series.some((line) => line.includes(`error_type="503"`)), "the retried failure is visible")
assert.ok(!series.join().includes("Vendors"), "table names are not")
