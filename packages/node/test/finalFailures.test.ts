import * as BlackHole from "@effect-resilience/chaos/BlackHole"
import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { type ApiError, NotAsked, Recovery } from "@effect-resilience/errors"
import { ErrorMapping, HttpRetry } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { spawn, spawnSync } from "node:child_process"
import dns from "node:dns"
import * as fs from "node:fs"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Https from "node:https"
import * as Net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import Tls from "node:tls"
import { vi } from "vitest"
import { certificate, key } from "./loopbackCertificate.ts"

/** The port of a server that runs for the test. */
const listen = (server: Net.Server) => Effect.map(LocalServer.listen(server), ({ port }) => port)

const policy = RetryPolicy.make({ times: 3, backoff: Backoff.immediate })

/** How a request ends that is retried if that may help. */
const failing = (request: HttpClientRequest.HttpClientRequest, options?: Connections.Options) =>
  Effect.gen(function*() {
    const client = (yield* HttpClient.HttpClient).pipe(ErrorMapping.mapErrors(), HttpRetry.retry(policy))
    const error = yield* Effect.flip(client.execute(request))
    return {
      attempts: RetryPolicy.history(error)?.attempts.length,
      recovery: Recovery.of(error)._tag,
      reason: (error as ApiError.ApiError).reason._tag,
      message: error.message
    }
  }).pipe(Effect.provide(Connections.layer(options)))

const post = HttpClientRequest.post

describe("what nothing mends", () => {
  it.live("is final and names the header that cannot be sent, and nothing of its value", () =>
    Effect.gen(function*() {
      const request = HttpClientRequest.setHeader(post("http://127.0.0.1:1/"), "authorization", "Bearer s3cr3t\n")
      const { message, ...failure } = yield* failing(request)
      assert.deepStrictEqual(failure, { attempts: 1, recovery: "Correct", reason: "TransportFailure" })
      assert.include(message, "the header authorization cannot be sent")
      assert.notInclude(message, "s3cr3t")
    }))

  for (const status of [407, 403, 502]) {
    it.live(`says that the proxy responded with ${status} to the tunnel, and tries again only if time mends it`, () =>
      Effect.gen(function*() {
        let asked = 0
        const proxy = Http.createServer().on("connect", (_, socket: Net.Socket) => {
          asked++
          socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
        })
        const port = yield* listen(proxy)
        const https = Redacted.make(`http://user:wr0ng@127.0.0.1:${port}`)
        const { message, ...failure } = yield* failing(post("https://api.invalid/"), { proxy: { https } })
        const attempts = status === 502 ? 4 : 1
        assert.strictEqual(asked, attempts)
        const recovery = status === 502 ? "Retry" : "Authorize"
        assert.deepStrictEqual(failure, { attempts, recovery, reason: "TransportFailure" })
        assert.include(message, `the proxy 127.0.0.1:${port}`)
        assert.include(message, `PROXY_${status}`)
        assert.notInclude(message, "wr0ng")
      }).pipe(Effect.scoped))
  }

  it.live("asks a proxy that does not accept the password only once, also without a tunnel", () =>
    Effect.gen(function*() {
      let asked = 0
      const port = yield* listen(Http.createServer((_, response) => {
        asked++
        response.writeHead(407).end()
      }))
      const http = Redacted.make(`http://user:wrong@127.0.0.1:${port}`)
      const { message, ...failure } = yield* failing(post("http://api.invalid/"), { proxy: { http } })
      assert.strictEqual(asked, 1)
      assert.deepStrictEqual(failure, { attempts: 1, recovery: "Authorize", reason: "TransportFailure" })
      assert.include(message, `the proxy 127.0.0.1:${port} rejected`)
    }).pipe(Effect.scoped))

  it.live("leaves it to the caller what a server says with 407 through a tunnel, which its proxy cannot say", () =>
    Effect.gen(function*() {
      const origin = yield* listen(Https.createServer({ cert: certificate, key }, (_, response) => {
        response.writeHead(407).end()
      }))
      const proxy = Http.createServer().on("connect", (_, socket: Net.Socket) => {
        const server = Net.connect(origin, "127.0.0.1", () => socket.write("HTTP/1.1 200 OK\r\n\r\n"))
        socket.on("error", () => {}).pipe(server.on("error", () => {})).pipe(socket)
      })
      const https = Redacted.make(`http://127.0.0.1:${yield* listen(proxy)}`)
      const { status } = yield* HttpClient.post(`https://127.0.0.1:${origin}/`).pipe(
        Effect.provide(Connections.layer({ ca: [certificate], proxy: { https } }))
      )
      assert.strictEqual(status, 407)
    }).pipe(Effect.scoped))

  it.live("distinguishes a proxy that is away from a server that is", () =>
    Effect.gen(function*() {
      const port = yield* Effect.scoped(listen(Net.createServer()))
      const https = Redacted.make(`http://127.0.0.1:${port}`)
      const { message, ...failure } = yield* failing(post("https://api.invalid/"), { proxy: { https } })
      assert.deepStrictEqual(failure, { attempts: 4, recovery: "Retry", reason: "TransportFailure" })
      assert.include(message, `the proxy 127.0.0.1:${port}`)
      assert.include(message, "ECONNREFUSED")
    }))

  it.live("is final if the server's certificate is not trusted", () =>
    Effect.gen(function*() {
      const port = yield* listen(Tls.createServer({ cert: certificate, key }))
      const { message, ...failure } = yield* failing(post(`https://127.0.0.1:${port}/`))
      assert.deepStrictEqual(failure, { attempts: 1, recovery: "GiveUp", reason: "TransportFailure" })
      assert.include(message, "check the certificates")
    }).pipe(Effect.scoped))

  it.live("is final if a handshake fails with a code that no table knows", () =>
    Effect.gen(function*() {
      const connect = vi.spyOn(Tls, "connect").mockImplementation(() => {
        const socket = new Tls.TLSSocket(new Net.Socket())
        setImmediate(() => socket.emit("error", Object.assign(new Error("odd"), { code: "UNSPECIFIED" })))
        return socket
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => connect.mockRestore()))
      const { message, ...failure } = yield* failing(post("https://127.0.0.1:1/"))
      assert.deepStrictEqual(failure, { attempts: 1, recovery: "GiveUp", reason: "TransportFailure" })
      assert.include(message, "check the certificates of both sides (UNSPECIFIED)")
    }).pipe(Effect.scoped))

  // Node's own TLS servers hang up without an alert.
  const openssl = spawnSync("openssl", ["version"]).status === 0
  for (const version of ["tls1_2", "tls1_3"]) {
    it.live.skipIf(!openssl)(
      `says that the server wants a certificate of this client, over ${version}`,
      () =>
        Effect.gen(function*() {
          const port = yield* Effect.scoped(listen(Net.createServer()))
          const folder = yield* Effect.acquireRelease(
            Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "alert-"))),
            (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
          )
          const pem = path.join(folder, "server.pem")
          fs.writeFileSync(pem, `${key}\n${certificate}\n`)
          yield* Effect.acquireRelease(
            Effect.callback<ReturnType<typeof spawn>>((resume) => {
              const server = spawn("openssl", [
                "s_server",
                "-accept",
                `${port}`,
                "-cert",
                pem,
                "-Verify",
                "1",
                `-${version}`
              ])
              // What it says before is of its settings.
              server.stdout.on("data", (text) => {
                if (String(text).includes("ACCEPT")) resume(Effect.succeed(server))
              })
            }),
            (server) => Effect.sync(() => server.kill())
          )
          const { message, ...failure } = yield* failing(post(`https://127.0.0.1:${port}/`), { ca: [certificate] })
          assert.deepStrictEqual(failure, { attempts: 1, recovery: "GiveUp", reason: "TransportFailure" }, message)
          assert.include(
            message,
            version === "tls1_3" ? "rejects this client's certificate" : "the certificates of both sides"
          )
        }).pipe(Effect.scoped)
    )
  }

  it.live("says that a server speaks HTTP/2 only", () =>
    Effect.gen(function*() {
      const port = yield* listen(Http2.createSecureServer({ cert: certificate, key }))
      const { message, ...failure } = yield* failing(post(`https://127.0.0.1:${port}/`), { ca: [certificate] })
      assert.deepStrictEqual(failure, { attempts: 1, recovery: "GiveUp", reason: "TransportFailure" })
      assert.include(message, "allow HTTP/2")
    }).pipe(Effect.scoped))

  it.live("is final if the peer is no HTTP server, and if the headers are too long", () =>
    Effect.gen(function*() {
      const ssh = yield* listen(
        Net.createServer((socket) => socket.once("data", () => socket.end("SSH-2.0-OpenSSH\r\n")))
      )
      const long = yield* listen(
        Net.createServer((socket) =>
          socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`))
        )
      )
      const cases = [[ssh, "is not HTTP"], [long, "longer headers"]] as const
      for (const [port, text] of cases) {
        const got = yield* failing(HttpClientRequest.get(`http://127.0.0.1:${port}/`))
        assert.deepInclude(got, { attempts: 1, recovery: "GiveUp", reason: "TransportFailure" })
        assert.include(got.message, text)
        // The request had left.
        assert.deepInclude(yield* failing(post(`http://127.0.0.1:${port}/`)), { attempts: 1, reason: "OutcomeUnknown" })
      }
    }).pipe(Effect.scoped))

  it.live("is final if the client is closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Connections.layer(), scope)
      yield* Scope.close(scope, Exit.void)
      const client = ErrorMapping.mapErrors(Context.get(context, HttpClient.HttpClient))
      const error = yield* Effect.flip(client.post("http://127.0.0.1:1/"))
      assert.strictEqual(error.reason._tag, "TransportFailure")
      assert.strictEqual(Recovery.of(error)._tag, "GiveUp")
      assert.include(error.message, "the client is closed")
    }))
})

describe("what time mends", () => {
  for (const code of ["EMFILE", "EAI_AGAIN"] as const) {
    it.live(`is retried if a look-up fails with ${code}, and counts as not applied`, () =>
      Effect.gen(function*() {
        const lookup = vi.spyOn(dns, "lookup").mockImplementation((...args: Array<unknown>) => {
          const done = args.at(-1) as (error: Error) => void
          setImmediate(() => done(Object.assign(new Error(`getaddrinfo ${code}`), { code, syscall: "getaddrinfo" })))
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => lookup.mockRestore()))
        const { message, ...failure } = yield* failing(post("http://api.invalid/"))
        assert.deepStrictEqual(failure, { attempts: 4, recovery: "Retry", reason: "TransportFailure" })
        assert.include(message, code === "EMFILE" ? "no file descriptors" : "did not say where the host is")
      }).pipe(Effect.scoped))
  }

  it.live("is repeated at once, although undici is still failing the others that wait for the connection", () =>
    Effect.gen(function*() {
      const port = yield* Effect.scoped(listen(Net.createServer()))
      const http = yield* HttpClient.HttpClient
      const client = http.pipe(ErrorMapping.mapErrors(), HttpRetry.retry(policy))
      const exits = yield* Effect.forEach([1, 2, 3], () => Effect.exit(client.post(`http://127.0.0.1:${port}/`)), {
        concurrency: 3
      })
      assert.deepStrictEqual(exits.map(Exit.isFailure), [true, true, true])
    }).pipe(Effect.provide(Connections.layer({ connections: 1 }))))

  it.live("names connections that stayed in use, for which a request waits only so long", () =>
    Effect.gen(function*() {
      let asked = false
      const port = yield* listen(Http.createServer(() => {
        asked = true
      }))
      const url = `http://127.0.0.1:${port}/`
      const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient)
      yield* Effect.forkChild(client.get(url), { startImmediately: true })
      while (!asked) yield* Effect.yieldNow
      const error = yield* Effect.flip(client.post(url))
      assert.strictEqual(error.reason._tag, "TransportFailure")
      assert.strictEqual(Recovery.of(error)._tag, "Retry")
      assert.include(error.message, "all connections stayed in use")
    }).pipe(Effect.provide(Connections.layer({ connections: 1, poolTimeout: "100 millis" })), Effect.scoped))

  it.live("says that no connection was made if none is in use", () =>
    Effect.gen(function*() {
      const hole = yield* BlackHole.make
      const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient)
      const error = yield* Effect.flip(client.post(`http://${hole.host}:${hole.port}/`))
      assert.deepInclude(error.reason, { _tag: "TransportFailure", kind: "connectTimeout", connected: false })
      assert.isFalse(NotAsked.isNotAsked(error))
    }).pipe(Effect.provide(Connections.layer({ poolTimeout: "100 millis" })), Effect.scoped))
})
