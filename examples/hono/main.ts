import { ResilientClient } from "@effect-resilience/client"
import { Effect, Layer, ManagedRuntime } from "effect"
import { type Context, Hono } from "hono"
import assert from "node:assert/strict"

const Ledger = ResilientClient.layer({
  name: "ledger",
  baseUrl: "https://ledger.example.com",
  pipeline: { retry: { times: 2, backoff: { base: "5 millis" } }, circuitBreaker: { tripPolicy: { consecutive: 5 } } }
})

// In production: Layer.provide(Ledger, FetchHttpClient.layer).
const runtime = ManagedRuntime.make(Layer.provideMerge(
  Ledger,
  ResilientClient.layerScript(({ url }, index) => {
    if (url.endsWith("/missing")) return new Response("{}", { status: 404 })
    return index === 0 ? new Response("busy", { status: 503 }) : Response.json({ balance: "12.50" })
  })
))

type Services = ManagedRuntime.ManagedRuntime.Services<typeof runtime>

/** Runs an effect for a request: it ends when the client leaves, and its errors are responses. */
const handle =
  (effect: (context: Context) => Effect.Effect<Response, ResilientClient.ClientError, Services>) =>
  (context: Context) =>
    runtime.runPromise(
      Effect.catch(effect(context), (error) =>
        Effect.succeed(
          error._tag === "ApiError" && error.reason._tag === "NotFound"
            ? context.json({ error: "no such account" }, 404)
            : context.json({ error: "the ledger does not respond" }, 503, { "retry-after": "5" })
        )),
      { signal: context.req.raw.signal }
    )

const app = new Hono().get(
  "/accounts/:id",
  handle(Effect.fnUntraced(function*(context) {
    const client = yield* ResilientClient.ResilientClient
    const response = yield* client.get(`/accounts/${encodeURIComponent(context.req.param("id") ?? "")}`)
    return context.json(yield* Effect.orDie(response.json))
  }))
)

const found = await app.request("/accounts/17")
assert.deepEqual([found.status, await found.json()], [200, { balance: "12.50" }])
assert.equal((await app.request("/accounts/missing")).status, 404)

const sent = await runtime.runPromise(Effect.flatMap(ResilientClient.TestServer, (server) => server.sent))
console.log(sent.map(({ method, url }) => `${method} ${url}`).join("\n"))
assert.equal(sent.length, 3)
await runtime.dispose()
