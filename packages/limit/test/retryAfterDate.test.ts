import { CircuitBreaker } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

// The clock does not start at 0, where a wrong sign could hide.
const start = Date.UTC(2026, 0, 1)

const failing = (headers: Record<string, string>) =>
  HttpClient.make((request) =>
    Effect.succeed(HttpClientResponse.fromWeb(request, new Response("", { status: 503, headers })))
  ).pipe(HttpClient.filterStatusOk).get("http://localhost/")

const forms: ReadonlyArray<readonly [string, Record<string, string>]> = [
  ["a number", { "retry-after": "30" }],
  ["a date", { "retry-after": "Thu, 01 Jan 2026 00:00:30 GMT" }],
  ["a date of a server whose clock is a year off", {
    "retry-after": "Fri, 01 Jan 2027 00:00:30 GMT",
    date: "Fri, 01 Jan 2027 00:00:00 GMT"
  }]
]

describe.each(forms)("with %s for Retry-After", (_, headers) => {
  it.effect("a breaker stays open as long", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second"
      })
      yield* Effect.ignore(breaker.execute(failing(headers)))
      const state = yield* breaker.snapshot
      assert.deepStrictEqual(state._tag === "Open" && Duration.toMillis(state.retryAfter), 30_000)
    }))

  it.effect("a pacer holds the next call back as long", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const pacer = yield* Pacer.Pacer
      yield* Effect.ignore(pacer.execute(failing(headers)))
      const next = yield* Effect.forkChild(pacer.execute(Clock.currentTimeMillis))
      yield* TestClock.adjust("5 minutes")
      const waited = (yield* Fiber.join(next)) - start
      assert.isTrue(waited >= 30_000 && waited < 30_100, String(waited))
    }).pipe(Effect.provide(Pacer.layerMemory({ limit: 1000, window: "1 second" }))))
})
