import * as BlackHole from "@effect-resilience/chaos/BlackHole"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { NotAsked, Transport } from "@effect-resilience/errors"
import { ResponseBody, SendProgress } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Fiber, Layer, Redacted, Schema, Scope, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientError } from "effect/http"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import type * as Net from "node:net"
import { closedPort, unresolvable } from "../../chaos/test/nowhere.ts"
import * as NoProxy from "../src/internal/noProxy.ts"
import { certificate, key } from "./loopbackCertificate.ts"

/** The port of a server that runs for the test. */
const listen = (server: Net.Server, host?: string) =>
  Effect.map(LocalServer.listen(server, { host }), ({ port }) => port)

const get = (url: string, options?: Connections.Options) =>
  HttpClient.get(url).pipe(
    Effect.flatMap((response) => response.text),
    Effect.provide(Connections.layer(options))
  )

const diagnosis = <A, E>(exit: Exit.Exit<A, E>) => {
  const error = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  const failure = error !== undefined && error._tag === "Fail" ? error.error : undefined
  return HttpClientError.isHttpClientError(failure) ? Transport.diagnose(failure.reason.cause) : failure
}

const greeting = Http.createServer((_, response) => response.end("hello"))

describe("Connections", () => {
  it.effect("is marked as a transport that says how far each request came", () =>
    Effect.gen(function*() {
      assert.isTrue(SendProgress.isReporting(yield* HttpClient.HttpClient))
    }).pipe(Effect.provide(Connections.layer())))

  it.live("speaks IPv6", () =>
    Effect.gen(function*() {
      const port = yield* listen(Http.createServer((_, response) => response.end("six")), "::1")
      assert.strictEqual(yield* get(`http://[::1]:${port}/`), "six")
    }).pipe(Effect.scoped))

  it.live("bounds the wait for the response and for each piece of it", () =>
    Effect.gen(function*() {
      const port = yield* listen(Http.createServer((request, response) => {
        if (request.url === "/half") response.write("half")
      }))
      const silent = yield* Effect.exit(get(`http://127.0.0.1:${port}/`, { headersTimeout: 100 }))
      assert.deepInclude(diagnosis(silent), { kind: "stalled", code: "UND_ERR_HEADERS_TIMEOUT" })
      const half = yield* Effect.exit(get(`http://127.0.0.1:${port}/half`, { bodyTimeout: 100 }))
      assert.deepInclude(diagnosis(half), { kind: "stalled", code: "UND_ERR_BODY_TIMEOUT" })
    }).pipe(Effect.scoped))

  it.live("opens no more sockets per origin than allowed", () =>
    Effect.gen(function*() {
      let open = 0
      let most = 0
      const server = Http.createServer((_, response) => {
        setImmediate(() => response.end("ok"))
      })
      server.on("connection", (socket) => {
        most = Math.max(most, ++open)
        socket.on("close", () => open--)
      })
      const port = yield* listen(server)
      yield* Effect.forEach(
        Array.from({ length: 50 }),
        () => Effect.flatMap(HttpClient.get(`http://127.0.0.1:${port}/`), (response) => response.text),
        { concurrency: "unbounded" }
      ).pipe(Effect.provide(Connections.layer({ connections: 3 })))
      assert.strictEqual(most, 3)
    }).pipe(Effect.scoped))

  it.live("uses the proxy, except for the hosts that need none", () =>
    Effect.gen(function*() {
      const proxied: Array<string> = []
      const proxy = Http.createServer((request, response) => {
        proxied.push(`${String(request.headers["proxy-authorization"])} ${String(request.url)}`)
        response.end("by proxy")
      })
      const proxyPort = yield* listen(proxy)
      const port = yield* listen(greeting)
      const http = Redacted.make(`http://me:pw@127.0.0.1:${proxyPort}`)
      assert.strictEqual(yield* get(`http://api.invalid/x`, { proxy: { http } }), "by proxy")
      assert.deepStrictEqual(proxied, [`Basic ${btoa("me:pw")} http://api.invalid/x`])
      assert.strictEqual(yield* get(`http://127.0.0.1:${port}/`, { proxy: { http, noProxy: "127.0.0.1" } }), "hello")
      assert.lengthOf(proxied, 1)
    }).pipe(Effect.scoped))

  it.live("decodes the proxy's user and password, in which a percent sign may stand for itself, and adds a missing scheme", () =>
    Effect.gen(function*() {
      let credentials = ""
      const server = Http.createServer((request, response) => {
        credentials = atob(String(request.headers["proxy-authorization"]).slice(6))
        response.end("by proxy")
      })
      server.on("connect", (request, socket) => {
        credentials = atob(String(request.headers["proxy-authorization"]).slice(6))
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n")
      })
      const port = yield* listen(server)
      const cases = [
        ["user:p%40ss%3Aw%2F%25", "user:p@ss:w/%"],
        ["DOMAIN%5Cuser:p", "DOMAIN\\user:p"],
        ["user:100%", "user:100%"],
        ["user:%ff%41", "user:%ff%41"]
      ]
      for (const [written, meant] of cases) {
        for (const scheme of ["http://", ""]) {
          const proxy = Redacted.make(`${scheme}${written}@127.0.0.1:${port}\n`)
          for (const url of ["http://api.invalid/", "https://api.invalid/"]) {
            credentials = ""
            yield* Effect.exit(get(url, { proxy: { http: proxy, https: proxy } }))
            assert.strictEqual(credentials, meant)
          }
        }
      }
    }).pipe(Effect.scoped))

  it.live("connects directly over https if the proxy is for http only", () =>
    Effect.gen(function*() {
      const proxied: Array<string> = []
      const proxy = Http.createServer().on("connect", (request, socket) => {
        proxied.push(String(request.url))
        socket.end()
      })
      const http = Redacted.make(`http://127.0.0.1:${yield* listen(proxy)}`)
      yield* Effect.exit(get("https://127.0.0.1:1/", { proxy: { http } }))
      assert.deepStrictEqual(proxied, [])
    }).pipe(Effect.scoped))

  const exempt: ReadonlyArray<readonly [noProxy: string, url: string, direct: boolean]> = [
    ["*", "http://a.example/", true],
    ["127.0.0.0/8", "http://127.1.2.3/", true],
    ["10.0.0.0/8", "http://127.0.0.1/", false],
    ["10.0.0.0/33, fd00::/8", "http://[fd12::1]/", true],
    ["fd00::/8", "http://[fe00::1]/", false],
    ["127.0.0.1", "http://127.0.0.1/", true],
    ["127.0.0.1:8080", "http://127.0.0.1:8080/", true],
    ["127.0.0.1:1", "http://127.0.0.1/", false],
    ["[::1]:80", "http://[::1]/", true],
    ["::1", "http://[0:0:0:0:0:0:0:1]:8080/", true],
    ["*.0.0.1", "http://127.0.0.1/", true],
    ["corp.example", "http://api.corp.example/", true],
    ["corp.example", "http://evilcorp.example/", false],
    [".corp.example", "http://corp.example/", true],
    ["*.corp.example", "http://corp.example/", false],
    ["*.corp.example", "http://api.corp.example/", true],
    ["foo, LocalHost. , bar", "http://LOCALHOST/", true],
    ["api.example:443", "https://api.example/", true],
    ["", "http://a.example/", false]
  ]
  for (const [noProxy, url, direct] of exempt) {
    it(`reaches ${url} ${direct ? "directly" : "by proxy"} if NO_PROXY is "${noProxy}"`, () => {
      assert.strictEqual(NoProxy.parse(noProxy)(new URL(url)), direct)
    })
  }

  for (const http2 of [false, true]) {
    it.live(`takes the connection of a response that is not read if another request waits for one (http2: ${http2})`, () =>
      Effect.gen(function*() {
        let opened = 0
        const server = Http.createServer((_, response) => response.end(Buffer.alloc(1_000_000)))
        server.on("connection", () => opened++)
        const url = `http://127.0.0.1:${yield* listen(server)}/`
        const client = yield* HttpClient.HttpClient
        const unread = [yield* client.get(url), yield* client.get(url)]
        const third = yield* client.get(url)
        assert.strictEqual(opened, 3)
        // Whichever has filled first what is read ahead: it takes one of them, and leaves the other.
        const [kept, taken] = yield* Effect.partition(
          unread,
          (response) =>
            Effect.mapBoth(response.arrayBuffer, {
              onSuccess: ({ byteLength }) => byteLength,
              onFailure: () => response
            })
        )
        assert.deepStrictEqual(kept, [1_000_000])
        const [failure] = yield* Effect.forEach(taken, ({ arrayBuffer }) => Effect.flip(arrayBuffer))
        assert.match(String(failure?.reason.cause), /was not read/)
        const late = yield* Effect.flip(
          Effect.forEach(taken, (response) => ResponseBody.json(response, Schema.Unknown))
        )
        assert.include(late.message, "read or cancel each response's body")
        assert.isFalse(NotAsked.isNotAsked(late))
        assert.strictEqual((yield* third.arrayBuffer).byteLength, 1_000_000)
      }).pipe(Effect.provide(Connections.layer({ connections: 2, http2 })), Effect.scoped))
  }

  it.live("does so for requests to several servers, which share the connections to their proxy", () =>
    Effect.gen(function*() {
      const proxy = Http.createServer((_, response) => response.end(Buffer.alloc(1_000_000)))
      const http = Redacted.make(`http://127.0.0.1:${yield* listen(proxy)}`)
      const sizes = Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const unread = yield* client.get("http://one.invalid/")
        const { arrayBuffer } = yield* client.get("http://other.invalid/")
        return [yield* Effect.exit(unread.arrayBuffer), (yield* arrayBuffer).byteLength] as const
      })
      const options = { connections: 1, poolTimeout: "5 seconds", proxy: { http } } as const
      const [unread, size] = yield* Effect.provide(sizes, Connections.layer(options))
      assert.isTrue(Exit.isFailure(unread))
      assert.strictEqual(size, 1_000_000)
    }).pipe(Effect.scoped))

  it.live("leaves the connection to a response that is being read, however slowly", () =>
    Effect.gen(function*() {
      const server = Http.createServer((_, response) => response.end(Buffer.alloc(1_000_000)))
      const url = `http://127.0.0.1:${yield* listen(server)}/`
      const client = yield* HttpClient.HttpClient
      const response = yield* client.get(url)
      const size = yield* Stream.runFoldEffect(response.stream, () => 0, (size, chunk) =>
        // Meanwhile another request waits without success.
        size > 0
          ? Effect.succeed(size + chunk.length)
          : Effect.as(Effect.flip(client.get(url)), chunk.length))
      assert.strictEqual(size, 1_000_000)
    }).pipe(Effect.provide(Connections.layer({ connections: 1, poolTimeout: "2 seconds" })), Effect.scoped))

  it.live("stops connecting when its time is up, and not a second later", () =>
    Effect.gen(function*() {
      const hole = yield* BlackHole.make
      const lateness = Effect.fnUntraced(function*(connectTimeout: number) {
        const begun = performance.now()
        const exit = yield* Effect.exit(get(`http://${hole.host}:${hole.port}/`, { connectTimeout }))
        assert.deepInclude(diagnosis(exit), { kind: "connectTimeout", connected: false })
        return performance.now() - begun - connectTimeout
      })
      for (const connectTimeout of [50, 700]) {
        // A busy machine makes one late, and not each of ten.
        const late = yield* Effect.repeat(lateness(connectTimeout), { times: 9, while: (late) => late >= 400 })
        assert.isAtLeast(late, -2)
        assert.isBelow(late, 400)
      }
    }).pipe(Effect.scoped))

  it.live("ends what is still connecting with its scope", () =>
    Effect.gen(function*() {
      const hole = yield* BlackHole.make
      const connecting = () => process.getActiveResourcesInfo().filter((resource) => resource === "ConnectWrap").length
      const client = Effect.flatMap(HttpClient.HttpClient, (client) => client.get(`http://${hole.host}:${hole.port}/`))
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Connections.layer(), scope)
      const fiber = yield* Effect.forkChild(Effect.provide(client, context), { startImmediately: true })
      yield* Effect.sleep("20 millis")
      // The black hole has connections of its own, which stay.
      const before = connecting()
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.deepInclude(Transport.diagnose(error), { kind: "closed", connected: false, reached: "nothing" })
      assert.isTrue(NotAsked.isNotAsked(error))
      yield* Effect.sleep("20 millis")
      assert.strictEqual(connecting(), before - 1)
    }).pipe(Effect.scoped))

  it.live("speaks HTTP/1.1 unless HTTP/2 is set", () =>
    Effect.gen(function*() {
      const port = yield* listen(
        Http2.createSecureServer({ cert: certificate, key, allowHTTP1: true }, (request, response) => {
          response.end(request.httpVersion)
        })
      )
      const url = `https://127.0.0.1:${port}/`
      assert.strictEqual(yield* get(url, { ca: [certificate] }), "1.1")
      assert.strictEqual(yield* get(url, { ca: certificate }), "1.1")
      assert.strictEqual(yield* get(url, { ca: [certificate], http2: true }), "2.0")
    }).pipe(Effect.scoped))

  it.live("end quietly after requests over HTTP/2 were interrupted, however far each had come", () =>
    Effect.gen(function*() {
      const server = Http2.createSecureServer({ cert: certificate, key })
      server.on("stream", (stream, { ":path": path }) => {
        stream.on("error", () => {})
        stream.resume()
        if (path === "/silent") return
        stream.respond({ ":status": 200 })
        if (path === "/half") stream.write("x".repeat(100_000))
        else stream.end("ok")
      })
      const url = `https://127.0.0.1:${yield* listen(server)}`
      const uncaught: Array<unknown> = []
      const catchIt = (error: unknown) => uncaught.push(error)
      process.on("uncaughtException", catchIt)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.off("uncaughtException", catchIt)))
      const calls = Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const once = (path: string) => Effect.flatMap(client.get(`${url}${path}`), ({ text }) => text)
        for (let i = 0; i < 60; i++) {
          const call = yield* Effect.forkChild(once(["/silent", "/half", "/whole"][i % 3] ?? ""))
          for (let turns = 0; turns < i; turns++) yield* Effect.yieldNow
          if (i % 4 === 0) yield* once("/whole")
          yield* Fiber.interrupt(call)
        }
        return yield* once("/whole")
      })
      assert.strictEqual(yield* Effect.provide(calls, Connections.layer({ ca: [certificate], http2: true })), "ok")
      assert.deepStrictEqual(uncaught, [])
    }).pipe(Effect.scoped))

  it.live("looks a name up anew for connections of a certain age, although they are busy", () =>
    Effect.gen(function*() {
      let opened = 0
      const server = Http.createServer((_, response) => response.end("ok"))
      server.on("connection", () => opened++)
      const url = `http://127.0.0.1:${yield* listen(server)}/`
      const client = yield* HttpClient.HttpClient
      const once = Effect.flatMap(client.get(url), ({ text }) => text)
      while (opened < 3) yield* once
    }).pipe(Effect.provide(Connections.layer({ maxAge: "20 millis" })), Effect.scoped))

  it.live("tunnels TLS through the proxy for https", () =>
    Effect.gen(function*() {
      const tunnels: Array<string> = []
      const proxy = Http.createServer()
      proxy.on("connect", (request, socket) => {
        tunnels.push(String(request.url))
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n")
      })
      const port = yield* listen(proxy)
      const https = Redacted.make(`http://127.0.0.1:${port}`)
      yield* Effect.exit(get("https://api.invalid/", { proxy: { https } }))
      assert.deepStrictEqual(tunnels, ["api.invalid:443"])
    }).pipe(Effect.scoped))

  it.live("maps refused connections and unknown hosts", () =>
    Effect.gen(function*() {
      const unreachable = yield* Effect.exit(get(`http://127.0.0.1:${closedPort}/`))
      assert.deepInclude(diagnosis(unreachable), { kind: "refused", connected: false })
      const unknown = yield* Effect.exit(get(`http://${unresolvable}/`))
      assert.deepInclude(diagnosis(unknown), { kind: "dns", connected: false })
    }))

  it.live("fails with the error of a streamed body, and shows the body as the stream that it was", () =>
    Effect.gen(function*() {
      const port = yield* listen(Http.createServer((request) => request.resume()))
      const failures = [[new Error("disk on fire"), "disk on fire"], [
        "no error at all",
        "the request's body failed"
      ]] as const
      for (const [failure, message] of failures) {
        const stream = Stream.concat(Stream.make(new Uint8Array(100_000)), Stream.fail(failure))
        const error = yield* HttpClient.post(`http://127.0.0.1:${port}/`, {
          body: HttpBody.stream(stream, "text/csv", 200_000)
        }).pipe(Effect.flip, Effect.provide(Connections.layer()))
        assert.instanceOf(error.reason.cause, Error)
        assert.strictEqual(error.reason.cause.message, message)
        assert.deepInclude(error.request.body.toJSON(), { _tag: "Stream", contentLength: 200_000 })
      }
    }).pipe(Effect.scoped))

  it.live("takes a time that no timer can count for no limit", () =>
    Effect.gen(function*() {
      const server = Https.createServer({ cert: certificate, key }, (_, response) => response.end("hello"))
      const url = `https://127.0.0.1:${yield* listen(server)}/`
      for (const name of ["bodyTimeout", "connectTimeout", "headersTimeout", "keepAlive", "maxAge", "poolTimeout"]) {
        for (const time of ["30 days", "Infinity"] as const) {
          assert.strictEqual(yield* get(url, { ca: certificate, [name]: time }), "hello", `${name}: ${time}`)
        }
      }
    }).pipe(Effect.scoped))

  it.effect("rejects settings that cannot work, without repeating them", () =>
    Effect.gen(function*() {
      const settings: ReadonlyArray<Connections.Options> = [
        { ca: ["not a certificate s3cr3t"] },
        { clientCertificate: { certificate: "x", key: Redacted.make("s3cr3t") } },
        { proxy: { http: Redacted.make("socks5://s3cr3t") } },
        { proxy: { https: Redacted.make("http://[s3cr3t") } }
      ]
      const failed: Array<string> = []
      for (const options of settings) {
        const error = yield* Effect.flip(Effect.scoped(Connections.makeDispatcher(options)))
        assert.notInclude(error.message, "s3cr3t")
        failed.push(error.option)
      }
      assert.deepStrictEqual(failed, ["ca", "clientCertificate", "proxy", "proxy"])
      assert.throws(() => Connections.layer({ connections: 0 }), RangeError)
      assert.throws(() => Connections.layer({ bodyTimeout: 0 }), RangeError)
    }))

  it.effect("reads the proxy from the environment, in lower case first", () =>
    Effect.gen(function*() {
      const read = (environment: Record<string, string>) =>
        Effect.provideService(
          Effect.map(Connections.proxyFromEnvironment, (proxy) => [
            proxy.http === undefined ? undefined : Redacted.value(proxy.http),
            proxy.https === undefined ? undefined : Redacted.value(proxy.https),
            proxy.noProxy
          ]),
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromUnknown(environment)
        )
      assert.deepStrictEqual(yield* read({}), [undefined, undefined, undefined])
      assert.deepStrictEqual(
        yield* read({ http_proxy: "http://a", HTTP_PROXY: "http://b", HTTPS_PROXY: "http://c", NO_PROXY: "localhost" }),
        ["http://a", "http://c", "localhost"]
      )
    }))
})
