/**
 * A process that takes orders: `server.ts STORE LEDGER`. It writes its port to standard output, and a line to the file
 * LEDGER for each order that it begins.
 */
import * as Lease from "@effect-resilience/deadline/Lease"
import { IdempotencyServer } from "@effect-resilience/http"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Persistence } from "effect/persistence"
import { appendFileSync } from "node:fs"
import { createServer } from "node:http"
import { storeAt } from "./stores.ts"

const [address = "", ledger = ""] = process.argv.slice(2)

const order = Effect.gen(function*() {
  const request = yield* HttpServerRequest.HttpServerRequest
  appendFileSync(ledger, `${request.headers["idempotency-key"]} ${process.pid}\n`)
  yield* Effect.sleep(Number(request.headers["x-takes"] ?? "0"))
  return HttpServerResponse.text(String(process.pid), { status: 201 })
})

const program = Effect.gen(function*() {
  const once = yield* IdempotencyServer.make({
    caller: () => "acme",
    claims: yield* Lease.Lease,
    claimFor: "1 second"
  })
  yield* HttpServer.serveEffect(once(order))
  const server = yield* HttpServer.HttpServer
  if (server.address._tag === "InetAddressV4") console.log(server.address.port)
  yield* Effect.never
})

const store = storeAt(address)

NodeRuntime.runMain(program.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(
    Layer.provide(Persistence.layer, store),
    store,
    NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })
  ))
))
