import { type Connection, Misbehavior, RawHttp } from "@effect-resilience/chaos"
import * as BlackHole from "@effect-resilience/chaos/BlackHole"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import type { ResilientClient } from "@effect-resilience/client"
import { Effect, type Scope } from "effect"
import * as Http2 from "node:http2"
import * as Tls from "node:tls"
import { gzipSync } from "node:zlib"
import { closedPort, unresolvable } from "../../../chaos/test/nowhere.ts"
import { certificate, key } from "../../../node/test/loopbackCertificate.ts"
import { secrets, type Transport } from "./observe.ts"

/** A server, and how many requests it has read, where it reads them. */
interface Served {
  readonly url: string
  readonly requests?: () => number
}

/**
 * - `got`: for GET and PUT, and how many attempts it took.
 * - `post`: for POST, if that is otherwise.
 * - `judged`: `false` where the caller finds the fault, by reading the body as JSON after the call.
 */
interface Expected {
  readonly got: string
  readonly post?: string
  readonly judged?: false
}

/**
 * - `over`: what is otherwise over a transport.
 * - `requests`: those that the server reads, if they are not as many as attempts.
 * - `first`: another call comes before.
 */
export interface Fault extends Expected {
  readonly name: string
  readonly serve: Effect.Effect<Served, never, Scope.Scope>
  readonly over?: { readonly [T in Transport]?: Expected }
  readonly transports?: ReadonlyArray<Transport>
  readonly description?: Described
  readonly body?: string
  readonly requests?: number
  readonly first?: true
}

type Reply = (connection: Connection.Connection, request: RawHttp.Request) => Effect.Effect<boolean>

/** Replies to each request that was read, over all connections, in turn; the last reply is for all that follow. */
const replying = (...replies: ReadonlyArray<Reply>) =>
  Effect.gen(function*() {
    let requests = 0
    const server = yield* RawServer.make((connection) => {
      const next = RawHttp.requests(connection)
      return Effect.flatMap(next, (request) => {
        if (request === undefined) return Effect.succeed(false)
        // The system may give the port of a server that has closed to this one: a client of that one may still repeat its calls.
        if (!/^\/(entries\/7|first)\b/.test(request.path)) return Effect.as(connection.reset, false)
        const reply = replies[Math.min(requests++, replies.length - 1)] as Reply
        return reply(connection, request)
      }).pipe(Effect.repeat({ while: (continues) => continues }), Effect.asVoid)
    })
    return { url: server.url, requests: () => requests }
  })

const tokenOf = (request: RawHttp.Request) => request.headers["authorization"] ?? ""

const bytes = (text: string | Uint8Array): Reply => (connection) => Effect.as(connection.send(text), true)
const bytesThen = (text: string | Uint8Array, how: "end" | "reset"): Reply => (connection) =>
  Effect.as(Effect.andThen(connection.send(text), connection[how]), false)
const bytesThenSilence = (text: string): Reply => (connection) => Effect.andThen(connection.send(text), Effect.never)

const json = { "content-type": "application/json" }
const good = RawHttp.response({ headers: json, body: `{"id":7}` })
const ok = bytes(good)
/** The server repeats what it was sent, as debugging pages do. */
const status = (status: number, headers: Record<string, string> = {}): Reply => (connection, request) =>
  Effect.as(
    connection.send(RawHttp.response({
      status,
      headers: { ...json, "x-request-id": `id ${tokenOf(request)}`, ...headers },
      body: JSON.stringify({ message: `bad token ${tokenOf(request)}` })
    })),
    true
  )

/** A TCP server that does not count requests. */
const uncounted = (handler: Connection.Handler) => Effect.map(RawServer.make(handler), ({ url }) => ({ url }))

const tls = (options: { readonly text: string; readonly host?: string }) =>
  Effect.suspend(() =>
    LocalServer.listen(
      Tls.createServer({ cert: certificate, key }, (socket) => {
        socket.on("error", () => {})
        socket.on("data", () => socket.end(options.text))
      }).on("tlsClientError", () => {}),
      { host: options.host }
    )
  )

const goingAway = Effect.suspend(() => {
  let requests = 0
  const server = Http2.createSecureServer({ cert: certificate, key })
  server.on("session", (session) => session.on("error", () => {}))
  server.on("stream", (stream) => {
    stream.on("error", () => {})
    if (++requests === 2) return void stream.session?.goaway(0, 1)
    stream.respond({ ":status": 200, ...json })
    stream.end(`{"id":7}`)
  })
  return Effect.map(LocalServer.listen(server), ({ url }) => ({ url, requests: () => requests }))
})

type Described = Omit<ResilientClient.Description, "name" | "baseUrl">

/** Where a fault says nothing else. */
export const brief: Described = { pipeline: { bulkhead: { permits: 1 }, retry: { times: 1, backoff: { base: 0 } } } }
// Long enough to send a request, and to read it: some tens of turns.
const hurried: Described = { ...brief, timeouts: { attempt: "500 millis", total: "8 seconds" } }

const html = RawHttp.response({
  headers: { "content-type": "text/html" },
  body: "<!DOCTYPE html><title>Log in</title>"
})
const cut = RawHttp.response({ headers: json, body: `{"id":7}`, contentLength: 80 })
const chunked = (body: string, more: object = {}) =>
  RawHttp.response({ headers: { ...json, ...more, "transfer-encoding": "chunked" }, contentLength: "none" }) + body
const packed = (body: Uint8Array) =>
  Buffer.concat([
    Buffer.from(RawHttp.response({ headers: { ...json, "content-encoding": "gzip" }, contentLength: body.length })),
    body
  ])
const gzip = gzipSync(`{"id":7}`)

const undecodable = { got: "UndecodableAnswer -> GiveUp x1", post: "unknown: UndecodableAnswer -> Verify x1" }

export const faults: ReadonlyArray<Fault> = [
  { name: "behaves", serve: replying(ok), got: "ok {\"id\":7} x1" },
  {
    name: "does not listen",
    serve: Effect.succeed({ url: `http://127.0.0.1:${closedPort}` }),
    got: "TransportFailure refused -> Retry x2"
  },
  {
    name: "has an unknown name",
    serve: Effect.succeed({ url: `https://${unresolvable}` }),
    got: "TransportFailure dns -> Retry x2"
  },
  {
    name: "lets connections hang",
    serve: Effect.map(BlackHole.make, ({ host, port }) => ({ url: `http://${host}:${port}` })),
    got: "Timeout -> Retry x2",
    over: { fetch: { got: "Timeout -> Retry x2", post: "unknown: Timeout -> Verify x1" } },
    description: hurried
  },
  {
    name: "accepts and says nothing",
    serve: uncounted(Misbehavior.silent),
    got: "Timeout -> Retry x2",
    post: "unknown: Timeout -> Verify x1",
    description: hurried
  },
  {
    name: "reads nothing",
    serve: uncounted(Misbehavior.deaf),
    got: "Timeout -> Retry x2",
    post: "unknown: Timeout -> Verify x1",
    description: hurried
  },
  {
    name: "closes before it reads",
    serve: uncounted((connection) => connection.end),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "resets at the first byte",
    serve: uncounted(Misbehavior.hangUp()),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "closes after the request",
    serve: replying(bytesThen("", "end")),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "resets after the request, once",
    serve: replying(bytesThen("", "reset"), ok),
    got: "ok {\"id\":7} x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "closes in the status line",
    serve: replying(bytesThen("HTTP/1.1 20", "end")),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "falls silent in the status line",
    serve: replying(bytesThenSilence("HTTP/1.1 20")),
    got: "Timeout -> Retry x2",
    post: "unknown: Timeout -> Verify x1",
    description: hurried
  },
  {
    name: "closes in the headers",
    serve: replying(bytesThen("HTTP/1.1 200 OK\r\ncontent-ty", "end")),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "is no HTTP server",
    serve: replying(bytesThen("SSH-2.0-OpenSSH_9.6\r\n", "end")),
    got: "TransportFailure protocol -> GiveUp x1",
    post: "unknown: TransportFailure protocol -> Verify x1"
  },
  {
    name: "sends binary garbage",
    serve: replying(bytesThen(new Uint8Array(64).fill(255), "end")),
    got: "TransportFailure protocol -> GiveUp x1",
    post: "unknown: TransportFailure protocol -> Verify x1"
  },
  {
    name: "sends 100s only",
    serve: replying(bytesThenSilence("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "sends a 103 first",
    serve: replying(bytes(`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${good}`)),
    got: "ok {\"id\":7} x1"
  },
  {
    name: "sends huge headers",
    serve: replying(bytesThen(RawHttp.response({ headers: { x: "x".repeat(100_000) } }), "end")),
    got: "TransportFailure protocol -> GiveUp x1",
    post: "unknown: TransportFailure protocol -> Verify x1"
  },
  {
    name: "sends the headers, then nothing",
    serve: replying(bytesThenSilence(cut.slice(0, -8))),
    got: "Timeout -> Retry x2",
    post: "unknown: Timeout -> Verify x1",
    description: hurried
  },
  {
    name: "sends half of the body, then nothing",
    serve: replying(bytesThenSilence(cut)),
    got: "Timeout -> Retry x2",
    post: "unknown: Timeout -> Verify x1",
    description: hurried
  },
  {
    name: "drips",
    serve: replying((connection) =>
      Effect.as(Effect.forEach(good, (letter) => Effect.delay(connection.send(letter), "20 millis")), true)
    ),
    got: "Timeout -> Retry x2",
    post: "unknown: Timeout -> Verify x1",
    description: hurried
  },
  {
    name: "sends less than content-length",
    serve: replying(bytesThen(cut, "end")),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "sends less than content-length, once",
    serve: replying(bytesThen(cut, "reset"), ok),
    got: "ok {\"id\":7} x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "sends more than content-length",
    serve: replying(bytesThen(`${good}garbage`, "end")),
    got: "ok {\"id\":7} x1"
  },
  {
    name: "sends bad chunks",
    serve: replying(bytesThen(chunked(`zz\r\n{"id":7}\r\n`), "end")),
    got: "TransportFailure protocol -> GiveUp x1",
    post: "unknown: TransportFailure protocol -> Verify x1"
  },
  {
    name: "ends before the last chunk",
    serve: replying(bytesThen(chunked(`8\r\n{"id":7}\r\n`), "end")),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "sends content-length and chunks",
    serve: replying(bytesThen(chunked(`8\r\n{"id":7}\r\n0\r\n\r\n`, { "content-length": "3" }), "end")),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "sends two lengths",
    serve: replying(
      bytesThen(RawHttp.response({ headers: { ...json, "Content-Length": "3" }, body: `{"id":7}` }), "end")
    ),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "packs the body",
    serve: replying(bytes(packed(gzip))),
    got: "ok {\"id\":7} x1",
    transports: ["decompressing", "fetch"]
  },
  {
    name: "packs the body badly",
    serve: replying(bytes(packed(gzip.subarray(0, 12)))),
    got: "UndecodableAnswer -> GiveUp x1",
    post: "unknown: UndecodableAnswer -> Verify x1",
    over: { decompressing: undecodable },
    transports: ["node", "decompressing", "fetch"]
  },
  {
    name: "calls plain bytes gzip",
    serve: replying(bytes(packed(Buffer.from(`{"id":7}`)))),
    got: "ok {\"id\":7} x1",
    over: { decompressing: undecodable, fetch: undecodable },
    transports: ["node", "decompressing", "fetch"]
  },
  {
    name: "sends a page with 200",
    judged: false,
    serve: replying(bytes(html)),
    got: "UndecodableAnswer -> GiveUp x1",
    post: "unknown: UndecodableAnswer -> Verify x1"
  },
  {
    name: "calls a page JSON",
    serve: replying(bytes(html.replace("text/html", "application/json"))),
    got: "UndecodableAnswer -> GiveUp x1",
    post: "unknown: UndecodableAnswer -> Verify x1"
  },
  {
    name: "sends a 204 with a body",
    serve: replying(bytes(RawHttp.response({ status: 204, headers: json, body: "{}" }))),
    got: "ok null x1"
  },
  {
    name: "redirects to itself",
    serve: replying(status(307, { location: "/entries/7" })),
    got: "UnexpectedStatus -> Correct x1"
  },
  {
    name: "redirects to itself, followed",
    requests: 3,
    serve: replying(status(307, { location: `/entries/7?${secrets.response}` })),
    got: "UnexpectedStatus -> Correct x1",
    description: { ...brief, redirects: { limit: 2 } }
  },
  {
    name: "redirects elsewhere",
    serve: replying(status(302, { location: `https://evil.test/${secrets.response}` })),
    got: "UnexpectedStatus -> Correct x1",
    description: { ...brief, redirects: {} }
  },
  {
    name: "redirects to nowhere",
    serve: replying(status(301, { location: "http://[" })),
    got: "UnexpectedStatus -> Correct x1",
    description: { ...brief, redirects: {} }
  },
  { name: "says 401 once", serve: replying(status(401), ok), got: "ok {\"id\":7} x2" },
  {
    name: "says 401 always",
    serve: replying(status(401)),
    got: "StillUnauthorized -> Authorize x2"
  },
  {
    name: "says 401 with a page",
    serve: replying(bytes(html.replace("200 OK", "401 No"))),
    got: "StillUnauthorized -> Authorize x2"
  },
  { name: "says 400", serve: replying(status(400)), got: "BadRequest -> Correct x1" },
  { name: "says 403", serve: replying(status(403)), got: "Forbidden -> Authorize x1" },
  { name: "says 404", serve: replying(status(404)), got: "NotFound -> Correct x1" },
  { name: "says 408, once", serve: replying(status(408), ok), got: "ok {\"id\":7} x2" },
  { name: "says 409", serve: replying(status(409)), got: "Conflict -> Correct x1" },
  { name: "says 425, once", serve: replying(status(425), ok), got: "ok {\"id\":7} x2" },
  { name: "says 429 without a time", serve: replying(status(429), ok), got: "ok {\"id\":7} x2" },
  {
    name: "says 429 and 0 seconds",
    serve: replying(status(429, { "retry-after": "0" }), ok),
    got: "ok {\"id\":7} x2"
  },
  {
    name: "says 429 and a date that is over",
    serve: replying(status(429, { "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }), ok),
    got: "ok {\"id\":7} x2"
  },
  {
    name: "says 429 and a date far ahead",
    serve: replying(status(429, { "retry-after": "Wed, 21 Oct 2099 07:28:00 GMT" }), ok),
    got: "RateLimited -> Retry x1"
  },
  {
    name: "says 429 and an absurd time",
    serve: replying(status(429, { "retry-after": "99999999999999999999" }), ok),
    got: "RateLimited -> Retry x1"
  },
  {
    name: "says 429 and no time at all",
    serve: replying(status(429, { "retry-after": "soon" }), ok),
    got: "ok {\"id\":7} x2"
  },
  {
    name: "says 500 always",
    serve: replying(status(500)),
    got: "InternalServerError -> Retry x2",
    post: "unknown: InternalServerError -> Verify x1"
  },
  {
    name: "says 500 once",
    serve: replying(status(500), ok),
    got: "ok {\"id\":7} x2",
    post: "unknown: InternalServerError -> Verify x1"
  },
  {
    name: "says 501",
    serve: replying(status(501)),
    got: "UnexpectedStatus -> GiveUp x1",
    post: "unknown: UnexpectedStatus -> Verify x1"
  },
  {
    name: "says 502 with a page, once",
    serve: replying(bytes(html.replace("200 OK", "502 Bad")), ok),
    got: "ok {\"id\":7} x2",
    post: "unknown: BadGateway -> Verify x1"
  },
  {
    name: "says 503 and 1 second",
    serve: replying(status(503, { "retry-after": "1" }), ok),
    got: "ok {\"id\":7} x2",
    post: "unknown: ServiceUnavailable -> Verify x1"
  },
  {
    name: "says 503 and a century",
    serve: replying(status(503, { "retry-after": "3153600000" }), ok),
    got: "ServiceUnavailable -> Retry x1",
    post: "unknown: ServiceUnavailable -> Verify x1"
  },
  {
    name: "says 504 once",
    serve: replying(status(504), ok),
    got: "ok {\"id\":7} x2",
    post: "unknown: GatewayTimeout -> Verify x1"
  },
  {
    name: "says 999",
    serve: replying(status(999)),
    got: "UnexpectedStatus -> Retry x2",
    post: "unknown: UnexpectedStatus -> Verify x1"
  },
  {
    name: "says 600 without a body, then resets",
    serve: replying(bytesThen("HTTP/1.1 600 Odd\r\ncontent-length: 9\r\n\r\n", "reset")),
    got: "UnexpectedStatus -> Retry x2",
    post: "unknown: UnexpectedStatus -> Verify x1"
  },
  {
    name: "responds before it has the request",
    serve: uncounted((connection) =>
      Effect.andThen(
        connection.receive,
        Effect.andThen(
          connection.send(RawHttp.response({ status: 413, headers: { connection: "close" } })),
          connection.end
        )
      )
    ),
    got: "PayloadTooLarge -> Correct x1",
    body: "x".repeat(4_000_000)
  },
  {
    name: "resets while it gets the request",
    serve: uncounted((connection) => Effect.andThen(connection.receive, connection.reset)),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1",
    body: "x".repeat(4_000_000)
  },
  {
    name: "has a certificate of an unknown authority",
    serve: Effect.map(tls({ text: good }), ({ port }) => ({ url: `https://127.0.0.1:${port}` })),
    transports: ["fetch"],
    got: "TransportFailure tls -> GiveUp x1"
  },
  {
    name: "has a certificate of another host",
    serve: Effect.map(tls({ text: good, host: "127.0.0.2" }), ({ port }) => ({ url: `https://127.0.0.2:${port}` })),
    transports: ["node"],
    got: "TransportFailure tls -> GiveUp x1"
  },
  {
    name: "speaks http where https was asked",
    serve: Effect.map(
      uncounted((connection) => Effect.andThen(connection.receive, connection.send(RawHttp.response({ status: 400 })))),
      (served) => ({ ...served, url: served.url.replace("http", "https") })
    ),
    got: "TransportFailure tls -> GiveUp x1"
  },
  {
    name: "speaks https where http was asked",
    serve: Effect.map(tls({ text: good }), ({ port }) => ({ url: `http://127.0.0.1:${port}` })),
    got: "TransportFailure reset -> Retry x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  },
  {
    name: "hangs up in the handshake",
    serve: Effect.map(
      uncounted(Misbehavior.hangUp()),
      (served) => ({ ...served, url: served.url.replace("http", "https") })
    ),
    got: "TransportFailure reset -> Retry x2",
    over: {
      fetch: { got: "TransportFailure reset -> Retry x2", post: "unknown: TransportFailure reset -> Verify x1" }
    }
  },
  {
    name: "goes away over HTTP/2 without having processed the request",
    serve: goingAway,
    first: true,
    transports: ["http2"],
    requests: 3,
    got: "ok {\"id\":7} x1"
  },
  {
    name: "resets a kept connection at its next request",
    serve: uncounted((connection) => {
      const next = RawHttp.requests(connection)
      return next.pipe(
        Effect.andThen(connection.send(good)),
        Effect.andThen(connection.receive),
        Effect.andThen(connection.reset)
      )
    }),
    first: true,
    got: "ok {\"id\":7} x2",
    post: "unknown: TransportFailure reset -> Verify x1"
  }
]
