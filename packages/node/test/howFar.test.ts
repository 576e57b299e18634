import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ErrorMapping, Operation } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Redacted, Stream } from "effect"
import { HttpBody, HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { once } from "node:events"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { certificate, key } from "./loopbackCertificate.ts"

/** What a server has read of the only request, and when it does something to the connection. */
class Witness {
  head = ""
  bodyBytes = 0
  whole = false
  private readonly waiting: Array<() => void> = []

  read(): void {
    for (const wake of this.waiting.splice(0)) wake()
  }
  until(condition: (witness: Witness) => boolean): Effect.Effect<void> {
    const self: Effect.Effect<void> = Effect.suspend(() =>
      condition(this) ? Effect.void : Effect.andThen(
        Effect.callback<void>((resume) => {
          this.waiting.push(() => resume(Effect.void))
        }),
        self
      )
    )
    return self
  }
}

type Moment = "accepted" | "first byte" | "part of the head" | "head" | "part of the body" | "all"

const moments: { readonly [moment in Moment]: (witness: Witness) => boolean } = {
  accepted: () => true,
  "first byte": ({ head }) => head.length >= 1,
  "part of the head": ({ head }) => head.length >= 20,
  head: ({ head }) => head.endsWith("\r\n\r\n"),
  "part of the body": ({ bodyBytes }) => bodyBytes >= 1,
  all: ({ whole }) => whole
}

type Fault = "end" | "reset"

/** Reads HTTP/1.1 byte by byte, and breaks the connection at a moment; without a fault it falls silent then. */
const reader =
  (witness: Witness, moment: Moment, fault: Fault | undefined) => (socket: Net.Socket, raw: Net.Socket) => {
    const broken = () => {
      if (!moments[moment](witness)) return false
      if (fault === "reset") raw.resetAndDestroy()
      else if (fault === "end") socket.destroy()
      return fault !== undefined
    }
    socket.on("error", () => {})
    let text = ""
    if (broken()) return
    socket.on("data", (chunk: Buffer) => {
      for (const byte of chunk.toString("latin1")) {
        text += byte
        if (!witness.head.endsWith("\r\n\r\n")) witness.head = text
        else witness.bodyBytes++
        const length = /content-length: (\d+)/i.exec(witness.head)?.[1]
        witness.whole = witness.head.endsWith("\r\n\r\n") &&
          (length === undefined ? text.endsWith("0\r\n\r\n") : witness.bodyBytes >= Number(length))
        if (broken()) break
      }
      witness.read()
    })
  }

const listening = (server: Net.Server) => Effect.map(LocalServer.listen(server), ({ port }) => port)

interface Way {
  readonly url: string
  readonly options: Connections.Options
}

const tunnelTo = (port: number) =>
  Effect.map(
    listening(
      Http.createServer().on("connect", (_, socket: Net.Socket) => {
        const upstream = Net.connect(port, "127.0.0.1", () => {
          socket.write("HTTP/1.1 200 Connection Established\r\n\r\n")
          upstream.pipe(socket).pipe(upstream)
        })
        // What happens to one side happens to the other.
        upstream.on("error", () => socket.resetAndDestroy()).on("close", () => socket.destroy())
        socket.on("error", () => upstream.resetAndDestroy()).on("close", () => upstream.destroy())
      })
    ),
    (port) => ({ https: Redacted.make(`http://127.0.0.1:${port}`) })
  )

type Serve = (socket: Net.Socket, raw: Net.Socket) => void

const secure = (serve: Serve) =>
  Net.createServer((raw) => {
    const socket = new Tls.TLSSocket(raw, { isServer: true, cert: certificate, key })
    socket.on("error", () => {}).on("secure", () => serve(socket, raw))
  })

const ways = {
  plain: (serve: Serve) =>
    Effect.map(
      listening(Net.createServer((socket) => serve(socket, socket))),
      (port): Way => ({ url: `http://127.0.0.1:${port}/`, options: {} })
    ),
  TLS: (serve: Serve) =>
    Effect.map(
      listening(secure(serve)),
      (port): Way => ({ url: `https://127.0.0.1:${port}/`, options: { ca: [certificate] } })
    ),
  "a tunnel": (serve: Serve) =>
    Effect.gen(function*() {
      const port = yield* listening(secure(serve))
      const proxy = yield* tunnelTo(port)
      return { url: `https://127.0.0.1:${port}/`, options: { ca: [certificate], proxy } } satisfies Way
    })
}

const endless = (stream: Stream.Stream<Uint8Array>) => Stream.concat(stream, Stream.never)
const chunk = new Uint8Array(1_000)
const form = new FormData()
form.append("rows", "a,b")

const bodies: { readonly [name: string]: () => HttpBody.HttpBody } = {
  "no body": () => HttpBody.empty,
  bytes: () => HttpBody.uint8Array(new Uint8Array(100_000)),
  "a stream": () => HttpBody.stream(Stream.make(chunk, chunk), "text/csv", 2_000),
  "a stream of unknown length": () => HttpBody.stream(Stream.make(chunk, chunk), "text/csv"),
  "a form": () => HttpBody.formData(form),
  "a stream that has not begun": () => HttpBody.stream(Stream.never, "text/csv", 2_000),
  "a stream that stops half-way": () => HttpBody.stream(endless(Stream.make(chunk)), "text/csv", 2_000)
}

// Faults that do not involve TLS.
const plainOnly = new Set(["no body", "a stream of unknown length", "a form"])

const append: Operation.Operation = { name: "append", endpoint: "/", idempotent: false }
const operations = { "from its first byte": append, "when whole": { ...append, appliedWhenWhole: true } }

/** What a client says of a POST that failed. */
const claim = Effect.fnUntraced(function*(way: Way, operation: Operation.Operation, body: HttpBody.HttpBody) {
  const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient, { timeout: "1 minute" })
  const error = yield* Effect.flip(Operation.within(client.post(way.url, { body }), operation))
  return { unknown: error.reason._tag === "OutcomeUnknown", message: error.message }
})

const check = (
  { message, unknown }: { readonly unknown: boolean; readonly message: string },
  operation: Operation.Operation,
  witness: Witness,
  body: string
) => {
  const read = operation.appliedWhenWhole === true ? witness.whole : witness.head !== ""
  if (read) assert.isTrue(unknown, `the server has read it: ${message}`)
  const surelyNot = body === "a stream that has not begun" ||
    (body === "a stream that stops half-way" && operation.appliedWhenWhole === true)
  if (surelyNot) assert.isFalse(unknown, `it was not sent: ${message}`)
}

/** Sends, waits until something happened, and lets the attempt's time run out. */
const cutOff = Effect.fnUntraced(function*(way: Way, happened: Effect.Effect<void>) {
  const running = yield* Effect.forkChild(
    claim(way, append, HttpBody.uint8Array(chunk)).pipe(Effect.provide(Connections.layer(way.options))),
    { startImmediately: true }
  )
  yield* happened
  yield* TestClock.adjust("1 minute")
  return yield* Fiber.join(running)
})

const event = (emitter: Net.Server, name: string) => Effect.promise(() => once(emitter, name))

describe("a POST that never left, over real sockets", () => {
  it.effect("is known not to have been applied if its time ran out in a TLS handshake", () =>
    Effect.gen(function*() {
      const server = Net.createServer((socket) => socket.resume())
      const url = `https://127.0.0.1:${yield* listening(server)}/`
      const { message, unknown } = yield* cutOff({ url, options: {} }, Effect.asVoid(event(server, "connection")))
      assert.isFalse(unknown, message)
      assert.include(message, "got no connection")
    }))

  it.effect("is known not to have been applied if its time ran out while a proxy opened the tunnel", () =>
    Effect.gen(function*() {
      const proxy = Http.createServer()
      const asked = Effect.asVoid(event(proxy, "connect"))
      const https = Redacted.make(`127.0.0.1:${yield* listening(proxy)}`)
      const { message, unknown } = yield* cutOff({ url: "https://api.invalid/", options: { proxy: { https } } }, asked)
      assert.isFalse(unknown, message)
    }))

  it.effect("is known not to have been applied if its time ran out in the queue of the pool", () =>
    Effect.gen(function*() {
      const witness = new Witness()
      const { url } = yield* ways.plain(reader(witness, "all", undefined))
      yield* Effect.gen(function*() {
        yield* Effect.forkChild(HttpClient.post(url))
        yield* witness.until(({ whole }) => whole)
        const second = yield* Effect.forkChild(claim({ url, options: {} }, append, HttpBody.empty), {
          startImmediately: true
        })
        yield* TestClock.adjust("1 minute")
        const { message, unknown } = yield* Fiber.join(second)
        assert.isFalse(unknown, message)
      }).pipe(Effect.provide(Connections.layer({ connections: 1 })))
    }))

  for (const fault of ["end", "reset"] as const) {
    it.effect(`is known not to have been applied if the server drops the TLS handshake (${fault})`, () =>
      Effect.gen(function*() {
        const port = yield* listening(Net.createServer((socket) => {
          socket.once("data", () => fault === "end" ? socket.end() : socket.resetAndDestroy())
        }))
        const way: Way = { url: `https://127.0.0.1:${port}/`, options: {} }
        const { message, unknown } = yield* Effect.provide(claim(way, append, HttpBody.empty), Connections.layer())
        assert.isFalse(unknown, message)
        assert.include(message, "the connection broke")
      }))
  }
})

describe("a POST that fails over HTTP/2, over real sockets", () => {
  type Break = (stream: Http2.ServerHttp2Stream) => void
  const destroy: Break = (stream) => stream.session?.destroy()
  const cases: ReadonlyArray<
    readonly [name: string, moment: "head" | "data" | "end", fault: Break, processed: boolean]
  > = [
    ["breaks at the head", "head", destroy, true],
    ["breaks in the body", "data", destroy, true],
    ["breaks at the end", "end", destroy, true],
    ["resets the stream", "data", (stream) => stream.close(Http2.constants.NGHTTP2_INTERNAL_ERROR), true],
    ["rejects the stream", "head", (stream) => stream.close(Http2.constants.NGHTTP2_REFUSED_STREAM), false],
    ["goes away without having processed it", "head", (stream) => stream.session?.goaway(0, 1), false]
  ]
  for (const [name, moment, fault, processed] of cases) {
    for (const [when, operation] of Object.entries(operations)) {
      it.effect(`is judged by what the server may have read, if that ${name} (applied ${when})`, () =>
        Effect.gen(function*() {
          const server = Http2.createSecureServer({ cert: certificate, key })
          server.on("session", (session) => session.on("error", () => {}))
          server.on("stream", (stream, headers) => {
            stream.on("error", () => {})
            // The previous stream, which GOAWAY can name.
            if (headers[":method"] === "GET") return void stream.respond({ ":status": 200 }, { endStream: true })
            if (moment === "head") fault(stream)
            else stream.on(moment, () => fault(stream)).resume()
          })
          const url = `https://127.0.0.1:${yield* listening(server)}/`
          const options: Connections.Options = { ca: [certificate], http2: true }
          // Undici itself sends again what it can, once.
          const body = name.startsWith("rejects")
            ? HttpBody.uint8Array(chunk)
            : HttpBody.stream(
              moment === "end" ? Stream.make(chunk, chunk) : endless(Stream.make(chunk)),
              "text/csv",
              2_000
            )
          const { message, unknown } = yield* Effect.andThen(
            Effect.flatMap(HttpClient.get(url), ({ text }) => text),
            claim({ url, options }, operation, body)
          ).pipe(Effect.provide(Connections.layer(options)))
          assert.strictEqual(unknown, processed && (operation.appliedWhenWhole !== true || moment === "end"), message)
        }))
    }
  }
})

describe("a POST that fails, over real sockets", () => {
  const possible = (body: string, moment: Moment) =>
    !(body === "a stream that has not begun" && moment !== "accepted") &&
    !(body === "a stream that stops half-way" && moment === "all") &&
    !(body === "no body" && moment === "part of the body")

  for (const [name, way] of Object.entries(ways)) {
    for (const [when, operation] of Object.entries(operations)) {
      for (const [body, make] of Object.entries(bodies)) {
        if (name !== "plain" && plainOnly.has(body)) continue
        it.effect(`over ${name}, applied ${when}, with ${body}, is of unknown outcome if the server may have read it`, () =>
          Effect.gen(function*() {
            yield* TestClock.setTime(1_750_000_000_000)
            for (const moment of Object.keys(moments) as Array<Moment>) {
              if (!possible(body, moment)) continue
              for (const fault of ["end", "reset", undefined] as const) {
                const witness = new Witness()
                yield* Effect.gen(function*() {
                  const server = yield* way(reader(witness, moment, fault))
                  const running = yield* Effect.forkChild(
                    claim(server, operation, make()).pipe(Effect.provide(Connections.layer(server.options))),
                    { startImmediately: true }
                  )
                  if (fault === undefined) {
                    yield* witness.until(moments[moment])
                    yield* TestClock.adjust("1 minute")
                  }
                  check(yield* Fiber.join(running), operation, witness, body)
                }).pipe(
                  Effect.scoped,
                  Effect.onExit((exit) =>
                    Exit.isFailure(exit)
                      ? Effect.sync(() => console.error(`${body}, ${fault ?? "silence"} at: ${moment}`))
                      : Effect.void
                  )
                )
              }
            }
          }))
      }
    }
  }
})
