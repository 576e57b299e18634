import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as Transport from "@effect-resilience/errors/Transport"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { HttpBody, HttpClient, type HttpClientError } from "effect/http"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import { certificate, key } from "./loopbackCertificate.ts"
import * as RawHttp2 from "./rawHttp2.ts"

const connections = (options?: Connections.Options) => Connections.layer({ ca: [certificate], http2: true, ...options })

type Respond = (stream: Http2.ServerHttp2Stream, path: string, session: number) => void

const serve = (respond: Respond) =>
  Effect.suspend(() => {
    const server = Http2.createSecureServer({ cert: certificate, key })
    const sessions: Array<Http2.Http2Session | undefined> = []
    server.on("session", (session) => {
      sessions.push(session)
      session.on("error", () => {})
    })
    server.on("stream", (stream, { ":path": path = "" }) => {
      stream.on("error", () => {})
      respond(stream, path, sessions.indexOf(stream.session))
    })
    return Effect.map(LocalServer.listen(server), ({ port }) => port)
  })

const ended = (stream: Http2.ServerHttp2Stream) => {
  stream.respond({ ":status": 200 })
  stream.end("done")
}

const read = (url: string) => Effect.flatMap(HttpClient.get(url), ({ text }) => text)

const diagnosed = ({ reason }: HttpClientError.HttpClientError) => {
  const { kind, reached } = Transport.diagnose(reason)
  return { kind, reached }
}

describe("streams of HTTP/2", () => {
  for (const code of ["NO_ERROR", "CANCEL", "INTERNAL_ERROR"] as const) {
    it.live(`fail with a response that the server resets with ${code} before its end`, () =>
      Effect.gen(function*() {
        const parts = (stream: number, last: boolean) => [
          RawHttp2.ok(stream),
          RawHttp2.data(stream, "[1,2,3", last),
          RawHttp2.reset(stream, Http2.constants[`NGHTTP2_${code}`])
        ]
        let last = false
        const { url } = yield* LocalServer.listen(RawHttp2.server((stream, socket) => {
          socket.write(Buffer.concat(parts(stream, last)))
        }))
        yield* Effect.gen(function*() {
          assert.strictEqual((yield* Effect.flip(read(url))).reason._tag, "DecodeError")
          last = true
          assert.strictEqual(yield* read(url), "[1,2,3")
        }).pipe(Effect.provide(connections()))
      }).pipe(Effect.scoped))
  }

  it.live("that send a body lose nothing of the response", () =>
    Effect.gen(function*() {
      const { url } = yield* LocalServer.listen(RawHttp2.server((stream, socket) => {
        // After what makes room for the next piece.
        setTimeout(() => {
          socket.write(Buffer.concat([RawHttp2.ok(stream), RawHttp2.data(stream, "done", true)]))
        }, stream % 5)
      }))
      const piece = new Uint8Array(100)
      const post = HttpClient.post(url, { body: HttpBody.stream(Stream.make(piece, piece)) })
      const texts = yield* Effect.forEach(
        Array.from({ length: 400 }),
        () => Effect.flatMap(post, ({ text }) => text),
        { concurrency: 20 }
      ).pipe(Effect.provide(connections()))
      assert.deepStrictEqual(texts.filter((text) => text !== "done"), [])
    }).pipe(Effect.scoped))

  it.live("that the server rejects fail by themselves when they are given up", () =>
    Effect.gen(function*() {
      let posts = 0
      const port = yield* serve((stream, path, session) => {
        if (session > 0 || path === "/first") return ended(stream)
        // The first stream, which GOAWAY can name.
        if (++posts === 3) stream.session?.goaway(0, 1)
      })
      const reconnecting = yield* Deferred.make<void>()
      const open: Array<() => void> = []
      let connected = 0
      const front = Net.createServer((near) => {
        const join = () => {
          const far = Net.connect(port, "127.0.0.1").on("error", () => {})
          near.on("error", () => {}).pipe(far).pipe(near)
        }
        if (connected++ === 0) return join()
        open.push(join)
        Deferred.doneUnsafe(reconnecting, Effect.void)
      })
      const { port: frontPort } = yield* LocalServer.listen(front)
      const url = `https://127.0.0.1:${frontPort}`
      const post = Effect.flatMap(HttpClient.post(`${url}/order`, { body: HttpBody.text("order") }), ({ text }) => text)
      const others = yield* Effect.gen(function*() {
        yield* read(`${url}/first`)
        const [first, ...others] = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(post))
        yield* Deferred.await(reconnecting)
        if (first !== undefined) yield* Fiber.interrupt(first)
        for (const join of open) join()
        return yield* Effect.forEach(others, (call) => Fiber.join(call))
      }).pipe(Effect.provide(connections()))
      assert.deepStrictEqual(others, ["done", "done"])
    }).pipe(Effect.scoped))

  const rejections: { readonly [how: string]: (stream: Http2.ServerHttp2Stream) => void } = {
    "with GOAWAY": (stream) => stream.session?.goaway(0, 1),
    "with REFUSED_STREAM": (stream) => {
      stream.session?.settings({ maxConcurrentStreams: 1 })
      stream.close(Http2.constants.NGHTTP2_REFUSED_STREAM)
    }
  }
  for (const [how, reject] of Object.entries(rejections)) {
    it.live(`that the server rejects ${how} wait for another one no longer than any request`, () =>
      Effect.gen(function*() {
        const port = yield* serve((stream, path) => {
          if (path === "/rejected") return reject(stream)
          stream.respond({ ":status": 200 })
          stream.write("never ends")
        })
        const url = `https://127.0.0.1:${port}`
        const failure = yield* Effect.gen(function*() {
          const endless = yield* HttpClient.get(`${url}/endless`)
          const failure = yield* Effect.flip(HttpClient.post(`${url}/rejected`, { body: HttpBody.text("order") }))
          assert.strictEqual(yield* Stream.mkString(Stream.take(Stream.decodeText(endless.stream), 1)), "never ends")
          return failure
        }).pipe(Effect.provide(connections({ poolTimeout: "100 millis" })))
        assert.deepStrictEqual(diagnosed(failure), { kind: "busy", reached: "nothing" })
      }).pipe(Effect.scoped))
  }

  it.live("of other clients stay as they are, also if the body of a request begins one", () =>
    Effect.gen(function*() {
      const port = yield* serve((stream) => {
        stream.resume()
        ended(stream)
      })
      const url = `https://127.0.0.1:${port}`
      const session = yield* Effect.acquireRelease(
        Effect.sync(() => Http2.connect(url, { ca: certificate })),
        (session) => Effect.sync(() => session.destroy())
      )
      const others: Array<Http2.ClientHttp2Stream> = []
      const body = HttpBody.stream(Stream.fromEffect(Effect.sync(() => {
        others.push(session.request({ ":path": "/" }))
        return new Uint8Array(10)
      })))
      yield* Effect.gen(function*() {
        yield* read(url)
        yield* Effect.flatMap(HttpClient.post(url, { body }), ({ text }) => text)
      }).pipe(Effect.provide(connections()))
      assert.deepStrictEqual(others.map((stream) => Object.hasOwn(stream, "close")), [false])
    }).pipe(Effect.scoped))
})
