import { Deadline } from "@effect-resilience/deadline"
import { AccessLog } from "@effect-resilience/http"
import { Bulkhead } from "@effect-resilience/limit"
import { Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Fiber, Stream } from "effect"
import type { HttpClientResponse } from "effect/http"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import {
  at,
  client,
  lines,
  reasonOf,
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
  describe("that is not read at once", () => {
    const unread = (script: Script) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 0 })
        const { state, transport } = serve(script)
        const one = client(transport, {
          policies: (self) => retrying()(bulkhead.execute(self)),
          timeouts: { idle: "10 seconds" }
        })
        const running = Effect.map(bulkhead.snapshot, ({ running }) => running)
        const response = yield* one.get(url)
        yield* TestClock.adjust("90 millis")
        assert.strictEqual(yield* running, 1)
        assert.deepStrictEqual(yield* lines, [])
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(yield* running, 0)
        assert.deepStrictEqual(yield* lines, ["attempt 1 success", "call 1 success"])
        assert.strictEqual(state.closed, 0)
        return { state, response }
      })
    const piece = "x".repeat(40_000)
    const long = { pieces: [piece, piece, piece], end: "complete" } as const

    for (const [name, read] of Object.entries({ ...ways, stream: text })) {
      it.effect(`lets its permit go, and can be read yet by ${name}`, () =>
        at(Effect.gen(function*() {
          const { response, state } = yield* unread({ ...long, pieces: ["\"", ...long.pieces, "\""] })
          assert.strictEqual(String(yield* read(response)).replaceAll("\"", ""), piece.repeat(3))
          assert.deepStrictEqual(state, { requests: 1, closed: 1 })
        })).pipe(Effect.provide(AccessLog.layerMemory)))

      it.effect(`is not repeated where it breaks off while ${name} reads it later`, () =>
        at(Effect.gen(function*() {
          const { response, state } = yield* unread({ ...long, end: "break" })
          const reason = reasonOf(yield* Effect.flip(read(response)))
          assert.strictEqual(reason?._tag, name === "stream" ? "PartsDelivered" : "TransportFailure")
          assert.deepStrictEqual(state, { requests: 1, closed: 1 })
          assert.strictEqual((yield* lines).length, 2)
        })).pipe(Effect.provide(AccessLog.layerMemory)))
    }

    it.effect("is the winner's of a hedge, and can be read yet", () =>
      at(Effect.gen(function*() {
        const { state, transport } = serve(long)
        let requests = 0
        // The first one comes while the body of the second one is waited for.
        const delayed = HttpClient.transformResponse(transport, (self) =>
          Effect.suspend(() => Effect.delay(self, ++requests === 1 ? "1050 millis" : 0)))
        const hedge = yield* Hedge.make({ after: "1 second", idempotent: true })
        const calling = yield* Effect.forkChild(client(delayed, { policies: hedge.execute }).get(url))
        yield* TestClock.adjust("1 second")
        const response = yield* Fiber.join(calling)
        yield* TestClock.adjust("50 millis")
        assert.deepStrictEqual([state.requests, state.closed], [2, 0])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(
          yield* lines,
          ["attempt 2 success", "attempt 1 interrupted", "call 2 success"]
        )
        assert.strictEqual(state.closed, 1)
        assert.strictEqual(yield* response.text, piece.repeat(3))
        assert.strictEqual(state.closed, 2)
      })).pipe(Effect.provide(AccessLog.layerMemory)))

    it.effect("is aborted where its reader stops", () =>
      at(Effect.gen(function*() {
        const { response, state } = yield* unread({ ...long, end: "silence" })
        yield* Stream.runDrain(Stream.take(response.stream, 1))
        assert.strictEqual(state.closed, 1)
      })).pipe(Effect.provide(AccessLog.layerMemory)))

    it.effect("ends in time where it goes silent", () =>
      at(Effect.gen(function*() {
        const { response, state } = yield* unread({ ...long, end: "silence" })
        const reading = yield* Effect.forkChild(Effect.flip(response.text))
        yield* TestClock.adjust("11 seconds")
        assert.strictEqual(reasonOf(yield* Fiber.join(reading))?._tag, "Timeout")
        assert.strictEqual(state.closed, 1)
      })).pipe(Effect.provide(AccessLog.layerMemory)))

    it.effect("is aborted where its caller or its reader is interrupted", () =>
      Effect.forEach([() => Effect.never, text, ways["text"]], (read) =>
        at(Effect.gen(function*() {
          const { state, transport } = serve({ ...long, end: "silence" })
          const slowly = Effect.flatMap(client(transport).get(url), (response) =>
            Effect.andThen(Effect.sleep("1 second"), Effect.suspend(() => read?.(response) ?? Effect.never)))
          const call = yield* Effect.forkChild(slowly)
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual(state.closed, 0)
          yield* Fiber.interrupt(call)
          yield* settle
          assert.strictEqual(state.closed, 1)
        }))))
  })

  describe("that is read as a stream", () => {
    const lasting = (script: Script, pause: Duration.Input) => {
      const { state, transport } = serve(script)
      return {
        state,
        transport: HttpClient.transformResponse(
          transport,
          Effect.map((response) =>
            Object.create(response, {
              stream: { value: Stream.concat(Stream.fromEffectDrain(Effect.sleep(pause)), response.stream) }
            }) as HttpClientResponse.HttpClientResponse
          )
        )
      }
    }

    it.effect("lasts longer than the deadline of its call", () =>
      at(Effect.gen(function*() {
        const { transport } = lasting(whole, "5 minutes")
        const one = client(transport, { policies: Deadline.withDeadline("30 seconds") })
        const reading = yield* Effect.forkChild(Effect.flatMap(one.get(url), text))
        yield* TestClock.adjust("6 minutes")
        assert.strictEqual(yield* Fiber.join(reading), "all of it")
      })))

    it.effect("is repeated within the deadline of its call only", () =>
      at(Effect.gen(function*() {
        for (const [pause, requests] of [["5 seconds", 3], ["29 seconds", 2], ["5 minutes", 1]] as const) {
          const { state, transport } = lasting({ pieces: [], end: "break" }, pause)
          const one = client(transport, {
            policies: (self) => Deadline.withDeadline(retrying()(self), "30 seconds")
          })
          const reading = yield* Effect.forkChild(Effect.flip(Effect.flatMap(one.get(url), text)))
          yield* TestClock.adjust("20 minutes")
          const error = yield* Fiber.join(reading)
          assert.strictEqual(error instanceof Deadline.DeadlineExceeded, requests < 3)
          assert.deepStrictEqual(state, { requests, closed: requests })
        }
      })))

    it.effect("ends by the deadline of its caller", () =>
      at(Effect.gen(function*() {
        const { state, transport } = serve(silent)
        const one = client(transport, { policies: Deadline.withDeadline("1 hour") })
        const reading = yield* Effect.forkChild(
          Effect.flip(Deadline.withDeadline(Effect.flatMap(one.get(url), text), "30 seconds"))
        )
        yield* TestClock.adjust("31 seconds")
        assert.instanceOf(yield* Fiber.join(reading), Deadline.DeadlineExceeded)
        assert.strictEqual(state.closed, 1)
      })))

    it.effect("is an interruption where its reader is interrupted after the deadline", () =>
      at(Effect.gen(function*() {
        const { transport } = serve(silent)
        const one = client(transport, { policies: Deadline.withDeadline("30 seconds") })
        const reading = yield* Effect.forkChild(Effect.flatMap(one.get(url), text))
        yield* TestClock.adjust("31 seconds")
        yield* Fiber.interrupt(reading)
        assert.deepStrictEqual(yield* lines, ["attempt 1 interrupted", "call 1 interrupted"])
      })).pipe(Effect.provide(AccessLog.layerMemory)))
  })
})
