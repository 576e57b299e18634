import { ClientDescription, Download, EventStream, Parts, ResilientClient } from "@effect-resilience/client"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { ConfigProvider, Effect, Stream } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as fc from "fast-check"
import { bytes, fuzz, jsonText, like, text } from "../../repo-checks/src/Fuzz.ts"

const descriptions = like({
  name: "ledger",
  baseUrl: ["https://a.example.com", { address: "https://b.example.com", weight: 2 }],
  endpoints: { load: { peakEwma: { decay: "10 seconds" } }, panicThreshold: 0.5 },
  pipeline: {
    retry: { times: 3, backoff: { base: "100 millis" } },
    circuitBreaker: { tripPolicy: [{ consecutive: 5 }] }
  },
  timeouts: { total: "5 seconds", attempt: 500, idle: "Infinity" },
  idempotency: { methods: "POST", key: true },
  redirects: { limit: 3, origins: ["https://files.example.com"] },
  headers: { accept: "application/json" },
  redaction: { headers: ["x-tenant"], query: "page" },
  operations: { "read order": { endpoint: "GET /orders/{id}", idempotent: true, without: ["retry"] } }
}, { name: "ledger", baseUrl: "https://ledger.example.com" })

const silent = HttpClient.make((request) =>
  Effect.sync(() => HttpClientResponse.fromWeb(request, new Response("{}", { status: 200 })))
)

fuzz("a description makes a client that sends, or is a SchemaError", descriptions, (json) =>
  Effect.gen(function*() {
    const description = yield* ClientDescription.decode(json)
    const client = yield* ResilientClient.make(description, { parts: Parts })
    yield* client.describe
    yield* Effect.exit(client.get("/accounts"))
  }).pipe(Effect.provideService(HttpClient.HttpClient, silent)))

fuzz(
  "a description in the environment is read, or a ConfigError",
  jsonText(descriptions),
  (LEDGER) => ClientDescription.config("LEDGER").parse(ConfigProvider.fromEnv({ env: { LEDGER } }))
)

const once = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })

const responding = (body: Uint8Array, status: number, headers: Record<string, string>, piece: number) =>
  HttpClient.make((request) =>
    Effect.sync(() => {
      const stream = new ReadableStream<Uint8Array>({
        start: (controller) => {
          for (let from = 0; from < body.length; from += piece) controller.enqueue(body.slice(from, from + piece))
          controller.close()
        }
      })
      return HttpClientResponse.fromWeb(request, new Response(status === 204 ? null : stream, { status, headers }))
    })
  )

const events = text(
  "data: a\n\n",
  "id: 7\n",
  "id:\n",
  "event: x\n",
  "retry: 5\n",
  "retry: 1e9\n",
  ":\n",
  "\r",
  "\r\n",
  "\n",
  "data",
  "\ufeff",
  "\0"
)

fuzz(
  "an event stream is events, or a typed error",
  fc.record({
    body: bytes(events),
    piece: fc.constantFrom(1, 7, 100_000),
    status: fc.constantFrom(200, 204, 500),
    type: fc.constantFrom("text/event-stream", "text/event-stream; charset=utf-8", "text/html", "")
  }),
  ({ body, piece, status, type }) => {
    const client = responding(body.slice(0, piece === 1 ? 2_000 : undefined), status, { "content-type": type }, piece)
    const options = { policy: RetryPolicy.make({ times: 0 }), resume: "never", maxEventSize: 4_096 } as const
    return Stream.runDrain(EventStream.stream(client, "https://api.example.com/events", options))
  }
)

const rangeHeaders = fc.dictionary(
  fc.constantFrom(
    "content-range",
    "etag",
    "last-modified",
    "content-length",
    "accept-ranges",
    "date",
    "content-encoding"
  ),
  fc.oneof(
    fc.constantFrom("bytes 0-9/10", "bytes 5-9/10", "bytes */10", "\"abc\"", "W/\"abc\"", "10", "-1", "gzip", "bytes"),
    fc.stringMatching(/^[!-~]{1,20}$/)
  )
)

fuzz(
  "a download is whole, or a typed error",
  fc.record({
    body: fc.uint8Array({ maxLength: 20 }),
    status: fc.constantFrom(200, 204, 206, 416, 500),
    headers: rangeHeaders
  }),
  ({ body, headers, status }) =>
    Stream.runDrain(
      Download.stream(responding(body, status, headers, 3), "https://api.example.com/file", { resume: once })
    )
)
