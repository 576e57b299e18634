import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as BlackHole from "../src/BlackHole.ts"
import type { Handler } from "../src/Connection.ts"
import * as Misbehavior from "../src/Misbehavior.ts"
import * as RawHttp from "../src/RawHttp.ts"
import * as RawServer from "../src/RawServer.ts"
import { connect } from "./client.ts"

const hello = RawHttp.response({ body: "hello" })

/** The result of Node's own client. */
const get = (handler: Handler, options: { readonly body?: string } = {}) =>
  Effect.flatMap(RawServer.make(handler), (server) => request(server.port, options))

const request = (port: number, { body }: { readonly body?: string } = {}) =>
  Effect.callback<string>((resume) => {
    const failed = (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? error.message))
    const request = Http.request(
      { host: "127.0.0.1", port, method: body === undefined ? "GET" : "POST" },
      (response) => {
        let text = ""
        response.on("data", (bytes) => text += String(bytes))
        response.on("end", () => resume(Effect.succeed(`${response.statusCode} ${text}`)))
        response.on("error", failed)
      }
    )
    request.on("error", failed)
    if (body !== undefined) request.write(body)
    request.end()
    return Effect.sync(() => request.destroy())
  })

describe("RawServer", () => {
  it.effect("runs its handler for each connection", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make(
        Misbehavior.inTurn([Misbehavior.hangUp(), Misbehavior.respond(hello)])
      )
      assert.strictEqual(yield* request(server.port), "ECONNRESET")
      assert.strictEqual(yield* request(server.port), "200 hello")
      assert.strictEqual(yield* request(server.port), "200 hello")
      assert.strictEqual(yield* server.accepted, 3)
    }))

  it.effect("closes a connection that it resets while its end leaves", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make((connection) => Effect.andThen(connection.end, connection.reset))
      const client = yield* connect(server.port)
      yield* client.ended
      // Only a connection that nothing has closed takes this for ever.
      const broken = new Promise<void>((resume) => client.socket.once("close", resume))
      const more = setInterval(() => client.socket.write("a"), 5)
      yield* Effect.ensuring(Effect.promise(() => broken), Effect.sync(() => clearInterval(more)))
    }))

  it.effect("reads whole requests, with a length or in chunks, one after another", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const server = yield* RawServer.make((connection) => {
        const next = RawHttp.requests(connection)
        return Effect.gen(function*() {
          for (let request = yield* next; request !== undefined; request = yield* next) {
            seen.push(
              `${request.method} ${request.path} ${request.headers["host"]} ${new TextDecoder().decode(request.body)}`
            )
            yield* connection.send(hello)
          }
        })
      })
      assert.strictEqual(yield* request(server.port, { body: "two äpples" }), "200 hello")
      yield* Effect.callback<void>((resume) => {
        const socket = Net.connect(server.port, "127.0.0.1", () =>
          socket.write(
            "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHOST: h\r\n\r\nGET /c HT"
          ))
        socket.on("data", () => seen.length === 3 && socket.end())
        socket.on("close", () => resume(Effect.void))
      })
      assert.deepStrictEqual([seen[0]?.replace(/\d+ /, " "), ...seen.slice(1)], [
        "POST / 127.0.0.1: two äpples",
        "PUT /a h abc",
        "GET /b h "
      ])
    }))

  it.effect("ends its handlers and connections with its scope", () =>
    Effect.gen(function*() {
      let interrupted = false
      const pending = yield* Effect.scoped(Effect.gen(function*() {
        const server = yield* RawServer.make(() =>
          Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
        )
        const pending = yield* Effect.forkDetach(request(server.port), { startImmediately: true })
        yield* Effect.yieldNow.pipe(Effect.andThen(server.accepted), Effect.repeat({ until: (n) => n === 1 }))
        return pending
      }))
      assert.strictEqual(yield* Fiber.join(pending), "ECONNRESET")
      assert.isTrue(interrupted)
    }))
})

describe("Misbehavior", () => {
  it.effect("breaks off at a byte, by end or by reset", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* get(Misbehavior.breakOff(hello, { after: hello.length - 1 })), "ECONNRESET")
      assert.strictEqual(yield* get(Misbehavior.breakOff(hello, { after: 5 })), "ECONNRESET")
      assert.strictEqual(yield* get(Misbehavior.breakOff(hello, { after: 5, how: "reset" })), "ECONNRESET")
    }))

  it.effect("declares another length than it sends", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* get(Misbehavior.respond(RawHttp.response({ body: "hello", contentLength: 4 }))),
        "HPE_INVALID_CONSTANT"
      )
    }))

  it.effect("drips by the test's clock", () =>
    Effect.gen(function*() {
      const response = yield* Effect.forkChild(get(Misbehavior.drip(hello, { every: "5 seconds", size: 10 })))
      let seconds = 0
      while (response.pollUnsafe() === undefined) {
        yield* TestClock.adjust("1 second")
        yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
        seconds += 1
      }
      assert.strictEqual(yield* Fiber.join(response), "200 hello")
      assert.isAtLeast(seconds, 5 * Math.ceil(hello.length / 10))
    }))

  it.live("sends nothing, whether it reads or not", () =>
    Effect.gen(function*() {
      for (const handler of [Misbehavior.silent, Misbehavior.deaf]) {
        assert.strictEqual((yield* Effect.timeoutOption(get(handler, { body: "hello" }), "50 millis"))._tag, "None")
      }
    }))

  it.effect("hangs up during a TLS handshake", () =>
    Effect.gen(function*() {
      const server = yield* RawServer.make(Misbehavior.hangUp())
      const code = yield* Effect.callback<string>((resume) => {
        const socket = Tls.connect({ host: "127.0.0.1", port: server.port })
        socket.on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? "")))
      })
      assert.strictEqual(code, "ECONNRESET")
    }))
})

describe("BlackHole", () => {
  it.live("leaves a connection attempt without a response", () =>
    Effect.gen(function*() {
      const { host, port } = yield* BlackHole.make
      const events: Array<string> = []
      const socket = Net.connect({ host, port })
      for (const event of ["connect", "error", "close"]) socket.on(event, () => events.push(event))
      yield* Effect.sleep("50 millis")
      assert.deepStrictEqual(events, [])
      assert.isTrue(socket.connecting)
      socket.destroy()
    }))
})
