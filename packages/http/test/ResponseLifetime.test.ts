import { SpanRecorder } from "@effect-resilience/chaos"
import { Deadline } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { AccessLog, ErrorMapping, Operation, ResponseLifetime } from "@effect-resilience/http"
import { Bulkhead, CircuitBreaker } from "@effect-resilience/limit"
import { Backoff, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Queue, Result, Schema, Stream } from "effect"
import type { HttpClientResponse } from "effect/http"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import {
  at,
  breaking,
  client,
  entries,
  lines,
  reasonOf,
  respond,
  retrying,
  type Script,
  serve,
  settle,
  silent,
  text,
  url,
  ways,
  whole
} from "./responses.ts"

describe("a response judged to its end", () => {
  for (const [name, read] of Object.entries(ways)) {
    it.effect(`repeats a GET whose body broke off while ${name} read it`, () =>
      at(Effect.gen(function*() {
        const { state, transport } = serve(breaking, { ...whole, pieces: ["\"all ", "of it\""] })
        const response = yield* client(transport).get(url)
        const value = yield* read(response)
        assert.strictEqual(String(value).replaceAll("\"", ""), "all of it")
        assert.deepStrictEqual(yield* lines, ["attempt 1 failure", "attempt 2 success", "call 2 success"])
        assert.deepStrictEqual((yield* entries).map((one) => one.bytesReceived), [undefined, 11, 11])
        assert.deepStrictEqual(state, { requests: 2, closed: 2 })
        assert.deepStrictEqual(yield* read(response), value)
      })).pipe(Effect.provide(AccessLog.layerMemory)))
  }

  it.effect("ends though its body, which is long, takes no time", () =>
    at(Effect.gen(function*() {
      const long = "x".repeat(20_000)
      const transport = HttpClient.make((request) =>
        Effect.succeed(Object.create(respond(request, whole, () => {}), {
          stream: { value: Stream.succeed(new TextEncoder().encode(long)) }
        }) as HttpClientResponse.HttpClientResponse)
      )
      for (const read of [text, (response: HttpClientResponse.HttpClientResponse) => response.text]) {
        const fiber = yield* Effect.forkChild(Effect.flatMap(client(transport).get(url), read))
        yield* settle
        const exit = fiber.pollUnsafe()
        assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && exit.value === long)
      }
    })))

  it.effect("fails once the attempts are used up, with the last failure", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(breaking)
      const response = yield* client(transport).get(url)
      const reason = reasonOf(yield* Effect.flip(response.text))
      assert.strictEqual(reason?._tag, "TransportFailure")
      assert.deepStrictEqual(state, { requests: 3, closed: 3 })
    })))

  it.effect("does not repeat a POST", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(breaking)
      const response = yield* client(transport).post(url)
      assert.strictEqual(reasonOf(yield* Effect.flip(response.text))?._tag, "OutcomeUnknown")
      assert.strictEqual(state.requests, 1)
    })))

  it.effect("repeats a stream that broke off before its first piece, and the caller notices nothing", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve({ pieces: [], end: "break" }, whole)
      const response = yield* client(transport).get(url)
      assert.strictEqual(yield* text(response), "all of it")
      assert.strictEqual(state.requests, 2)
    })))

  it.effect("says how many bytes a stream had delivered that broke off later, and does not repeat it", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve({ pieces: ["one ", "two "], end: "break" }, whole)
      const got: Array<string> = []
      const response = yield* client(transport).get(url)
      const error = yield* response.stream.pipe(
        Stream.decodeText,
        Stream.runForEach((piece) => Effect.sync(() => got.push(piece))),
        Effect.flip
      )
      const reason = reasonOf(error)
      assert.deepStrictEqual(got.join(""), "one two ")
      assert.strictEqual(reason?._tag === "PartsDelivered" ? reason.bytes : undefined, 8)
      assert.deepStrictEqual(yield* lines, ["attempt 1 failure", "call 1 failure"])
      assert.deepStrictEqual((yield* entries).map((one) => one.bytesReceived), [8, 8])
      assert.deepStrictEqual(state, { requests: 1, closed: 1 })
    })).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("does not repeat a stream of which parts were delivered, even if a classifier would", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(breaking, whole)
      const always = RetryPolicy.retry(RetryPolicy.make({ times: 3, backoff: Backoff.immediate }), {
        classify: () => Recovery.retry
      })
      const response = yield* client(transport, { policies: always }).get(url)
      assert.strictEqual(reasonOf(yield* Effect.flip(Stream.runDrain(response.stream)))?._tag, "PartsDelivered")
      assert.strictEqual(state.closed, state.requests)
    })))

  it.effect("holds a permit until the end", () =>
    at(Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 0 })
      const { transport } = serve(whole)
      const one = client(transport, { policies: (self) => bulkhead.execute(self) })
      const response = yield* one.get(url)
      const pull = yield* Stream.toPull(response.stream)
      yield* pull
      assert.strictEqual((yield* bulkhead.snapshot).running, 1)
      yield* Effect.flip(one.get(url))
      yield* Effect.exit(Effect.forever(pull))
      assert.strictEqual((yield* bulkhead.snapshot).running, 0)
    })).pipe(Effect.scoped))

  it.effect("opens a circuit by bodies that break", () =>
    at(Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(2) })
      const { state, transport } = serve(breaking)
      const one = client(transport, { policies: (self) => breaker.execute(self) })
      yield* Effect.exit(Effect.flatMap(one.get(url), (response) => response.text))
      yield* Effect.exit(Effect.flatMap(one.get(url), (response) => Stream.runDrain(response.stream)))
      const error = yield* Effect.flip(one.get(url))
      assert.strictEqual((error as { readonly _tag: string })._tag, "CircuitOpen")
      assert.strictEqual(state.requests, 2)
    })))

  it.effect("is over at its headers where it has no body", () =>
    at(Effect.gen(function*() {
      for (const script of [{ status: 204 }, { status: 205 }, { headers: { "content-length": "0" } }]) {
        const { transport } = serve({ pieces: [], end: "silence", ...script })
        yield* client(transport).get(url)
      }
      yield* client(serve(silent).transport).head(url)
      assert.deepStrictEqual(
        (yield* lines).filter((line) => line.startsWith("call")),
        Array.from({ length: 4 }, () => "call 1 success")
      )
    })).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("ends unread where it is short", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(whole)
      const response = yield* client(transport).get(url)
      yield* settle
      assert.deepStrictEqual(yield* lines, ["attempt 1 success", "call 1 success"])
      assert.strictEqual(state.closed, 1)
      assert.strictEqual(yield* text(response), "all of it")
      assert.strictEqual(yield* response.text, "all of it")
    })).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("is discarded after the idle time where it is not read, and was a success", () =>
    at(Effect.gen(function*() {
      const long = "x".repeat(40_000)
      for (const script of [silent, { pieces: [long, long, long], end: "complete" } as const]) {
        const { state, transport } = serve(script)
        const response = yield* client(transport, { timeouts: { idle: "10 seconds" } }).get(url)
        yield* TestClock.adjust("9 seconds")
        assert.strictEqual(state.closed, 0)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(state.closed, 1)
        const reason = reasonOf(yield* Effect.flip(response.text))
        assert.strictEqual(reason?._tag === "Timeout" ? reason.phase : undefined, "body")
        yield* Effect.flip(Stream.runDrain(response.stream))
      }
      assert.notInclude((yield* lines).join(), "failure")
    })).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("fails where it goes silent for the idle time, and is repeated by who reads it whole", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(silent, whole)
      const one = client(transport, { timeouts: { idle: "10 seconds" } })
      const reading = yield* Effect.forkChild(Effect.flatMap(one.get(url), (response) => response.text))
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(state.requests, 1)
      yield* TestClock.adjust("2 millis")
      assert.strictEqual(yield* Fiber.join(reading), "all of it")

      const streaming = yield* Effect.forkChild(
        Effect.flip(
          Effect.flatMap(client(serve(silent).transport, { timeouts: { idle: "10 seconds" } }).get(url), text)
        )
      )
      yield* TestClock.adjust("10001 millis")
      const reason = reasonOf(yield* Fiber.join(streaming))
      const inner = reason?._tag === "PartsDelivered" ? reason.failure : undefined
      assert.strictEqual(inner?._tag === "Timeout" ? inner.phase : undefined, "body")
    })))

  it.effect("does not hurry a reader", () =>
    at(Effect.gen(function*() {
      const long = "x".repeat(70_000)
      const { transport } = serve({ pieces: [long, long, long, long], end: "complete" })
      const response = yield* client(transport, { timeouts: { idle: "10 seconds" } }).get(url)
      const reading = yield* Effect.forkChild(
        response.stream.pipe(
          Stream.mapEffect((piece) => Effect.as(Effect.sleep("1 minute"), piece.length)),
          Stream.runFold(() => 0, (all, one) => all + one)
        )
      )
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* Fiber.join(reading), 280_000)
    })))

  it.effect("reads no more than is asked for, and 64 KiB", () =>
    at(Effect.gen(function*() {
      let read = 0
      const piece = "x".repeat(10_000)
      const { transport } = serve({
        pieces: Array.from({ length: 100 }, () => piece),
        end: "complete"
      })
      const counting = HttpClient.transformResponse(
        transport,
        Effect.map((response) =>
          Object.create(response, {
            stream: { value: Stream.tap(response.stream, (one) => Effect.sync(() => void (read += one.length))) }
          }) as HttpClientResponse.HttpClientResponse
        )
      )
      const response = yield* client(counting).get(url)
      yield* settle
      assert.strictEqual(read, 70_000)
      const got = yield* response.stream.pipe(Stream.take(1), Stream.runCollect)
      assert.strictEqual(got.length, 1)
      assert.isAtMost(read, 140_000)
    })))

  it.effect("that is left early ends as a success, and its request is aborted", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(silent)
      const response = yield* client(transport).get(url)
      assert.strictEqual((yield* Stream.runCollect(Stream.take(response.stream, 1))).length, 1)
      assert.strictEqual(state.closed, 1)
      assert.deepStrictEqual(yield* lines, ["attempt 1 success", "call 1 success"])
      assert.deepStrictEqual((yield* entries).map((one) => one.bytesReceived), [6, 6])
      assert.strictEqual(reasonOf(yield* Effect.flip(response.text))?._tag, "UndecodableAnswer")
    })).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("leaves no permit, no request and no fiber wherever its caller is interrupted", () =>
    at(Effect.gen(function*() {
      const never = HttpClient.make(() => Effect.never)
      const points: {
        readonly [name: string]: readonly [
          HttpClient.HttpClient,
          (r: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>
        ]
      } = {
        headers: [never, () => Effect.void],
        unread: [serve(silent).transport, () => Effect.never],
        text: [serve(silent).transport, (response) => response.text],
        stream: [serve(silent).transport, (response) => Stream.runDrain(response.stream)],
        full: [serve({ pieces: ["x".repeat(70_000)], end: "silence" }).transport, () => Effect.never],
        backoff: [serve(breaking).transport, (response) => response.text]
      }
      for (const [name, [transport, read]] of Object.entries(points)) {
        const bulkhead = yield* Bulkhead.make({ permits: 1 })
        const retry = RetryPolicy.retry(RetryPolicy.make({ times: 9, backoff: { base: "10 seconds", jitter: 0 } }))
        let running = 0
        const one = client(transport, {
          policies: (self) =>
            bulkhead.execute(retry(Effect.suspend(() => {
              running++
              return Effect.onExit(self, () => Effect.sync(() => void running--))
            })))
        })
        const call = yield* Effect.forkChild(Effect.flatMap(one.get(url), read))
        yield* TestClock.adjust("50 millis")
        assert.strictEqual((yield* bulkhead.snapshot).running, 1, name)
        yield* Fiber.interrupt(call)
        assert.strictEqual((yield* bulkhead.snapshot).running, 0, name)
        assert.strictEqual(running, 0, name)
        const last = (yield* entries).at(-1)
        assert.deepStrictEqual([last?.kind, last?.outcome], ["call", "interrupted"], name)
      }
    })).pipe(Effect.provide(AccessLog.layerMemory)))

  it.effect("fails with the deadline that passes while it is read whole, and its request is aborted", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(silent)
      const one = client(transport, { policies: Deadline.withDeadline("30 seconds") })
      const reading = yield* Effect.forkChild(Effect.flip(Effect.flatMap(one.get(url), (response) => response.text)))
      yield* TestClock.adjust("31 seconds")
      assert.instanceOf(yield* Fiber.join(reading), Deadline.DeadlineExceeded)
      assert.strictEqual(state.closed, 1)
    })))

  it.effect("waits with the further attempts of a hedge, one of which goes on where it breaks off", () =>
    at(Effect.gen(function*() {
      const gate = yield* Queue.unbounded<void>()
      const { state, transport } = serve({ pieces: [], end: "silence" }, whole)
      const slow = HttpClient.transformResponse(
        transport,
        Effect.map((response) =>
          state.requests === 1
            ? Object.create(response, {
              stream: {
                value: Stream.concat(
                  Stream.fromEffectDrain(Queue.take(gate)),
                  respond(response.request, { pieces: [], end: "break" }, () => {}).stream
                )
              }
            }) as HttpClientResponse.HttpClientResponse
            : response
        )
      )
      const hedge = yield* Hedge.make({ after: "1 second", idempotent: true })
      const reading = yield* Effect.forkChild(
        Effect.flatMap(client(slow, { policies: hedge.execute }).get(url), (response) => response.text)
      )
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(state.requests, 1)
      yield* Queue.offer(gate, undefined)
      assert.strictEqual(yield* Fiber.join(reading), "all of it")
      assert.strictEqual(state.requests, 2)
    })))

  it.effect("is not handed to the caller of another call that runs inside", () =>
    at(Effect.gen(function*() {
      const login = ErrorMapping.mapErrors(serve({ pieces: ["a token"], end: "complete" }).transport)
      const { transport } = serve(whole)
      const one = client(transport, {
        policies: (self) => Effect.flatMap(Effect.flatMap(login.post(url), (response) => response.text), () => self)
      })
      const response = yield* one.get(url)
      assert.strictEqual(yield* response.text, "all of it")
    })))

  it.effect("has one span a call and one an attempt, which last until its end", () =>
    at(Effect.gen(function*() {
      const { record, spans } = SpanRecorder.make()
      const { transport } = serve(whole)
      const pausing = HttpClient.transformResponse(
        transport,
        Effect.map((response) =>
          Object.create(response, {
            stream: { value: Stream.tap(response.stream, () => Effect.sleep("2 seconds")) }
          }) as HttpClientResponse.HttpClientResponse
        )
      )
      const reading = yield* Effect.forkChild(
        Effect.flatMap(client(pausing).get(url), text).pipe(
          Operation.within({ name: "report", endpoint: "/report" }),
          record
        )
      )
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(reading)
      assert.deepStrictEqual(spans.map(({ name }) => name).sort(), ["GET /report", "report"])
      for (const { status } of spans) {
        assert.strictEqual(status._tag === "Ended" ? status.endTime - status.startTime : 0n, 4_000_000_000n)
      }
      assert.deepStrictEqual((yield* entries).map((one) => one.durationMs), [4_000, 4_000])
    })).pipe(Effect.provide(AccessLog.layerMemory)))

  const Scripts = Schema.Array(
    Schema.Struct({
      pieces: Schema.Array(Schema.Literals(["a", "bc", "def"])).check(Schema.isMaxLength(4)),
      end: Schema.Literals(["complete", "break"])
    })
  ).check(Schema.isMinLength(1), Schema.isMaxLength(4))
  it.effect.prop(
    "never yields pieces of two bodies, and repeats only reads that delivered nothing",
    { scripts: Scripts, way: Schema.Literals(["text", "stream"]) },
    ({ scripts, way }) =>
      at(Effect.gen(function*() {
        const { state, transport } = serve(...scripts)
        let got = ""
        const reading = Effect.flatMap(client(transport).get(url), (response) =>
          way === "text"
            ? Effect.map(response.text, (all) => void (got = all))
            : response.stream.pipe(
              Stream.decodeText,
              Stream.runForEach((piece) => Effect.sync(() => void (got += piece)))
            ))
        const result = yield* Effect.result(reading)
        yield* settle
        assert.strictEqual(state.closed, state.requests)
        const last = scripts[Math.min(state.requests, scripts.length) - 1] as Script
        if (Result.isSuccess(result)) {
          assert.strictEqual(last.end, "complete")
          assert.strictEqual(got, last.pieces.join(""))
          return
        }
        assert.strictEqual(last.end, "break")
        const reason = reasonOf(result.failure)
        if (reason?._tag === "PartsDelivered") {
          assert.strictEqual(got, last.pieces.join(""))
          assert.strictEqual(reason.bytes, got.length)
        } else {
          assert.strictEqual(got, "")
          assert.strictEqual(state.requests, 3)
        }
      })),
    { arbitrary: { runs: 200, seed: 17 } }
  )
})

describe("without judgedToEnd", () => {
  it.effect("a client is as it was", () =>
    at(Effect.gen(function*() {
      const { state, transport } = serve(breaking, whole)
      const one = ResponseLifetime.attempts(ErrorMapping.mapErrors(transport)).pipe(
        HttpClient.transformResponse(retrying())
      )
      const response = yield* one.get(url)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(response.text)))
      assert.strictEqual(state.requests, 1)
    })))
})
