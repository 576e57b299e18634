import { ResilientClient, ResilientHttpApi } from "@effect-resilience/client"
import { NodeHttpClient } from "@effect/platform-node"
import { Deferred, Effect } from "effect"
import { HttpServer } from "effect/http"
import assert from "node:assert/strict"
import { Api, NoSuchReport } from "./api.ts"
import { server, work } from "./server.ts"

const program = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const client = yield* ResilientClient.make({
    name: "reports",
    baseUrl: HttpServer.formatAddress(address),
    operations: { "reports.compute": { timeouts: { total: "1 second" } } }
  })
  const { reports } = yield* ResilientHttpApi.makeWith(Api, client)

  // Two at once are one too many: the second is rejected, and comes back after a second.
  const read = Effect.timed(reports.read({ params: { id: "1" } }))
  const both = yield* Effect.all([read, read], { concurrency: "unbounded" })
  assert.deepEqual(both.map(([, text]) => text), ["report 1", "report 1"])

  // A declared error is what the server says.
  assert.deepEqual(yield* Effect.flip(reports.read({ params: { id: "none" } })), new NoSuchReport({ id: "none" }))

  // The caller has a second. The server knows, and stops when it is over.
  const late = yield* Effect.flip(reports.compute({ params: { id: "1" } }))
  yield* Deferred.await(work.stopped)
  assert.equal(work.began, 1)
  return { both: both.map(([duration]) => duration), late }
})

const { late } = await Effect.runPromise(
  program.pipe(Effect.scoped, Effect.provide([server, NodeHttpClient.layerUndici]))
)
console.log(`two at once: both read. Too late: ${late.message}`)
