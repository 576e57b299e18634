import { SpanRecorder } from "@effect-resilience/chaos"
import { ResilientClient } from "@effect-resilience/client"
import { AccessLog } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const told = (description: Partial<ResilientClient.Description>) =>
  Effect.gen(function*() {
    const { record, spans } = SpanRecorder.make()
    const traceparent = yield* Effect.gen(function*() {
      const client = yield* ResilientClient.ResilientClient
      const { request } = yield* client.get("/accounts?page=2&key=s3cr3t")
      return request.headers["traceparent"]
    }).pipe(
      Effect.provide(
        ResilientClient.layerTest({ name: "ledger", baseUrl: "https://ledger.example.com", ...description }, [
          Response.json({})
        ])
      ),
      record
    )
    const lines = yield* (yield* AccessLog.Memory).entries
    return {
      traceparent,
      lines: lines.map(({ kind }) => kind),
      spans: spans.map(({ name }) => name),
      url: spans.flatMap(({ attributes }) => attributes.get("url.full") ?? [])
    }
  }).pipe(Effect.provide(AccessLog.layerMemory))

describe("what a client tells", () => {
  it.effect("is a line and a span for the call and for each attempt, without values of the query", () =>
    Effect.gen(function*() {
      const { lines, spans, url } = yield* told({})
      assert.deepStrictEqual(lines, ["attempt", "call"])
      assert.deepStrictEqual(spans, ["call", "GET"])
      assert.deepStrictEqual(url, ["https://ledger.example.com/accounts?page=REDACTED&key=REDACTED"])
    }))

  it.effect("is less where the description says so, and shows what it names", () =>
    Effect.gen(function*() {
      const { lines, spans, url } = yield* told({
        accessLog: { attempts: false },
        telemetry: { calls: false },
        redaction: { query: "page" }
      })
      assert.deepStrictEqual(lines, ["call"])
      assert.deepStrictEqual(spans, ["GET"])
      assert.deepStrictEqual(url, ["https://ledger.example.com/accounts?page=2&key=REDACTED"])
      const silent = yield* told({
        accessLog: { attempts: false, calls: false },
        telemetry: { attempts: false, calls: false }
      })
      assert.deepStrictEqual(silent, { traceparent: undefined, lines: [], spans: [], url: [] })
    }))

  it.effect("has no span of Effect's own in place of that of an attempt: it would show the query", () =>
    Effect.gen(function*() {
      const { spans, traceparent, url } = yield* told({ telemetry: { attempts: false } })
      assert.deepStrictEqual(spans, ["call"])
      assert.deepStrictEqual(url, [])
      assert.match(traceparent ?? "", /^00-/)
    }))
})
