import { SpanRecorder } from "@effect-resilience/chaos"
import { ResilientClient } from "@effect-resilience/client"
import { AccessLog } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

const told = (description: Partial<ResilientClient.Description>) =>
  Effect.gen(function*() {
    const { record, spans } = SpanRecorder.make()
    const traceparent = yield* Effect.gen(function*() {
      const client = yield* ResilientClient.ResilientClient
      yield* client.get("/accounts?page=2&key=s3cr3t")
      const { sent } = yield* ResilientClient.TestServer
      return String((yield* sent)[0]?.headers["traceparent"] ?? "")
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
      assert.deepStrictEqual(silent, { traceparent: "", lines: [], spans: [], url: [] })
    }))

  it.effect("has no span of Effect's own in place of that of an attempt: it would show the query", () =>
    Effect.gen(function*() {
      const { spans, traceparent, url } = yield* told({ telemetry: { attempts: false } })
      assert.deepStrictEqual(spans, ["call"])
      assert.deepStrictEqual(url, [])
      assert.match(traceparent, /^00-/)
    }))

  const unavailable = () => new Response(null, { status: 503 })
  const patient = () => new Response(null, { status: 503, headers: { "retry-after": "3600" } })
  for (
    const [stopped, respond, options] of [
      ["TimesUsedUp", unavailable, { pipeline: { retry: { times: 1 } } }],
      ["BudgetExhausted", unavailable, { pipeline: { retry: {}, budget: { ratio: 0, minPerSecond: 0, burst: 1 } } }],
      ["RetryAfterTooLong", patient, {}],
      ["OutOfTime", unavailable, {
        timeouts: { total: "50 millis" },
        pipeline: { retry: { backoff: { base: 1000 } } }
      }],
      [undefined, () => new Response(null, { status: 404 }), {}]
    ] satisfies ReadonlyArray<readonly [string | undefined, () => Response, Partial<ResilientClient.Description>]>
  ) {
    it.effect(`says of a call that fails why it has no further attempt: ${stopped ?? "nothing, where none was asked for"}`, () =>
      Effect.gen(function*() {
        const client = yield* ResilientClient.ResilientClient
        const call = yield* Effect.forkChild(Effect.flip(client.get("/accounts")))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(call)
        const entries = yield* (yield* AccessLog.Memory).entries
        const ended = entries.at(-1)
        assert.deepStrictEqual([ended?.kind, ended?.stopped], ["call", stopped])
        assert.isTrue(entries.every((entry) => entry.kind === "call" || entry.stopped === undefined))
        const line = ended === undefined ? "" : AccessLog.format(ended)
        if (stopped !== undefined) assert.include(line, `-> Retry (stopped: ${stopped}) GET`)
      }).pipe(
        Effect.provide(
          ResilientClient.layerTest({ name: "ledger", baseUrl: "https://ledger.example.com", ...options }, respond)
        ),
        Effect.provide(AccessLog.layerMemory)
      ))
  }
})
