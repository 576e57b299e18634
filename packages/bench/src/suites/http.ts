import * as Authenticated from "@effect-resilience/auth/Authenticated"
import * as Origin from "@effect-resilience/auth/Origin"
import * as TokenCache from "@effect-resilience/auth/TokenCache"
import * as TokenSource from "@effect-resilience/auth/TokenSource"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as ErrorMapping from "@effect-resilience/http/ErrorMapping"
import * as HttpRetry from "@effect-resilience/http/HttpRetry"
import * as Operation from "@effect-resilience/http/Operation"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as Connections from "@effect-resilience/node/Connections"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { create } from "axios"
import axiosRetry, { exponentialDelay } from "axios-retry"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import got from "got"
import { Agent } from "node:http"
import { Worker } from "node:worker_threads"
import type { Subject, Suite } from "../Suite.ts"

const atOnce = 32

// In a thread of its own, so that the clients are compared and not the server.
const server = `
  const { createServer } = require("node:http")
  const { parentPort } = require("node:worker_threads")
  const body = JSON.stringify({ id: "7", name: "GL Data" })
  createServer((request, response) => {
    request.resume()
    response.setHeader("content-type", "application/json")
    response.end(body)
  }).listen(0, "127.0.0.1", function() { parentPort.postMessage(this.address().port) })
`

let origin: Promise<string> | undefined
const started = (): Promise<string> =>
  origin ??= new Promise((resolve) => {
    const worker = new Worker(server, { eval: true })
    worker.once("message", (port) => {
      worker.unref()
      resolve(`http://127.0.0.1:${port}`)
    })
  })

class Call extends Context.Service<Call, { readonly call: Effect.Effect<unknown, unknown> }>()("bench/Call") {}

const address = Effect.promise(started)

const bare = Layer.effect(
  Call,
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const url = `${yield* address}/tables/7`
    return Call.of({ call: Effect.flatMap(client.get(url), (response) => response.json) })
  })
)

const full = Layer.effect(
  Call,
  Effect.gen(function*() {
    const url = `${yield* address}/tables/7`
    const tokens = yield* TokenCache.make(TokenSource.constant(Redacted.make("bench-token-0123456789")))
    const breaker = yield* CircuitBreaker.make({ name: "bench" })
    const client = (yield* HttpClient.HttpClient).pipe(
      ErrorMapping.mapErrors({ timeout: "30 seconds" }),
      Telemetry.observeAttempts,
      AccessLog.logAttempts,
      Authenticated.withTokens(tokens, { origin: Origin.make(yield* address), attach: Authenticated.bearer }),
      HttpClient.transformResponse(CircuitBreaker.withCircuitBreaker(breaker)),
      HttpRetry.retry(RetryPolicy.standard)
    )
    const operation: Operation.Operation = { name: "read table", endpoint: "/tables/{table}" }
    return Call.of({
      call: Effect.flatMap(client.get(url), (response) => response.json).pipe(
        AccessLog.logCall,
        Telemetry.observeCall,
        Operation.within(operation)
      )
    })
  })
).pipe(
  Layer.provideMerge(Layer.unwrap(
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      return AccessLog.layerFile(`${yield* fs.makeTempDirectoryScoped()}/access.jsonl`)
    })
  ))
)

const effects = (
  layer: Layer.Layer<Call, unknown, HttpClient.HttpClient | FileSystem.FileSystem>,
  client: Layer.Layer<HttpClient.HttpClient, unknown>
): Subject => {
  const runtime = ManagedRuntime.make(Layer.provideMerge(layer, Layer.mergeAll(client, NodeFileSystem.layer)))
  return (calls) =>
    runtime.runPromise(
      Effect.flatMap(
        Call,
        ({ call }) => Effect.forEach(Array.from({ length: calls }), () => call, { concurrency: atOnce, discard: true })
      )
    )
}

const promises = (one: (url: string) => Promise<unknown>): Subject => async (calls) => {
  const url = `${await started()}/tables/7`
  let left = calls
  const work = async () => {
    while (left-- > 0) await one(url)
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

const agent = new Agent({ keepAlive: true, maxSockets: atOnce })
const gotRetrying = got.extend({ retry: { limit: 3 }, timeout: { request: 30_000 }, agent: { http: agent } })
const axiosRetrying = create({ timeout: 30_000, httpAgent: agent })
axiosRetry(axiosRetrying, { retries: 3, retryDelay: (count) => exponentialDelay(count) })

const suite: Suite = {
  name: "http",
  packages: ["effect", "@effect/platform-node", "got", "axios", "axios-retry"],
  cases: [{
    name: `GET of 32 bytes of JSON on loopback, ${atOnce} at once`,
    ours: "effect-resilience: errors, access log to a file, spans, metrics, auth, retry, breaker, timeout",
    subjects: {
      "effect-resilience: errors, access log to a file, spans, metrics, auth, retry, breaker, timeout": effects(
        full,
        Connections.layer({ connections: atOnce })
      ),
      "effect, bare": effects(bare, NodeHttpClient.layerUndici),
      "effect, bare, over Connections": effects(bare, Connections.layer({ connections: atOnce })),
      "got with retry": promises((url) => gotRetrying(url).json()),
      "axios with axios-retry": promises((url) => axiosRetrying.get(url))
    },
    atMost: { "effect, bare": 1.25, "got with retry": 1, "axios with axios-retry": 1 }
  }]
}

export default suite
