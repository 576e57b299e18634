import { ResilientClient } from "@effect-resilience/client"
import { ApiError, Recovery } from "@effect-resilience/errors"
import { AccessLog } from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import { assert, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, type Scope, Tracer } from "effect"
import { HttpBody, HttpClient } from "effect/http"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"
import { certificates, freePort, serve, temporaryDirectory } from "./nginx.ts"

interface Arrival {
  readonly path: string
  readonly at: number
  readonly traceparent: string | undefined
  readonly deadline: boolean
}

const json = { "content-type": "application/json" }
const whole = `{"id":"7"}`

/** What each path does at first. Then it responds with the id. */
const faults: { readonly [path: string]: { readonly times: number; readonly fault: Http.RequestListener } } = {
  "/503": { times: 1, fault: (_, response) => response.writeHead(503, { "retry-after": "1" }).end("busy") },
  "/429": { times: 1, fault: (_, response) => response.writeHead(429, { "retry-after": "1" }).end("slower") },
  "/silent": { times: 1, fault: () => undefined },
  "/truncated": {
    times: 1,
    fault: (_, response) => {
      response.writeHead(200, { ...json, "content-length": "1000" }).write(`{"id":`)
      setTimeout(() => response.destroy(), 50)
    }
  },
  "/hung": {
    times: 1,
    fault: (_, response) => void response.writeHead(200, { ...json, "content-length": "1000" }).write(`{"id":`)
  },
  "/reset": { times: 1, fault: (request) => request.socket.resetAndDestroy() }
}

/** An application behind nginx, which can be away for a while. */
const application = Effect.gen(function*() {
  const port = yield* freePort
  const arrivals: Array<Arrival> = []
  const listener: Http.RequestListener = (request, response) => {
    const path = request.url ?? ""
    const { headers } = request
    arrivals.push({
      path,
      at: performance.now(),
      traceparent: headers["traceparent"]?.toString(),
      deadline: Object.keys(headers).some((name) => /deadline|timeout/.test(name))
    })
    const known = faults[path.replace(/^\/[^/]+/, "")]
    request.resume().on("end", () => {
      if (known !== undefined && arrivals.filter((one) => one.path === path).length <= known.times) {
        return known.fault(request, response)
      }
      response.writeHead(200, json).end(whole)
    })
  }
  const run = Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      const server = Http.createServer(listener)
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  return { port, arrivals, run }
})

const configuration = (ports: { readonly [name: string]: number }) => `
daemon off; master_process off; worker_processes 1;
pid nginx.pid; error_log error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  proxy_http_version 1.1; proxy_next_upstream off; proxy_buffering off;
  proxy_connect_timeout 400ms; proxy_read_timeout 400ms;
  server {
    listen 127.0.0.1:${ports["plain"]};
    listen 127.0.0.1:${ports["tls"]} ssl http2; ssl_certificate good.pem; ssl_certificate_key good.key;
    add_header X-Request-Id $request_id always;
    location / { proxy_pass http://127.0.0.1:${ports["application"]}; }
    location /dead { proxy_pass http://127.0.0.1:${ports["dead"]}; }
  }
}
`

const behindNginx = Effect.gen(function*() {
  const directory = yield* temporaryDirectory
  const { ca } = yield* certificates(directory)
  const app = yield* application
  const ports = { plain: yield* freePort, tls: yield* freePort, application: app.port, dead: yield* freePort }
  Fs.writeFileSync(Path.join(directory, "nginx.conf"), configuration(ports))
  yield* serve(directory, ports.plain)
  return { ...app, ca, ports }
})

class BehindNginx extends Context.Service<BehindNginx, Effect.Success<typeof behindNginx>>()("test/BehindNginx") {
  static readonly layer = Layer.effect(BehindNginx, behindNginx)
}

/** What one call of the one-line client did, as its user, its logs, its spans and the application saw it. */
const calling = Effect.fnUntraced(
  function*(
    http2: boolean,
    path: string,
    call: <E>(client: HttpClient.HttpClient.With<E>, path: string) => Effect.Effect<unknown, unknown>,
    onStatus: (status: number) => Effect.Effect<void> = () => Effect.void
  ) {
    const { arrivals, ca, ports } = yield* BehindNginx
    const unique = `/${http2 ? "two" : "one"}-${arrivals.length}`
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const baseUrl = http2 ? `https://127.0.0.1:${ports.tls}` : `http://127.0.0.1:${ports.plain}`
    return yield* Effect.gen(function*() {
      const transport = yield* HttpClient.HttpClient
      const client = yield* ResilientClient.make({ name: "ledger", baseUrl }).pipe(
        Effect.provideService(HttpClient.HttpClient, HttpClient.tap(transport, ({ status }) => onStatus(status)))
      )
      const result = yield* Effect.result(call(client, path.startsWith("/dead") ? path : `${unique}${path}`))
      const log = yield* Effect.flatMap(AccessLog.Memory, ({ entries }) => entries)
      const seen = arrivals.filter((one) => one.path.startsWith(`${unique}/`))
      const attempts = log.filter(({ kind }) => kind === "attempt")
      const clients = spans.filter(({ kind }) => kind === "client")

      // One line and one span a call, and one of each an attempt, whatever happened.
      assert.lengthOf(log.filter(({ kind }) => kind === "call"), 1)
      assert.lengthOf(spans.filter(({ kind }) => kind !== "client"), 1)
      assert.lengthOf(clients, attempts.length)
      for (const span of spans) assert.strictEqual(span.status._tag, "Ended")
      // The application's parent is the span of the attempt.
      for (const { deadline, traceparent } of seen) {
        assert.include(clients.map(({ spanId, traceId }) => `00-${traceId}-${spanId}-01`), traceparent)
        assert.isTrue(deadline)
      }
      const error = result._tag === "Failure" ? result.failure : undefined
      return {
        value: result._tag === "Success" ? result.success : undefined,
        error,
        reason: error instanceof ApiError.ApiError ? error.reason._tag : undefined,
        attempts: attempts.length,
        reasons: attempts.slice(1).map(({ resendReason }) => resendReason),
        seen
      }
    }).pipe(
      Effect.provide([Connections.layer({ http2, ca: [ca] }), AccessLog.layerMemory]),
      Effect.provideService(Tracer.Tracer, tracer)
    )
  }
)

const get = <E>(client: HttpClient.HttpClient.With<E>, path: string) =>
  Effect.flatMap(client.get(path), ({ json }) => json)
const post = <E>(client: HttpClient.HttpClient.With<E>, path: string) =>
  Effect.flatMap(client.post(path, { body: HttpBody.text("rows") }), ({ json }) => json)

layer(BehindNginx.layer, { excludeTestServices: true, timeout: "30 seconds" })(
  "The one-line client, through nginx",
  (it) => {
    const test = (name: string, body: (http2: boolean) => Effect.Effect<void, unknown, BehindNginx | Scope.Scope>) => {
      for (const http2 of [false, true]) {
        it.effect(`${name} (${http2 ? "HTTP/2" : "HTTP/1.1"})`, () => body(http2), 60_000)
      }
    }
    const running = Effect.flatMap(BehindNginx, ({ run }) => run)
    const testRunning: typeof test = (name, body) => test(name, (http2) => Effect.andThen(running, body(http2)))

    testRunning("repeats after 429 when the server says, a POST too", (http2) =>
      Effect.gen(function*() {
        for (const call of [get, post]) {
          const { attempts, reasons, seen, value } = yield* calling(http2, "/429", call)
          assert.deepStrictEqual({ attempts, reasons, value }, {
            attempts: 2,
            reasons: ["RateLimited"],
            value: { id: "7" }
          })
          assert.isAtLeast((seen[1]?.at ?? 0) - (seen[0]?.at ?? 0), 990)
        }
      }))

    testRunning(
      "repeats a GET after 503 when the server says, and not a POST, which may have been applied",
      (http2) =>
        Effect.gen(function*() {
          const read = yield* calling(http2, "/503", get)
          assert.deepInclude(read, { attempts: 2, reasons: ["ServiceUnavailable"], value: { id: "7" } })
          assert.isAtLeast((read.seen[1]?.at ?? 0) - (read.seen[0]?.at ?? 0), 990)
          const written = yield* calling(http2, "/503", post)
          assert.deepInclude(written, { attempts: 1, reason: "OutcomeUnknown" })
        })
    )

    for (const [path, reason] of [["/silent", "GatewayTimeout"], ["/reset", "BadGateway"]] as const) {
      testRunning(
        `repeats a GET after ${reason} of ${path}, and not a POST, which may have been applied`,
        (http2) =>
          Effect.gen(function*() {
            const read = yield* calling(http2, path, get)
            assert.deepInclude(read, { attempts: 2, reasons: [reason], value: { id: "7" } })
            const written = yield* calling(http2, path, post)
            assert.deepInclude(written, { attempts: 1, reason: "OutcomeUnknown" })
            assert.lengthOf(written.seen, 1)
            assert.deepStrictEqual(Recovery.of(written.error), Recovery.verify)
          })
      )
    }

    for (const path of ["/truncated", "/hung"]) {
      testRunning(
        `repeats a GET whose body breaks off behind nginx (${path}), and not a POST`,
        (http2) =>
          Effect.gen(function*() {
            const read = yield* calling(http2, path, get)
            assert.deepInclude(read, { attempts: 2, reasons: ["TransportFailure"], value: { id: "7" } })
            const written = yield* calling(http2, path, post)
            assert.strictEqual(written.attempts, 1)
            assert.lengthOf(written.seen, 1)
            assert.deepStrictEqual(Recovery.of(written.error), Recovery.verify)
          })
      )
    }

    testRunning("gives up on an upstream that stays away, and says 502", (http2) =>
      Effect.gen(function*() {
        const { attempts, error, reason } = yield* calling(http2, "/dead", get)
        assert.isAbove(attempts, 1)
        assert.strictEqual(reason, "BadGateway")
        assert.match(error instanceof ApiError.ApiError ? String(error.requestId) : "", /^[0-9a-f]{32}$/)
      }))

    test("survives an upstream that restarts", (http2) =>
      Effect.gen(function*() {
        const away = yield* Deferred.make<void>()
        const call = yield* Effect.forkScoped(
          calling(http2, "/ok", get, (status) => status === 502 ? Deferred.succeed(away, undefined) : Effect.void)
        )
        yield* Deferred.await(away)
        yield* running
        const { attempts, reasons, seen, value } = yield* Fiber.join(call)
        assert.deepStrictEqual(value, { id: "7" })
        assert.isAbove(attempts, 1)
        assert.deepStrictEqual(new Set(reasons), new Set(["BadGateway"]))
        assert.lengthOf(seen, 1)
      }))
  }
)
