import { RawHttp } from "@effect-resilience/chaos"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import * as RawServer from "@effect-resilience/chaos/RawServer"
import * as Transport from "@effect-resilience/errors/Transport"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Random, Scope, Stream } from "effect"
import { Cookies, HttpBody, HttpClient, HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import * as diagnostics from "node:diagnostics_channel"
import { once } from "node:events"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import { certificate, key } from "./loopbackCertificate.ts"

/** The address of a server that runs for the test. */
const serve = (server: Net.Server) => Effect.map(LocalServer.listen(server), ({ url }) => url)

/** Runs with a server that responds to each request in this way, and with a client. */
const talking = <A, E>(
  respond: (request: Http.IncomingMessage, response: Http.ServerResponse) => void,
  talk: (url: string, server: Http.Server) => Effect.Effect<A, E, HttpClient.HttpClient | Scope.Scope>,
  options?: Connections.Options
) => {
  const server = Http.createServer(respond)
  return Effect.flatMap(serve(server), (url) => talk(url, server)).pipe(
    Effect.provide(Connections.layer(options)),
    Effect.scoped
  )
}

v8.setFlagsFromString("--expose_gc")
const collect: () => void = vm.runInNewContext("gc")

const reasonOf = <A, E>(exit: Exit.Exit<A, E>) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return HttpClientError.isHttpClientError(error) ? error.reason : error
}

const causeOf = <A, E>(exit: Exit.Exit<A, E>) => {
  const reason = reasonOf(exit)
  return reason !== undefined && reason !== null && typeof reason === "object" && "cause" in reason
    ? reason.cause
    : undefined
}

describe("an exchange", () => {
  it.live("reads a response in every way, any number of times", () =>
    talking(
      (_, response) => response.end(`{"greeting":"grüß dich"}`),
      (url) =>
        Effect.gen(function*() {
          const response = yield* HttpClient.get(`${url}/a?b=c#d`)
          assert.strictEqual(response.status, 200)
          assert.strictEqual(response.url, `${url}/a?b=c`)
          assert.strictEqual(yield* response.text, `{"greeting":"grüß dich"}`)
          assert.deepStrictEqual(yield* response.json, { greeting: "grüß dich" })
          assert.strictEqual((yield* response.arrayBuffer).byteLength, 26)
          const pieces = yield* Stream.runCollect(Stream.decodeText(response.stream))
          assert.strictEqual(pieces.join(""), `{"greeting":"grüß dich"}`)
          const [one, two] = yield* Effect.all([response.text, response.text], { concurrency: 2 })
          assert.strictEqual(one, two)
        })
    ))

  it.live("lets two callers read the whole of a response that is still arriving", () =>
    talking(
      (_, response) => {
        response.write("first ")
        setImmediate(() => response.end("last"))
      },
      (url) =>
        Effect.gen(function*() {
          const response = yield* HttpClient.get(url)
          const texts = yield* Effect.all([response.text, response.text], { concurrency: 2 })
          assert.deepStrictEqual(texts, ["first last", "first last"])
        })
    ))

  it.live("reads on in a response as soon as the next one has come, which happens inside of undici's parser", () =>
    talking(
      (request, response) => {
        if (request.url === "/large") return void response.end(Buffer.alloc(1_000_000))
        // By then what is read ahead of the large one has arrived, and undici has stopped reading it.
        let turns = 200
        const wait = (): unknown => turns-- > 0 ? setImmediate(wait) : response.end("next")
        wait()
      },
      (url) =>
        Effect.gen(function*() {
          for (
            const read of [
              ({ arrayBuffer }: HttpClientResponse.HttpClientResponse) =>
                Effect.map(arrayBuffer, (all) => all.byteLength),
              ({ stream }: HttpClientResponse.HttpClientResponse) =>
                Stream.runFold(stream, () => 0, (size, chunk) => size + chunk.length)
            ]
          ) {
            const large = yield* HttpClient.get(`${url}/large`)
            const next = yield* HttpClient.get(`${url}/next`)
            assert.strictEqual(yield* read(large), 1_000_000)
            assert.strictEqual(yield* next.text, "next")
          }
        })
    ))

  it.live("gives each reader all bytes, whatever is begun, read and left in between", () =>
    talking(
      (request, response) => response.end(Buffer.alloc(Number(request.url?.slice(1)))),
      (url) => {
        const program = Effect.gen(function*() {
          const held: Array<{ readonly size: number; readonly response: HttpClientResponse.HttpClientResponse }> = []
          for (let step = 0; step < 40; step++) {
            // More would wait for a connection.
            const next = held.length < 4 ? yield* Random.nextIntBetween(0, 6) : yield* Random.nextIntBetween(3, 6)
            if (next < 3) {
              const size = [10, 70_000, 400_000][next] ?? 0
              held.push({ size, response: yield* HttpClient.get(`${url}/${size}`) })
              continue
            }
            const [chosen] = held.splice(yield* Random.nextIntBetween(0, Math.max(1, held.length)), 1)
            if (chosen === undefined) continue
            const { response: { arrayBuffer, stream }, size } = chosen
            if (next === 3) {
              yield* Effect.forkChild(arrayBuffer, { startImmediately: true }).pipe(Effect.flatMap(Fiber.interrupt))
            } else if (next === 4) assert.strictEqual((yield* arrayBuffer).byteLength, size)
            else {
              const read = yield* Stream.runFold(stream, () => 0, (sum, { length }) => sum + length)
              assert.strictEqual(read, size)
            }
          }
          yield* Effect.forEach(held, ({ response: { arrayBuffer } }) => arrayBuffer)
        })
        return Effect.forEach(Array.from({ length: 5 }, (_, seed) => seed), (seed) =>
          Effect.catchCause(Random.withSeed(program, seed), (cause) =>
            Effect.die(`seed ${seed}: ${Cause.pretty(cause)}`)))
      },
      { connections: 4 }
    ))

  it.live("reads forms", () =>
    talking(
      (request, response) => {
        if (request.url === "/query") return void response.end("a=1&b=2")
        response.setHeader("content-type", "multipart/form-data; boundary=x")
        response.end(`--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n`)
      },
      (url) =>
        Effect.gen(function*() {
          const query = yield* (yield* HttpClient.get(`${url}/query`)).urlParamsBody
          assert.deepStrictEqual(query.params, [["a", "1"], ["b", "2"]])
          const form = yield* (yield* HttpClient.get(`${url}/form`)).formData
          assert.strictEqual(form.get("a"), "1")
        })
    ))

  it.live("says that a body was already read", () =>
    talking(
      (_, response) => response.end("once"),
      (url) =>
        Effect.gen(function*() {
          const response = yield* HttpClient.get(url)
          yield* Stream.runDrain(response.stream)
          for (const again of [Effect.exit(response.text), Effect.exit(Stream.runDrain(response.stream))]) {
            const exit: Exit.Exit<unknown, unknown> = yield* again
            assert.deepInclude(reasonOf(exit), { _tag: "DecodeError" })
            assert.match(String(causeOf(exit)), /already read/)
          }
        })
    ))

  it.live("has the headers and the cookies, also if a name comes twice", () =>
    talking(
      (_, response) => {
        response.setHeader("Set-Cookie", ["a=1", "b=2; Path=/"])
        response.setHeader("X-Twice", ["one", "two"])
        response.end()
      },
      (url) =>
        Effect.gen(function*() {
          const response = yield* HttpClient.get(url)
          assert.strictEqual(response.headers["x-twice"], "one, two")
          assert.deepStrictEqual(Cookies.toRecord(response.cookies), { a: "1", b: "2" })
          assert.deepInclude(response.toJSON(), { status: 200 })
        })
    ))

  it.live("waits for the response that an interim one announces", () =>
    talking(
      (_, response) => {
        response.writeEarlyHints({ link: "</style.css>; rel=preload" })
        response.statusCode = 201
        response.end("made")
      },
      (url) =>
        Effect.gen(function*() {
          const response = yield* HttpClient.post(url)
          assert.strictEqual(response.status, 201)
          assert.strictEqual(yield* response.text, "made")
        })
    ))

  it.live("knows responses without a body", () =>
    talking(
      (_, response) => {
        response.statusCode = 204
        response.end()
      },
      (url) =>
        Effect.gen(function*() {
          const head = yield* HttpClient.head(url)
          assert.strictEqual(yield* head.text, "")
          const response = yield* HttpClient.get(url)
          assert.strictEqual(yield* response.json, null)
          assert.deepStrictEqual(yield* Stream.runCollect(response.stream), [])
        })
    ))

  it.live("takes in no more of a response than is read", () => {
    let written = 0
    return talking(
      (_, response) => {
        const chunk = Buffer.alloc(65_536, "x")
        const more = () => {
          while (written < 64 << 20) {
            written += chunk.length
            if (!response.write(chunk)) return
          }
          response.end()
        }
        response.on("drain", more)
        more()
      },
      (url) =>
        Effect.gen(function*() {
          const response = yield* HttpClient.get(url)
          // Until the server has found no room for a whole round of other requests.
          let before = -1
          while (before !== written) {
            before = written
            for (let i = 0; i < 20; i++) yield* HttpClient.get("http://127.0.0.1:1/").pipe(Effect.ignore)
          }
          assert.isBelow(written, 32 << 20)
          const size = yield* Stream.runFold(response.stream, () => 0, (size, chunk) => size + chunk.length)
          assert.strictEqual(size, 64 << 20)
        })
    )
  })

  it.live("gives a waiting reader at once what was read from the socket at once", () => {
    let respond = () => {}
    return talking(
      (_, response) => {
        response.flushHeaders()
        respond = () => {
          response.socket?.write("5\r\nchunk\r\n".repeat(100))
          response.end()
        }
      },
      (url) =>
        Effect.gen(function*() {
          const response = yield* HttpClient.get(url)
          const rounds: Array<number> = []
          const reading = yield* Effect.forkChild(
            Stream.runForEachArray(response.stream, (pieces) => Effect.sync(() => rounds.push(pieces.length))),
            { startImmediately: true }
          )
          respond()
          yield* Fiber.join(reading)
          assert.strictEqual(rounds.reduce((sum, pieces) => sum + pieces, 0), 100)
          assert.isBelow(rounds.length, 10)
        })
    )
  })

  it.live("gives the connection up when it is interrupted, before the headers and after them", () => {
    const closed: Array<Promise<unknown>> = []
    const asked: Array<() => void> = []
    return talking(
      (request, response) => {
        closed.push(once(response, "close"))
        if (request.url === "/half") response.write("half")
        asked.shift()?.()
      },
      (url) =>
        Effect.gen(function*() {
          const arrives = Effect.callback<void>((resume) => {
            asked.push(() => resume(Effect.void))
          })
          const waiting = yield* Effect.forkChild(HttpClient.get(url), { startImmediately: true })
          yield* arrives
          yield* Fiber.interrupt(waiting)
          const half = yield* HttpClient.get(`${url}/half`)
          const reading = yield* Effect.forkChild(half.text, { startImmediately: true })
          yield* Fiber.interrupt(reading)
          const third = yield* HttpClient.get(`${url}/half`)
          assert.strictEqual(
            (yield* third.stream.pipe(Stream.decodeText, Stream.take(1), Stream.runCollect)).join(""),
            "half"
          )
          assert.lengthOf(closed, 3)
          yield* Effect.promise(() => Promise.all(closed))
        })
    )
  })

  it.live("sends one trace context if an instrumentation of undici adds its own", () => {
    let seen: ReadonlyArray<string> = []
    return talking(
      (request, response) => {
        seen = request.headersDistinct["traceparent"] ?? []
        response.end()
      },
      (url) =>
        Effect.gen(function*() {
          const theirs = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`
          const instrument = (message: unknown) => {
            const { request } = message as { request: { addHeader: (name: string, value: string) => void } }
            request.addHeader("traceparent", theirs)
          }
          yield* Effect.acquireRelease(
            Effect.sync(() => diagnostics.subscribe("undici:request:create", instrument)),
            () => Effect.sync(() => diagnostics.unsubscribe("undici:request:create", instrument))
          )
          yield* HttpClient.get(url).pipe(Effect.withSpan("caller"))
          assert.deepStrictEqual(seen, [theirs])
        })
    )
  })

  it.live("fails if the connection is reset during a response that lasts until its end", () =>
    Effect.gen(function*() {
      const { url } = yield* RawServer.make((connection) =>
        connection.receive.pipe(
          Effect.andThen(connection.send(RawHttp.response({ contentLength: "none", body: "x".repeat(300_000) }))),
          Effect.andThen(connection.reset)
        )
      )
      const response = yield* HttpClient.get(url)
      const failure = yield* Effect.flip(Effect.map(response.arrayBuffer, ({ byteLength }) => byteLength))
      const { code, kind } = Transport.diagnose(failure.reason.cause)
      assert.deepStrictEqual([kind, code], ["reset", "ECONNRESET"])
    }).pipe(Effect.provide(Connections.layer()), Effect.scoped))

  it.live("gives the connection up when the response can no longer be read", () => {
    let closed: Promise<unknown> | undefined
    return talking(
      (_, response) => {
        closed = once(response, "close")
        response.write("half")
      },
      (url) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* Effect.map(HttpClient.get(url), ({ status }) => status), 200)
          const collecting = Effect.andThen(Effect.sync(collect), Effect.yieldNow).pipe(Effect.forever)
          yield* Effect.raceFirst(
            Effect.promise(() => closed ?? Promise.reject(new Error("no request came"))),
            collecting
          )
        })
    )
  })

  it.live("ends with the scope that it was given", () => {
    let closed: Promise<unknown> | undefined
    return talking(
      (_, response) => {
        closed = once(response, "close")
        response.write("half")
      },
      (url) =>
        Effect.gen(function*() {
          const client = HttpClient.withScope(yield* HttpClient.HttpClient)
          const response = yield* Effect.scoped(client.get(url))
          const exit = yield* Effect.exit(response.text)
          assert.deepInclude(reasonOf(exit), { _tag: "DecodeError" })
          assert.deepInclude(causeOf(exit), { code: "UND_ERR_ABORTED" })
          yield* Effect.promise(() => closed ?? Promise.reject(new Error("no request came")))
        })
    )
  })

  it.live("sends nothing in a scope that is closed already", () => {
    let asked = 0
    return talking(
      () => asked++,
      (url) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          yield* Scope.close(scope, Exit.void)
          const client = HttpClient.withScope(yield* HttpClient.HttpClient)
          const exit = yield* Effect.exit(Scope.provide(client.post(url), scope))
          assert.deepInclude(reasonOf(exit), { _tag: "TransportError" })
          assert.strictEqual(asked, 0)
        })
    )
  })

  it.live("gives up streamed requests over HTTP/2, rejected or interrupted, without a stray error", () =>
    Effect.gen(function*() {
      const server = Http2.createSecureServer(
        { cert: certificate, key },
        (request, response) => request.on("end", () => response.end(`over ${request.httpVersion}`)).resume()
      )
      const { port } = yield* LocalServer.listen(server)
      const ended: Array<string> = []
      const post = (name: string, headers: { readonly [name: string]: string } = {}) =>
        HttpClient.post(`https://127.0.0.1:${port}/`, {
          headers,
          body: HttpBody.stream(
            Stream.make(new Uint8Array(100_000)).pipe(
              Stream.concat(name === "whole" ? Stream.empty : Stream.never),
              Stream.ensuring(Effect.sync(() => ended.push(name)))
            ),
            "application/octet-stream"
          )
        }).pipe(Effect.flatMap(({ text }) => text))
      yield* Effect.gen(function*() {
        for (const name of ["connecting", "queued"]) {
          const running = yield* Effect.forkChild(post(name), { startImmediately: true })
          yield* Fiber.interrupt(running)
          assert.strictEqual(yield* post("whole"), "over 2.0")
        }
        const rejected = yield* Effect.exit(post("rejected", { te: "gzip" }))
        assert.deepInclude(reasonOf(rejected), { _tag: "TransportError" })
        assert.strictEqual(yield* post("whole"), "over 2.0")
      }).pipe(Effect.provide(Connections.layer({ ca: [certificate], connections: 1, http2: true })))
      assert.lengthOf(ended.filter((name) => name === "whole"), 3)
    }).pipe(Effect.scoped))

  it.live("says which response's form cannot be read", () =>
    talking(
      (_, response) => {
        response.writeHead(422, { "content-type": "text/plain" }).end("no form")
      },
      (url) =>
        Effect.gen(function*() {
          const exit = yield* Effect.exit(Effect.flatMap(HttpClient.get(url), ({ formData }) => formData))
          const reason = reasonOf(exit)
          assert.deepInclude(reason, { _tag: "DecodeError" })
          assert.nestedPropertyVal(reason, "response.status", 422)
        })
    ))

  it.live("reports when a connection breaks, before the headers and after them", () =>
    talking(
      (request, response) => {
        if (request.url === "/early") return void response.destroy()
        response.setHeader("content-length", 10)
        response.write("half", () => response.destroy())
      },
      (url) =>
        Effect.gen(function*() {
          const early = yield* Effect.exit(HttpClient.get(`${url}/early`))
          assert.deepInclude(reasonOf(early), { _tag: "TransportError" })
          assert.deepInclude(causeOf(early), { code: "UND_ERR_SOCKET" })
          const read = (f: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>) =>
            Effect.exit(Effect.flatMap(HttpClient.get(url), f))
          for (const exit of [yield* read(({ text }) => text), yield* read(({ stream }) => Stream.runDrain(stream))]) {
            assert.deepInclude(reasonOf(exit), { _tag: "DecodeError" })
            assert.deepInclude(causeOf(exit), { code: "UND_ERR_SOCKET" })
          }
        })
    ))

  it.live("does not send a request that was given up while it waited for a connection", () => {
    const asked: Array<string | undefined> = []
    let release: (() => void) | undefined
    return talking(
      (request, response) => {
        asked.push(request.url)
        if (request.url === "/first") release = () => response.end("first")
        else response.end("third")
      },
      (url) =>
        Effect.gen(function*() {
          const text = (path: string) => Effect.flatMap(HttpClient.get(url + path), (response) => response.text)
          const first = yield* Effect.forkChild(text("/first"), { startImmediately: true })
          const second = yield* Effect.forkChild(text("/second"), { startImmediately: true })
          const third = yield* Effect.forkChild(text("/third"), { startImmediately: true })
          while (release === undefined) yield* Effect.yieldNow
          yield* Fiber.interrupt(second)
          release()
          assert.strictEqual(yield* Fiber.join(first), "first")
          assert.strictEqual(yield* Fiber.join(third), "third")
          assert.deepStrictEqual(asked, ["/first", "/third"])
        }),
      { connections: 1 }
    )
  })

  it.live("fails if undici rejects the request", () =>
    talking(
      (_, response) => response.end(),
      (url) =>
        Effect.gen(function*() {
          const exit = yield* Effect.exit(
            HttpClient.execute(HttpClientRequest.get(url, { headers: { "x-bad": "line\nbreak" } }))
          )
          assert.deepInclude(reasonOf(exit), { _tag: "TransportError" })
          assert.deepInclude(causeOf(exit), { code: "UND_ERR_INVALID_ARG" })
        })
    ))

  it.live("leaves forms and upgrades to the platform's client", () => {
    const server = Http.createServer(async (request, response) => {
      const chunks: Array<Buffer> = []
      for await (const chunk of request) chunks.push(chunk)
      response.end(`${request.headers["content-type"]?.slice(0, 19)} ${Buffer.concat(chunks).includes(`name="a"`)}`)
    }).on("upgrade", (_, socket: Net.Socket) => {
      socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    })
    return Effect.gen(function*() {
      const url = yield* serve(server)
      const form = new FormData()
      form.append("a", "1")
      const sent = yield* HttpClient.post(url, { body: HttpBody.formData(form) })
      assert.strictEqual(yield* sent.text, "multipart/form-data true")
      const upgraded = yield* HttpClient.withScope(yield* HttpClient.HttpClient).execute(
        HttpClientRequest.get(url, { headers: { upgrade: "echo", connection: "upgrade" } })
      )
      assert.strictEqual(upgraded.status, 101)
      const plain = yield* HttpClient.get(url)
      assert.deepInclude(reasonOf(yield* Effect.exit(plain.upgrade)), { _tag: "StatusCodeError" })
    }).pipe(Effect.scoped, Effect.provide(Connections.layer()))
  })
})
