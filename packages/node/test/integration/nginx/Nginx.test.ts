import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ApiError, Recovery } from "@effect-resilience/errors"
import {
  AccessLog,
  ErrorMapping,
  HttpRetry,
  Operation,
  Redaction,
  Redirects,
  ResponseBody,
  Scrubber,
  Telemetry
} from "@effect-resilience/http"
import * as Connections from "@effect-resilience/node/Connections"
import * as Decompression from "@effect-resilience/node/Decompression"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, layer } from "@effect/vitest"
import {
  Context,
  type Duration,
  Effect,
  Exit,
  FileSystem,
  Inspectable,
  Layer,
  Logger,
  Redacted,
  References,
  Schema,
  Stream
} from "effect"
import { HttpBody, HttpClient } from "effect/http"
import { Otlp, PrometheusMetrics } from "effect/observability"
import { inspect } from "node:util"
import { nginx } from "./nginx.ts"

class Nginx extends Context.Service<Nginx, Effect.Success<typeof nginx>>()("test/Nginx") {
  static readonly layer = Layer.effect(Nginx, nginx)
}

const policy = RetryPolicy.make({ times: 8, backoff: Backoff.exponential({ base: "50 millis", cap: "400 millis" }) })

/** The full stack around a transport. */
const stack = (transport: HttpClient.HttpClient, retries = policy, timeout: Duration.Input = "10 seconds") =>
  transport.pipe(
    Decompression.decompress(),
    Redirects.manual,
    ErrorMapping.mapErrors({ timeout }),
    Telemetry.observeAttempts,
    AccessLog.logAttempts,
    HttpRetry.retry(retries),
    HttpClient.transformResponse(AccessLog.logCall),
    HttpClient.transformResponse(Telemetry.observeCall)
  )

const client = Effect.map(HttpClient.HttpClient, (transport) => stack(transport))
const connected = Effect.provide(Connections.layer({ connectTimeout: "3 seconds", headersTimeout: "5 seconds" }))
const entries = Effect.flatMap(AccessLog.Memory, (memory) => memory.entries)
const Item = Schema.Struct({ id: Schema.String })
const read = Operation.within({ name: "read", endpoint: "/{item}" })
const overwrite = Operation.within({ name: "overwrite", endpoint: "/{item}", idempotent: true })

layer(Nginx.layer, { excludeTestServices: true, timeout: "30 seconds" })("A real nginx", (it) => {
  const fetching = (path: string) =>
    Effect.gen(function*() {
      const { ports } = yield* Nginx
      return yield* (yield* client).get(`http://127.0.0.1:${ports.http}${path}`).pipe(
        Effect.flatMap(ResponseBody.json(Item)),
        read
      )
    })

  const failing = (path: string) =>
    Effect.flatMap(
      Effect.flip(fetching(path)),
      (error) => error instanceof ApiError.ApiError ? Effect.succeed(error) : Effect.die(error)
    )

  for (const [path, reason] of [["/limited", "RateLimited"], ["/busy", "ServiceUnavailable"]] as const) {
    it.effect(`that limits by ${reason} serves 12 callers at once in the end`, () =>
      Effect.gen(function*() {
        const { ports } = yield* Nginx
        // Without jitter they arrive together, and nginx serves at least one of them each time.
        const patient = stack(
          yield* HttpClient.HttpClient,
          RetryPolicy.make({ times: 40, backoff: Backoff.constant("60 millis") })
        )
        const fetching = patient.get(`http://127.0.0.1:${ports.http}${path}`).pipe(
          Effect.flatMap(ResponseBody.json(Item)),
          read
        )
        const items = yield* Effect.all(Array.from({ length: 12 }, () => fetching), { concurrency: 12 })
        assert.lengthOf(items, 12)
        const log = yield* entries
        assert.lengthOf(log.filter((entry) => entry.kind === "call" && entry.outcome === "success"), 12)
        const resent = log.filter((entry) => entry.kind === "attempt" && entry.attempt > 1)
        assert.isAbove(resent.length, 0)
        for (const entry of resent) assert.strictEqual(entry.resendReason, reason)
      }).pipe(Effect.provide(AccessLog.layerMemory), connected))
  }

  it.effect("whose response breaks off is a typed failure that may be tried again", () =>
    Effect.gen(function*() {
      const error = yield* failing("/truncated")
      assert.strictEqual(error.reason._tag, "TransportFailure")
      assert.strictEqual(Recovery.of(error)._tag, "Retry")
    }).pipe(connected))

  it.effect("that resets the connection: a PUT is repeated, the outcome of a POST is unknown", () =>
    Effect.gen(function*() {
      const { ports } = yield* Nginx
      const url = `http://127.0.0.1:${ports.http}/reset`
      const http = yield* client
      yield* Effect.flip(http.put(url, { body: HttpBody.text("rows") }).pipe(overwrite))
      const error = yield* Effect.flip(http.post(url, { body: HttpBody.text("rows") }).pipe(read))
      assert.deepStrictEqual(Recovery.of(error), Recovery.verify)
      const attempts = (yield* entries).filter((entry) => entry.kind === "attempt").map((entry) => entry.method)
      assert.deepStrictEqual(attempts, [...Array(9).fill("PUT"), "POST"])
    }).pipe(Effect.provide(AccessLog.layerMemory), connected))

  it.effect("that responds with HTML, with any status, is never a success and never a crash", () =>
    Effect.gen(function*() {
      const page = yield* failing("/html")
      assert.strictEqual(page.reason._tag, "UndecodableAnswer")
      assert.include(page.message, "an HTML page")
      const missing = yield* failing("/missing")
      assert.include(missing.message, "404 Not Found")
      const dead = yield* failing("/dead")
      assert.strictEqual(dead.reason._tag, "BadGateway")
      assert.match(String(dead.requestId), /^[0-9a-f]{32}$/)
    }).pipe(connected))

  it.effect("that rejects an upload early is heard while the body is still being sent", () =>
    Effect.gen(function*() {
      const { ports } = yield* Nginx
      const body = HttpBody.stream(
        Stream.range(1, 400).pipe(Stream.map(() => new Uint8Array(16_384)), Stream.rechunk(1)),
        "application/octet-stream",
        400 * 16_384
      )
      const error = yield* Effect.flip(
        (yield* client).put(`http://127.0.0.1:${ports.http}/upload`, { body }).pipe(overwrite)
      )
      assert.instanceOf(error, ApiError.ApiError)
      assert.strictEqual(error instanceof ApiError.ApiError ? error.reason._tag : "", "PayloadTooLarge")
    }).pipe(connected))

  it.effect("that redirects elsewhere gives nothing away", () =>
    Effect.gen(function*() {
      const { ports, seen } = yield* Nginx
      const url = `http://127.0.0.1:${ports.http}/away?key=s3cr3t-key`
      const headers = { "acme-token": "s3cr3t-token", authorization: "Bearer s3cr3t-token" }
      const error = yield* Effect.flip(
        (yield* client).post(url, { headers, body: HttpBody.text("s3cr3t-rows") }).pipe(overwrite)
      )
      assert.include(error.message, `redirects to http://localhost:${ports.elsewhere}`)
      const follow = Redirects.follow(yield* HttpClient.HttpClient)
      assert.strictEqual((yield* follow.post(url, { headers, body: HttpBody.text("s3cr3t-rows") })).status, 307)
      assert.strictEqual(seen(), "")
      assert.strictEqual((yield* follow.get(`http://127.0.0.1:${ports.http}/near`)).status, 200)
    }).pipe(connected))

  it.effect("is trusted by certificate only", () =>
    Effect.gen(function*() {
      const { pem, ports } = yield* Nginx
      const ask = (port: number, options: Connections.Options) =>
        Effect.flatMap(client, (http) => http.get(`https://127.0.0.1:${port}/`)).pipe(
          Effect.flatMap(ResponseBody.json(Item)),
          Effect.provide(Connections.layer(options)),
          Effect.result
        )
      const trusting = { ca: [pem.ca] }
      const good = yield* ask(ports.good, trusting)
      assert.deepStrictEqual(good._tag === "Success" ? good.success : good, { id: "tls" })

      const codes: Array<string | undefined> = []
      for (const [port, options] of [[ports.good, {}], [ports.expired, trusting], [ports.other, trusting]] as const) {
        const result = yield* ask(port, options)
        const error = result._tag === "Failure" && result.failure instanceof ApiError.ApiError
          ? result.failure
          : undefined
        assert.strictEqual(error?.reason._tag, "TransportFailure")
        assert.deepStrictEqual(Recovery.of(error), Recovery.giveUp)
        codes.push(error?.reason._tag === "TransportFailure" ? error.reason.code : undefined)
      }
      assert.deepStrictEqual(codes, [
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "CERT_HAS_EXPIRED",
        "ERR_TLS_CERT_ALTNAME_INVALID"
      ])

      const rejected = yield* ask(ports.mutual, trusting)
      assert.include(
        rejected._tag === "Failure" ? rejected.failure.message : "",
        "No required SSL certificate was sent"
      )
      const clientCertificate = { certificate: pem.client, key: Redacted.make(pem.clientKey) }
      const mutual = yield* ask(ports.mutual, { ...trusting, clientCertificate })
      assert.deepStrictEqual(mutual._tag === "Success" ? mutual.success : mutual, { id: "CN=client" })
    }), 30_000)

  const append = Operation.within({ name: "append", endpoint: "/append", idempotent: false })

  for (const http2 of [false, true]) {
    const protocol = http2 ? "HTTP/2" : "HTTP/1.1"
    it.effect(
      `that goes silent is known not to have read what never left, over ${protocol}`,
      () =>
        Effect.gen(function*() {
          const { pem, ports, silent } = yield* Nginx
          const url = `https://127.0.0.1:${ports.http2}/silent`
          const connections = Connections.layer({ ca: [pem.ca], http2, connections: 1, connectTimeout: "200 millis" })
          const impatient = Effect.map(
            HttpClient.HttpClient,
            (transport) => stack(transport, RetryPolicy.make({ times: 1, backoff: Backoff.immediate }), "500 millis")
          )
          const post = (http: Effect.Success<typeof impatient>) =>
            http.post(url).pipe(Effect.flatMap(({ text }) => text), append)
          const reasonOf = (error: unknown) => error instanceof ApiError.ApiError ? error.reason._tag : error
          yield* Effect.gen(function*() {
            const warm = yield* impatient
            yield* post(warm)
            const { read, unread } = yield* Effect.scoped(Effect.gen(function*() {
              yield* silent
              const read = yield* Effect.flip(post(warm))
              // A connection of its own, whose handshake gets no response.
              const unread = yield* impatient.pipe(
                Effect.flatMap((cold) => Effect.flip(post(cold))),
                Effect.provide(Layer.fresh(connections))
              )
              return { read, unread }
            }))
            assert.strictEqual(reasonOf(read), "OutcomeUnknown")
            assert.strictEqual(reasonOf(unread), "TransportFailure")
            assert.strictEqual(Recovery.of(unread)._tag, "Retry")
            // It continues where it was.
            yield* Effect.retry(warm.get(url).pipe(Effect.flatMap(({ text }) => text)), { times: 10 })
          }).pipe(Effect.provide(connections))
        }),
      30_000
    )

    it.effect(`that ends connections loses no append and doubles none, over ${protocol}`, () =>
      Effect.gen(function*() {
        const { appended, pem, ports } = yield* Nginx
        const prefix = http2 ? "/two" : "/one"
        const results = yield* Effect.gen(function*() {
          const http = yield* client
          return yield* Effect.forEach(
            Array.from({ length: 600 }, (_, i) => `${prefix}/${i}`),
            (path) =>
              http.post(`https://127.0.0.1:${ports.http2}${path}`, { body: HttpBody.text("rows") }).pipe(
                Effect.flatMap(({ text }) => text),
                append,
                Effect.result,
                Effect.map((result) => ({ path, result }))
              ),
            { concurrency: 16 }
          )
        }).pipe(Effect.provide(Connections.layer({ ca: [pem.ca], http2 })))
        const log = appended().filter((path) => path.startsWith(prefix))
        assert.lengthOf(new Set(log), log.length)
        for (const { path, result } of results) {
          if (result._tag === "Success") assert.include(log, path)
          else assert.strictEqual(Recovery.of(result.failure)._tag, "Verify", String(result.failure))
        }
        const unknown = results.filter(({ result }) => result._tag === "Failure").length
        // Over HTTP/1.1 each connection ends between two requests.
        assert.isAtMost(unknown, http2 ? 24 : 0)
      }), 30_000)
  }

  it.effect("sees spans and metrics arrive at a collector, and no secret in anything", () =>
    Effect.gen(function*() {
      const { ports } = yield* Nginx
      const fs = yield* FileSystem.FileSystem
      const secrets = { token: "s3cr3t/t0ken+\"x\"", key: "pr1vate%key&more" }
      const scrubber = Scrubber.make()
      for (const secret of Object.values(secrets)) scrubber.register(Redacted.make(secret))

      let received = ""
      const collector = yield* LocalServer.http((request, response) => {
        const pieces: Array<Buffer> = []
        request.on("data", (piece: Buffer) => pieces.push(piece))
        request.on("end", () => {
          const body: unknown = JSON.parse(Buffer.concat(pieces).toString())
          received += `${JSON.stringify({ path: request.url, body })}\n`
          response.setHeader("content-type", "application/json")
          response.end("{}")
        })
      })
      const path = `${yield* fs.makeTempDirectoryScoped()}/access.jsonl`
      const logged: Array<string> = []
      const logger = Logger.map(Logger.formatJson, (line) => void logged.push(line))

      const exits = yield* Effect.gen(function*() {
        const http = yield* client
        const url = (path: string) => `http://127.0.0.1:${ports.http}${path}?key=${encodeURIComponent(secrets.key)}`
        const headers = {
          "acme-token": encodeURIComponent(secrets.token),
          authorization: `Basic ${btoa(`me:${secrets.token}`)}`
        }
        const request = (path: string) =>
          http.get(url(path), { headers }).pipe(Effect.flatMap(ResponseBody.json(Item)), read, Effect.exit)
        const exits = yield* Effect.forEach(["/ok", "/echo", "/away", "/reset", "/dead"], request)
        for (const exit of exits) if (Exit.isFailure(exit)) yield* Effect.logError("failed", exit.cause)
        return exits
      }).pipe(
        Effect.provide(Layer.mergeAll(
          AccessLog.layerFile(path),
          Redaction.layer(Redaction.make()),
          Otlp.layerJson({
            baseUrl: collector.url,
            resource: { serviceName: "test" },
            loggerMergeWithExisting: true
          })
        )),
        Effect.provide(Logger.layer([logger])),
        connected,
        Effect.provideService(Scrubber.Current, scrubber),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
      assert.deepStrictEqual(exits.map((exit) => exit._tag), ["Success", "Failure", "Failure", "Failure", "Failure"])

      const file = yield* fs.readFileString(path)
      const printed = exits.flatMap((exit) => [
        inspect(exit, { depth: 20, customInspect: false, showHidden: true }),
        inspect(exit, { depth: 20 }),
        JSON.stringify(exit),
        Inspectable.toStringUnknown(exit)
      ]).join("\n")
      const everything = [file, logged.join("\n"), received, printed].join("\n")
      for (const secret of Object.values(secrets)) {
        const core = secret.replace(/[^A-Za-z0-9]/g, ".{1,6}")
        assert.notMatch(everything, new RegExp(core))
        const encoded = btoa(secret)
        assert.notInclude(everything, encoded.slice(0, encoded.length - 4))
        assert.notInclude(everything, btoa(`me:${secret}`).slice(4, -4))
      }
      assert.include(file, "unknown token <redacted>, <redacted>")
      assert.include(received, "unknown token <redacted>, <redacted>")
      assert.isAbove(logged.length, 0)

      const exports = received.split("\n").filter((line) => line !== "").map((line): unknown => JSON.parse(line))
      const text = JSON.stringify(exports)
      for (
        const name of [
          "/v1/traces",
          "/v1/metrics",
          "/v1/logs",
          "http.client.request.duration",
          "resilience.call.duration",
          "http.request.resend_count",
          "url.template"
        ]
      ) assert.include(text, `"${name}"`)
    }).pipe(Effect.provide(NodeFileSystem.layer)), 30_000)

  it.effect("adds no series for a thousand tables", () =>
    Effect.gen(function*() {
      const { ports } = yield* Nginx
      const http = yield* client
      const seriesAfter = Effect.fnUntraced(function*(tables: number) {
        yield* Effect.forEach(
          Array.from({ length: tables }, (_, i) => i),
          (i) => read(http.get(`http://127.0.0.1:${ports.http}/ok/table-${i}`)),
          { concurrency: 8, discard: true }
        )
        return (yield* PrometheusMetrics.format()).split("\n").filter((line) =>
          line.startsWith("http_client_request_duration_count")
        )
      })
      const few = yield* seriesAfter(2)
      const many = yield* seriesAfter(1_000)
      assert.strictEqual(many.length, few.length)
      assert.notInclude(many.join(), "table-")
    }).pipe(connected), 30_000)
})
