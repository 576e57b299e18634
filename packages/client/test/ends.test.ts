import { Misbehavior, RawHttp } from "@effect-resilience/chaos"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { ApiError } from "@effect-resilience/errors"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { FetchHttpClient, type HttpClientResponse } from "effect/http"

const transports = { node: Connections.layer(), fetch: FetchHttpClient.layer }

// Longer than what is read before it is asked for.
const body = "x".repeat(200_000)
const whole = RawHttp.response({ headers: { "content-type": "text/csv" }, body })
const broken = Misbehavior.breakOff(whole, { after: whole.length - 50_000 })
const early = Misbehavior.breakOff(whole, { after: whole.length - body.length })

const description = (url: string) => ({
  name: "ledger",
  baseUrl: url,
  timeouts: { idle: "300 millis" },
  pipeline: { bulkhead: { permits: 1, queue: 0 }, retry: { times: 2, backoff: { base: 0 } } }
} as const)

const running = (client: Pick<ResilientClient.ResilientClient, "status">) =>
  Effect.map(client.status, ({ parts }) => JSON.stringify(parts.find(({ part }) => part === "bulkhead")?.now))

const size = (response: HttpClientResponse.HttpClientResponse) =>
  Stream.runFold(response.stream, () => 0, (all, piece) => all + piece.length)

const partsOf = (error: unknown) =>
  error instanceof ApiError.ApiError && error.reason._tag === "PartsDelivered" ? error.reason : undefined

for (const [name, transport] of Object.entries(transports)) {
  describe(`a response over a socket, by ${name}`, () => {
    it.live("that breaks off is asked for again by who reads it whole", () =>
      Effect.gen(function*() {
        const server = yield* RawServer.make(Misbehavior.inTurn([broken, early, Misbehavior.respond(whole)]))
        const client = yield* ResilientClient.make(description(server.url), { parts: Parts })
        const response = yield* client.get("/report")
        assert.strictEqual((yield* response.text).length, body.length)
        assert.strictEqual(yield* server.accepted, 3)
        assert.include(yield* running(client), "\"running\":0")
      }).pipe(Effect.scoped, Effect.provide(transport)))

    it.live("that breaks off after pieces of a stream were taken says how many bytes they had", () =>
      Effect.gen(function*() {
        const server = yield* RawServer.make(Misbehavior.inTurn([broken, Misbehavior.respond(whole)]))
        const client = yield* ResilientClient.make(description(server.url), { parts: Parts })
        const response = yield* client.get("/report")
        assert.include(yield* running(client), "\"running\":1")
        let got = 0
        const error = yield* Effect.flip(Stream.runForEach(response.stream, (piece) =>
          Effect.sync(() => {
            got += piece.length
          })))
        assert.isAbove(got, 0)
        assert.strictEqual(partsOf(error)?.bytes, got)
        assert.strictEqual(yield* server.accepted, 1)
        assert.include(yield* running(client), "\"running\":0")
        assert.strictEqual(yield* Effect.flatMap(client.get("/report"), size), body.length)
      }).pipe(Effect.scoped, Effect.provide(transport)))

    it.live("that goes silent in the middle fails after the idle time", () =>
      Effect.gen(function*() {
        const server = yield* RawServer.make((connection) =>
          Effect.andThen(connection.send(whole.slice(0, -50_000)), Effect.never)
        )
        const client = yield* ResilientClient.make(description(server.url), { parts: Parts })
        const error = yield* Effect.flip(Effect.flatMap(client.get("/report"), size))
        const reason = partsOf(error)?.failure
        assert.strictEqual(reason?._tag === "Timeout" ? reason.phase : undefined, "body")
        assert.include(yield* running(client), "\"running\":0")
      }).pipe(Effect.scoped, Effect.provide(transport)))

    it.live("that is not read is discarded after the idle time, and its connection is closed", () =>
      Effect.gen(function*() {
        let closed = 0
        const server = yield* RawServer.make((connection) =>
          Effect.gen(function*() {
            yield* connection.receive
            yield* connection.send(whole.slice(0, -1))
            while ((yield* connection.receive) !== undefined) { /* until the client has closed it */ }
            closed++
          })
        )
        const client = yield* ResilientClient.make(description(server.url), { parts: Parts })
        yield* client.get("/report")
        assert.include(yield* running(client), "\"running\":1")
        yield* Effect.repeat(Effect.delay(running(client), "20 millis"), {
          while: (now) => !now.includes("\"running\":0")
        })
        yield* Effect.repeat(Effect.delay(Effect.sync(() => closed), "20 millis"), { while: (now) => now === 0 })
      }).pipe(Effect.scoped, Effect.provide(transport)))

    it.live("whose reader is interrupted leaves no permit and no connection", () =>
      Effect.gen(function*() {
        let closed = 0
        const server = yield* RawServer.make((connection) =>
          Effect.gen(function*() {
            yield* connection.receive
            yield* connection.send(whole.slice(0, -1))
            while ((yield* connection.receive) !== undefined) { /* until the client has closed it */ }
            closed++
          })
        )
        const reads: ReadonlyArray<
          (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>
        > = [
          size,
          (response) => response.text,
          () => Effect.never
        ]
        const patient = { ...description(server.url), timeouts: { idle: "1 minute" } } as const
        const client = yield* ResilientClient.make(patient, { parts: Parts })
        for (const read of reads) {
          const before = closed
          const reading = yield* Effect.forkChild(Effect.flatMap(client.get("/report"), read))
          yield* Effect.repeat(Effect.delay(running(client), "20 millis"), {
            while: (now) => !now.includes("\"running\":1")
          })
          yield* Fiber.interrupt(reading)
          yield* Effect.repeat(Effect.delay(running(client), "5 millis"), {
            while: (now) => !now.includes("\"running\":0")
          })
          yield* Effect.repeat(Effect.delay(Effect.sync(() => closed), "20 millis"), { while: (now) => now === before })
        }
      }).pipe(Effect.scoped, Effect.provide(transport)))
  })
}

describe("what a client tells of itself", () => {
  it.effect("says what the transport cannot limit", () =>
    Effect.gen(function*() {
      const fetching = yield* Effect.provide(
        ResilientClient.make(description("https://a.test"), { parts: Parts }),
        transports.fetch
      )
      assert.include(yield* fetching.describe, "`connect` limits nothing")
      const connecting = yield* Effect.provide(
        ResilientClient.make(description("https://a.test"), { parts: Parts }),
        transports.node
      )
      assert.include(
        yield* connecting.describe,
        "connect         10s\n  firstByte       10s\n  idle            300ms"
      )
    }).pipe(Effect.scoped))
})
