import { Misbehavior, RawHttp } from "@effect-resilience/chaos"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { ApiError } from "@effect-resilience/errors"
import { ErrorMapping } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"

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

    it.live("that is short has its own bytes and no others, however it is read", () =>
      Effect.gen(function*() {
        const small = RawHttp.response({
          headers: { "content-type": "text/plain", "set-cookie": "sid=1" },
          body: "hello"
        })
        const server = yield* RawServer.make(Misbehavior.respond(small))
        const client = yield* ResilientClient.make(description(server.url), { parts: Parts })
        const bytes = yield* Effect.flatMap(client.get("/report"), (response) => response.arrayBuffer)
        assert.strictEqual(new TextDecoder().decode(bytes), "hello")
        const pieces = yield* Effect.flatMap(client.get("/report"), (response) => Stream.runCollect(response.stream))
        assert.strictEqual(new TextDecoder().decode(Uint8Array.from(pieces.flatMap((piece) => [...piece]))), "hello")
      }).pipe(Effect.scoped, Effect.provide(transport)))

    it.live("that breaks off after its headers is replaced whole by a short one that comes with its headers", () =>
      Effect.gen(function*() {
        const chunked = RawHttp.response({
          headers: { "content-type": "text/plain", "transfer-encoding": "chunked" },
          contentLength: "none"
        })
        const begun = `${chunked}2\r\nhe\r\n`
        const server = yield* RawServer.make(Misbehavior.inTurn([
          (connection) =>
            Effect.gen(function*() {
              yield* connection.receive
              yield* connection.send(begun)
              // The caller has the headers by then, and waits for the rest.
              yield* Effect.sleep("30 millis")
              yield* connection.reset
            }),
          Misbehavior.respond(RawHttp.response({ headers: { "content-type": "text/plain" }, body: "hello" }))
        ]))
        const client = yield* ResilientClient.make(description(server.url), { parts: Parts })
        const response = yield* client.get("/report")
        assert.strictEqual(yield* response.text, "hello")
        assert.include(yield* running(client), "\"running\":0")
      }).pipe(Effect.scoped, Effect.provide(transport)))

    for (const length of [20_000, 70_000, 300_000]) {
      it.live(`of ${length} bytes that comes with its headers lets its reader leave early`, () =>
        Effect.gen(function*() {
          const long = RawHttp.response({ headers: { "content-type": "text/csv" }, body: "x".repeat(length) })
          const server = yield* RawServer.make(Misbehavior.respond(long))
          const client = yield* ResilientClient.make(description(server.url), { parts: Parts })
          const readers: ReadonlyArray<
            (body: HttpClientResponse.HttpClientResponse["stream"]) => Effect.Effect<unknown>
          > = [
            (body) => Effect.orDie(Stream.runHead(body)),
            (body) => Effect.orDie(Stream.runDrain(Stream.take(body, 1))),
            (body) => Effect.ignore(Stream.runForEach(body, () => Effect.fail("enough")))
          ]
          for (const read of readers) {
            yield* Effect.flatMap(client.get("/report"), (response) => read(response.stream))
            yield* Effect.repeat(Effect.andThen(Effect.sleep("5 millis"), running(client)), {
              until: (now) => now?.includes("\"running\":0") === true
            })
          }
        }).pipe(Effect.scoped, Effect.provide(transport)))
    }

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

describe("an upload whose body is read from another client that maps errors", () => {
  const source = "s".repeat(200_000)
  const serving = LocalServer.http((request, response) => {
    if (request.url === "/source") return void response.writeHead(200, { "content-type": "text/csv" }).end(source)
    response.writeHead(200, { "content-type": "text/plain" })
    if (request.url === "/echo") return void request.pipe(response)
    let got = 0
    request.on("data", (piece: Uint8Array) => {
      got += piece.length
    })
    request.on("end", () => response.end(`stored ${got}`))
  })

  const uploaded = (path: string, before: Stream.Stream<Uint8Array>) =>
    Effect.gen(function*() {
      const { url } = yield* serving
      const client = yield* ResilientClient.make({ name: "ledger", baseUrl: url })
      const within = ErrorMapping.mapErrors(yield* HttpClient.HttpClient)
      const rest = Stream.unwrap(Effect.map(within.get(`${url}/source`), (response) => response.stream))
      const body = HttpBody.stream(Stream.concat(before, rest))
      const response = yield* client.execute(HttpClientRequest.setBody(HttpClientRequest.put(path), body))
      return yield* response.text
    }).pipe(Effect.scoped, Effect.provide(transports.node))

  it.live("arrives whole", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* uploaded("/sink", Stream.empty), `stored ${source.length}`)
    }))

  it.live("arrives whole where the response begins before the source is asked", () =>
    Effect.gen(function*() {
      const before = Stream.concat(
        Stream.make(new Uint8Array(10)),
        Stream.drain(Stream.fromEffect(Effect.sleep("50 millis")))
      )
      assert.strictEqual((yield* uploaded("/echo", before)).length, source.length + 10)
    }))
})
