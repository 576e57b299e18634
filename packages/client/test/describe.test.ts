import { ResilientClient } from "@effect-resilience/client"
import { SendProgress } from "@effect-resilience/http"
import { PolicyMetrics } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"

const told = (description: ResilientClient.Description) =>
  Effect.flatMap(ResilientClient.make(description), ({ describe }) => describe)

describe("what a client prints", () => {
  it.effect("shows the order of the standard, and what the transport cannot do", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* told({ name: "ledger", baseUrl: "https://ledger.example.com" }),
        `ledger at https://ledger.example.com
  access log      a line for the call, and one for each attempt
  span            one for the call, and one for each attempt
  deadline        30s
  budget          burst 3
  retry           times 2
  circuitBreaker  tripPolicy (proportional)
  attempt         10s
  connect         10s
  firstByte       10s
  idle            1m
  body            JSON is read within the attempt
  sent on         deadline and trace
  redirects       not followed
  the call

  sent again      GET, HEAD, OPTIONS, TRACE, PUT, DELETE, QUERY; others only if
                  nothing was sent
  other origins   rejected

The transport does not say how far a request came, as far as is known:
\`connect\` limits nothing, and an attempt that is cut off counts as sent.`
      )
    }).pipe(Effect.provide(FetchHttpClient.layer)))

  it.effect("shows what operations have otherwise, within 80 columns and without secrets", () =>
    Effect.gen(function*() {
      const text = yield* told({
        name: "ledger",
        baseUrl: "https://ledger.example.com/v1",
        auth: (client) => HttpClient.mapRequest(client, (request) => request),
        headers: { "x-tenant": "tenant 17" },
        idempotency: { methods: "POST", key: true },
        redirects: { origins: ["https://files.example.com"] },
        origins: ["https://files.example.com", "https://archive.example.com"],
        propagation: { deadline: false },
        operations: {
          upload: {
            endpoint: "POST /files/{name}",
            without: ["retry"],
            appliedWhenWhole: true,
            timeouts: { attempt: "1 hour" }
          },
          "create order": { idempotent: false, pipeline: { circuitBreaker: { tripPolicy: { consecutive: 5 } } } },
          "read order": {}
        }
      })
      assert.strictEqual(
        text,
        `ledger at https://ledger.example.com/v1
  access log      a line for the call, and one for each attempt
  span            one for the call, and one for each attempt
  deadline        30s
  budget          burst 3
  retry           times 2
  circuitBreaker  tripPolicy (proportional)
  authentication  for the base URLs only
  attempt         10s
  connect         10s
  firstByte       10s
  idle            1m
  body            JSON is read within the attempt
  sent on         trace
  redirects       followed up to 5 times, within the origin and to
                  https://files.example.com
  the call

  sent again      GET, HEAD, OPTIONS, TRACE, PUT, DELETE, QUERY, POST; others
                  with an Idempotency-Key
  other origins   https://files.example.com, https://archive.example.com,
                  without credentials

upload: POST /files/{name}
  attempt         1h
  firstByte       1h
  retry           none: the caller repeats
  applied         once its last byte is there

create order
  circuitBreaker  its own: tripPolicy (consecutive 5)
  sent again      no: it is not idempotent

read order
  as the client

The transport says how far each request came.`
      )
      for (const line of text.split("\n")) assert.isAtMost(line.length, 80)
      assert.notInclude(text, "tenant 17")
    }).pipe(
      Effect.provide(
        Layer.effect(
          HttpClient.HttpClient,
          Effect.map(HttpClient.HttpClient, SendProgress.reporting)
        ).pipe(Layer.provide(FetchHttpClient.layer))
      )
    ))

  const part = (text: string, name: string) =>
    text.split("\n").flatMap((line) => line.startsWith(`  ${name} `) ? [line.slice(18)] : [])

  for (
    const [options, name, shown] of [
      [{ accessLog: { calls: false } }, "access log", "a line for each attempt"],
      [{ accessLog: { attempts: false } }, "access log", "a line for the call"],
      [{ accessLog: { attempts: false, calls: false } }, "access log", "none"],
      [{ telemetry: { calls: false } }, "span", "one for each attempt"],
      [{ propagation: { deadline: false, trace: false } }, "sent on", "nothing"],
      [{ redirects: { limit: 2 } }, "redirects", "followed up to 2 times, within the origin"],
      [{ body: "whole" }, "body", "is read within the attempt"],
      [{ body: "stream" }, "body", "streams"]
    ] as const
  ) {
    it.effect(`says of the ${name}: ${shown}`, () =>
      Effect.gen(function*() {
        const text = yield* told({ name: "ledger", baseUrl: "https://ledger.example.com", ...options })
        assert.deepStrictEqual(part(text, name), [shown])
      }).pipe(Effect.provide(FetchHttpClient.layer)))
  }

  it.effect("says which operation has another body, keys, or repeats", () =>
    Effect.gen(function*() {
      const text = yield* told({
        name: "ledger",
        baseUrl: "https://ledger.example.com",
        operations: {
          export: { body: "stream", idempotent: true, idempotencyKey: true },
          import: { idempotencyKey: false }
        }
      })
      assert.include(
        text,
        `
export
  body            streams
  sent again      yes: it is idempotent, with an Idempotency-Key

import
  sent again      without a key
`
      )
    }).pipe(Effect.provide(FetchHttpClient.layer)))

  it.effect("has its policies on a dashboard, those of a new description too", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.make<ResilientClient.Description>({
        name: "ledger",
        baseUrl: "https://ledger.example.com"
      })
      const seen = Effect.gen(function*() {
        yield* PolicyMetrics.sample([client])
        const series = yield* Metric.snapshot
        return [...new Set(series.flatMap(({ attributes }) => attributes?.["resilience.kind"] ?? []))].toSorted()
      })
      const kinds = Effect.suspend(() => Effect.provideService(seen, Metric.MetricRegistry, new Map()))
      assert.deepStrictEqual(yield* kinds, ["AttemptBudget", "CircuitBreaker"])
      assert.property(yield* client.snapshot, "circuitBreaker")
      yield* client.reload({ name: "ledger", baseUrl: "https://ledger.example.com", pipeline: { circuitBreaker: {} } })
      assert.deepStrictEqual(yield* kinds, ["CircuitBreaker"])
    }).pipe(Effect.provide(FetchHttpClient.layer)))
})
