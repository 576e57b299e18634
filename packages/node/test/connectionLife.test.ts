import { Misbehavior, RawHttp } from "@effect-resilience/chaos"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import { ErrorMapping } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { HttpClient } from "effect/http"
import Dns from "node:dns"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import { certificate, key } from "./loopbackCertificate.ts"

const listen = (server: Net.Server, host = "127.0.0.1", port = 0): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(port, host, () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        if (server instanceof Http.Server) server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )

/** Sends the name `localhost` to an address of this machine that can change. */
const resolver = Effect.acquireRelease(
  Effect.sync(() => {
    const real = Dns.lookup
    const state = { address: "127.0.0.1", lookUps: 0 }
    const fake = (
      name: string,
      options: Dns.LookupAllOptions,
      callback: (error: Error | null, addresses: Array<Dns.LookupAddress>) => void
    ) => {
      if (name !== "localhost") return real(name, options, callback)
      state.lookUps++
      setImmediate(() => callback(null, [{ address: state.address, family: 4 }]))
    }
    Object.assign(Dns, { lookup: fake })
    return { state, restore: () => Object.assign(Dns, { lookup: real }) }
  }),
  ({ restore }) => Effect.sync(restore)
)

const text = (client: HttpClient.HttpClient, url: string) => Effect.flatMap(client.get(url), ({ text }) => text)

const plain = (name: string) =>
  Http.createServer((request, response) => {
    if (request.url !== "/stream") return response.end(name)
    response.write(name)
    return streams.push(() => response.end(`-${name}`))
  })
const streams: Array<() => void> = []

const secure = (name: string) =>
  Http2.createSecureServer({ cert: certificate, key }, (request, response) => {
    if (request.url !== "/stream") return response.end(name)
    response.write(name)
    return streams.push(() => response.end(`-${name}`))
  })

describe("a connection beyond its age", () => {
  for (const [protocol, serve, scheme] of [["HTTP/1.1", plain, "http"], ["HTTP/2", secure, "https"]] as const) {
    for (const connections of [1, 64]) {
      it.live(`is left for where its name has moved to, and finishes its streams (${protocol}, ${connections} at most)`, () =>
        Effect.gen(function*() {
          streams.length = 0
          const { state } = yield* resolver
          const port = yield* listen(serve("old"))
          yield* listen(serve("new"), "127.0.0.2", port)
          const client = yield* HttpClient.HttpClient
          const url = `${scheme}://localhost:${port}`
          assert.strictEqual(yield* text(client, url), "old")
          const stream = yield* client.get(`${url}/stream`)
          state.address = "127.0.0.2"
          // The stream takes the only connection of HTTP/1.1, so requests there wait for its end.
          const alone = connections === 1 && protocol === "HTTP/1.1"
          if (!alone) {
            while ((yield* text(client, url)) !== "new") yield* Effect.yieldNow
          }
          streams.forEach((end) => end())
          assert.strictEqual(yield* stream.text, "old-old")
          while ((yield* text(client, url)) !== "new") yield* Effect.yieldNow
          assert.isAtLeast(state.lookUps, 2)
        }).pipe(
          Effect.provide(Connections.layer({
            maxAge: "30 millis",
            connections,
            http2: protocol === "HTTP/2",
            ca: [certificate]
          })),
          Effect.scoped
        ))
    }
  }
})

describe("a connection that died in silence", () => {
  it.live(
    "ends over HTTP/2 although requests are given up before their time, and the next one is made anew",
    () =>
      Effect.gen(function*() {
        const upstream = yield* listen(secure("here"))
        const relay = yield* TcpRelay.make({ port: upstream })
        const client = yield* HttpClient.HttpClient
        const url = `https://127.0.0.1:${relay.port}`
        assert.strictEqual(yield* text(client, url), "here")
        const held = yield* Effect.forkChild(Effect.flip(ErrorMapping.mapErrors(client, {}).post(url)))
        yield* relay.until(({ open }) => open === 1)
        const [first] = yield* relay.connections
        if (first !== undefined) yield* first.silence()
        const impatient = Effect.option(Effect.timeout(text(client, url), "20 millis"))
        while ((yield* impatient)._tag === "None") yield* Effect.yieldNow
        const error = yield* Fiber.join(held)
        assert.include(error.message, "went silent")
      }).pipe(
        Effect.provide(
          Connections.layer({ http2: { ping: "50 millis" }, ca: [certificate], headersTimeout: "1 hour" })
        ),
        Effect.scoped
      ),
    20_000
  )

  it.live("is not suspected while a server only takes its time", () =>
    Effect.gen(function*() {
      const port = yield* listen(Http2.createSecureServer({ cert: certificate, key }, (_, response) => {
        setTimeout(() => response.end("late"), 400)
      }))
      const client = yield* HttpClient.HttpClient
      assert.strictEqual(yield* text(client, `https://127.0.0.1:${port}`), "late")
    }).pipe(Effect.provide(Connections.layer({ http2: { ping: "50 millis" }, ca: [certificate] })), Effect.scoped))
})

describe("HTTP/2", () => {
  it.live("runs no more requests on a connection than it may", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      const sessions = new Set<unknown>()
      const server = Http2.createSecureServer({ cert: certificate, key }, (request, response) => {
        sessions.add(request.stream.session)
        most = Math.max(most, ++running)
        setImmediate(() => {
          running--
          response.end("ok")
        })
      })
      const url = `https://127.0.0.1:${yield* listen(server)}`
      const client = yield* HttpClient.HttpClient
      yield* Effect.forEach(Array.from({ length: 40 }), () => text(client, url), { concurrency: "unbounded" })
      assert.isAtMost(most, 3)
      assert.strictEqual(sessions.size, 1)
    }).pipe(
      Effect.provide(Connections.layer({ http2: { streams: 3 }, connections: 1, ca: [certificate] })),
      Effect.scoped
    ))
})

describe("the headers of a response", () => {
  const long = Misbehavior.respond(RawHttp.response({ headers: { "X-Long": "x".repeat(20_000) }, body: "long" }))

  it.live("are bounded, and the error says by what", () =>
    Effect.gen(function*() {
      const { port } = yield* RawServer.make(long)
      const url = `http://127.0.0.1:${port}`
      const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, {})
      const error = yield* Effect.flip(client.get(url))
      assert.include(error.message, "maxHeaderSize")
    }).pipe(Effect.provide(Connections.layer()), Effect.scoped))

  it.live("may be as long as the bound", () =>
    Effect.gen(function*() {
      const { port } = yield* RawServer.make(long)
      assert.strictEqual(yield* text(yield* HttpClient.HttpClient, `http://127.0.0.1:${port}`), "long")
    }).pipe(Effect.provide(Connections.layer({ maxHeaderSize: 32_768 })), Effect.scoped))

  it("have a bound that makes sense", () => {
    assert.throws(() => Connections.layer({ maxHeaderSize: 0 }), RangeError, "Connections.maxHeaderSize")
    assert.throws(() => Connections.layer({ http2: { streams: 0 } }), RangeError, "Connections.http2.streams")
    assert.throws(() => Connections.layer({ http2: { ping: 0 } }), RangeError, "Connections.http2.ping")
  })
})
