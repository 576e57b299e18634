import * as TokenCache from "@effect-resilience/auth/TokenCache"
import * as TokenSource from "@effect-resilience/auth/TokenSource"
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as Operation from "@effect-resilience/http/Operation"
import * as Connections from "@effect-resilience/node/Connections"
import { create } from "axios"
import axiosRetry, { exponentialDelay } from "axios-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import got from "got"
import ky from "ky"
import { Agent } from "node:http"
import { atOnce, Call, calls, callsByPromise, started } from "../HttpServer.ts"
import type { Subject, Suite } from "../Suite.ts"

const connections = Connections.layer({ connections: atOnce })

type Use = <E>(client: HttpClient.HttpClient.With<E>, base: string) => Effect.Effect<unknown, unknown>

const json = <E>(response: Effect.Effect<HttpClientResponse.HttpClientResponse, E>) =>
  Effect.flatMap(response, (response) => response.json)

const get: Use = (client, base) => json(client.get(`${base}/tables/7`))
const post: Use = (client, base) =>
  json(client.post(`${base}/tables`, { body: HttpBody.jsonUnsafe({ name: "GL Data" }) }))
const chunks: Use = (client, base) =>
  Effect.flatMap(client.get(`${base}/chunks`), (response) => Stream.runDrain(response.stream))

const bare = (use: Use): Subject =>
  calls(
    Layer.effect(
      Call,
      Effect.gen(function*() {
        return Call.of({ call: use(yield* HttpClient.HttpClient, yield* Effect.promise(started)) })
      })
    ),
    connections
  )

type Surroundings = Layer.Layer<never, unknown, FileSystem.FileSystem>

const oneLine = (
  use: Use,
  description: Omit<ResilientClient.Description, "name" | "baseUrl"> = {},
  surroundings: Surroundings = Layer.empty
): Subject =>
  calls(
    Layer.provideMerge(
      Layer.effect(
        Call,
        Effect.gen(function*() {
          const baseUrl = yield* Effect.promise(started)
          return Call.of({ call: use(yield* ResilientClient.make({ ...description, name: "bench", baseUrl }), "") })
        })
      ),
      surroundings
    ),
    connections
  )

const logging: Surroundings = Layer.unwrap(
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return AccessLog.layerFile(`${yield* fs.makeTempDirectoryScoped()}/access.jsonl`)
  })
)

const tracing: Surroundings = Layer.succeed(
  Tracer.Tracer,
  Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
)

const named = (use: Use): Use => (client, base) =>
  Operation.within(use(client, base), { name: "read table", endpoint: "/tables/{table}" })

const unlimited = {
  total: Duration.infinity,
  attempt: Duration.infinity,
  connect: Duration.infinity,
  idle: Duration.infinity
}

const everything = (use: Use): Subject =>
  calls(
    Layer.provideMerge(
      Layer.effect(
        Call,
        Effect.gen(function*() {
          const baseUrl = yield* Effect.promise(started)
          const cache = yield* TokenCache.make(TokenSource.constant(Redacted.make("bench-token-0123456789")))
          const client = yield* ResilientClient.make({
            name: "bench",
            baseUrl,
            auth: ResilientClient.tokens(cache)
          })
          return Call.of({ call: named(use)(client, "") })
        })
      ),
      Layer.merge(logging, tracing)
    ),
    connections
  )

const agent = new Agent({ keepAlive: true, maxSockets: atOnce })
const gotRetrying = got.extend({ retry: { limit: 3 }, timeout: { request: 30_000 }, agent: { http: agent } })
const kyRetrying = ky.extend({ retry: { limit: 3 }, timeout: 30_000 })
const axiosRetrying = create({ timeout: 30_000, httpAgent: agent })
axiosRetry(axiosRetrying, { retries: 3, retryDelay: (count) => exponentialDelay(count) })

// A call leaves much to the garbage collector.
const unhurried = { rounds: 11, longer: 10 }

const where = `on loopback, ${atOnce} at once`

const suite: Suite = {
  name: "client",
  packages: ["effect", "got", "ky", "axios", "axios-retry"],
  cases: [
    {
      name: `GET of 32 bytes of JSON ${where}, over the same transport`,
      ours: "ResilientClient, one line",
      subjects: {
        "ResilientClient, one line": oneLine(get),
        "bare HttpClient": bare(get)
      },
      ...unhurried,
      moreAtMost: { "bare HttpClient": 15_000 }
    },
    {
      name: `POST of JSON ${where}, over the same transport`,
      ours: "ResilientClient, one line",
      subjects: {
        "ResilientClient, one line": oneLine(post),
        "bare HttpClient": bare(post)
      },
      ...unhurried,
      moreAtMost: { "bare HttpClient": 15_000 }
    },
    {
      name: `GET of a stream of 1,000 chunks ${where}, over the same transport`,
      ours: "ResilientClient, one line",
      subjects: {
        "ResilientClient, one line": oneLine(chunks),
        "bare HttpClient": bare(chunks)
      },
      batch: atOnce,
      ...unhurried,
      atMost: { "bare HttpClient": 1.11 }
    },
    {
      name: `GET of 32 bytes of JSON ${where}, each client on its own transport`,
      ours: "ResilientClient, one line",
      subjects: {
        "ResilientClient, one line": oneLine(get),
        // The peers log, trace and count nothing.
        "ResilientClient, no log, spans and metrics": oneLine(get, {
          accessLog: { calls: false, attempts: false },
          telemetry: { calls: false, attempts: false }
        }),
        "got with retry": callsByPromise((origin) => gotRetrying(`${origin}/tables/7`).json()),
        "ky with retry": callsByPromise((origin) => kyRetrying(`${origin}/tables/7`).json()),
        "axios with axios-retry": callsByPromise((origin) => axiosRetrying.get(`${origin}/tables/7`)),
        "fetch by hand": callsByPromise(async (origin) => (await fetch(`${origin}/tables/7`)).json())
      },
      ...unhurried,
      // Responses of `fetch` are finalized long after their run.
      collects: true,
      atMost: { "got with retry": 0.5, "ky with retry": 0.5, "axios with axios-retry": 0.5 }
    },
    {
      name: `GET of 32 bytes of JSON ${where}, what layers cost`,
      ours: "ResilientClient, one line",
      subjects: {
        "ResilientClient, one line": oneLine(get),
        "no limits of time": oneLine(get, { timeouts: unlimited }),
        "no retry, budget and breaker": oneLine(get, { pipeline: {} }),
        "no deadline header": oneLine(get, { propagation: { deadline: false } }),
        "an access log to a file": oneLine(get, {}, logging),
        "a tracer": oneLine(get, {}, tracing),
        "tokens, an operation, an access log and a tracer": everything(get)
      }
    }
  ]
}

export default suite
