// Runs the HTTP stack against a flaky server and scrapes the metrics as Prometheus would.
import { AccessLog, ErrorMapping, HttpRetry, Operation, Telemetry } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
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
  const transport = yield* HttpClient.HttpClient

  const client = transport.pipe(
    ErrorMapping.mapErrors({ timeout: "10 seconds" }),
    Telemetry.observeAttempts,
    AccessLog.logAttempts,
    HttpRetry.retry(RetryPolicy.make({ times: 3, backoff: Backoff.exponential({ base: "5 millis" }) })),
    HttpClient.transformResponse(Telemetry.observeCall)
  )
  const read = Operation.within({ name: "read table", endpoint: "/tables/{table}" })
  yield* Effect.forEach(["GL", "Vendors", "Labor", "Assets"], (table) => read(client.get(`${origin}/tables/${table}`)))

  const page = yield* Effect.flatMap(transport.get(`${origin}/metrics`), (response) => response.text)
  return page.split("\n").filter((line) => /^(http_client_request_duration|resilience_call_duration)_count/.test(line))
})

const series = await Effect.runPromise(Effect.provide(program, Layer.merge(Server, Connections.layer())))
console.log(series.join("\n"))
assert.ok(series.some((line) => line.includes(`error_type="503"`)), "the retried failure is visible")
assert.ok(!series.join().includes("Vendors"), "table names are not")
