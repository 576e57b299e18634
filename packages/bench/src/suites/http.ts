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
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { create } from "axios"
import axiosRetry, { exponentialDelay } from "axios-retry"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import got from "got"
import { Agent } from "node:http"
import { atOnce, Call, calls, callsByPromise, started } from "../HttpServer.ts"
import type { Case, Suite } from "../Suite.ts"

const address = Effect.promise(started)

const bare = Layer.effect(
  Call,
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const url = `${yield* address}/tables/7`
    return Call.of({ call: Effect.flatMap(client.get(url), (response) => response.json) })
  })
)

const full = (observeCall: typeof Telemetry.observeCall) =>
  Layer.effect(
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
          observeCall,
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

const agent = new Agent({ keepAlive: true, maxSockets: atOnce })
const gotRetrying = got.extend({ retry: { limit: 3 }, timeout: { request: 30_000 }, agent: { http: agent } })
const axiosRetrying = create({ timeout: 30_000, httpAgent: agent })
axiosRetry(axiosRetrying, { retries: 3, retryDelay: (count) => exponentialDelay(count) })

const attributes = (outcome: string) => ({
  "http.request.method": "GET",
  "server.address": "127.0.0.1",
  "server.port": "80",
  "url.template": "/tables/{table}",
  "http.response.status_code": outcome
})

/** Updates the three metrics of a call by series that are looked up anew. */
const countAnew = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onExit(self, ({ _tag: outcome }) =>
    Effect.withFiber(({ context }) => {
      Metric.withAttributes(Telemetry.requestDuration, attributes(outcome)).updateUnsafe(0.001, context)
      const call = { "resilience.operation": "read table" }
      Metric.withAttributes(Telemetry.callDuration, { ...call, "resilience.outcome": outcome }).updateUnsafe(
        0.1,
        context
      )
      Metric.withAttributes(Telemetry.callAttempts, call).updateUnsafe(1, context)
      return Effect.void
    }))

const connections = Connections.layer({ connections: atOnce })
const fullStack = calls(full(Telemetry.observeCall), connections)

/** What the hacks around a request save. */
export const hacks: ReadonlyArray<Case> = [{
  name: `GET of 32 bytes of JSON on loopback, ${atOnce} at once, and without a hack each`,
  ours: "all middleware",
  subjects: {
    "all middleware": fullStack,
    "and its metrics once more, by attributes": calls(
      full((self) => countAnew(Telemetry.observeCall(self))),
      connections
    )
  }
}]

const get = `GET of 32 bytes of JSON on loopback, ${atOnce} at once`

const suite: Suite = {
  name: "http",
  packages: ["effect", "@effect/platform-node", "got", "axios", "axios-retry"],
  cases: [
    {
      name:
        `${get}, over the same transport: errors, access log to a file, spans, metrics, auth, retry, breaker, timeout`,
      ours: "all middleware over Connections",
      subjects: {
        "all middleware over Connections": fullStack,
        "bare over Connections": calls(bare, connections)
      },
      atMost: { "bare over Connections": 1.5 }
    },
    {
      name: `${get}, transports`,
      ours: "bare over Connections",
      subjects: {
        "bare over Connections": calls(bare, connections),
        "bare over NodeHttpClient.layerUndici": calls(bare, NodeHttpClient.layerUndici)
      }
    },
    {
      name: `${get}, each client on its own transport`,
      ours: "all middleware over Connections",
      subjects: {
        "all middleware over Connections": fullStack,
        "got with retry, over node:http": callsByPromise((origin) => gotRetrying(`${origin}/tables/7`).json()),
        "axios with axios-retry, over node:http": callsByPromise((origin) => axiosRetrying.get(`${origin}/tables/7`))
      },
      atMost: { "got with retry, over node:http": 1, "axios with axios-retry, over node:http": 1 }
    }
  ]
}

export default suite
