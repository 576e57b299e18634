import { ApiError, type MessagePattern, NotAsked, Recovery, Transport } from "@effect-resilience/errors"
import { ErrorMapping, Operation, ResponseBody, Scrubber, SendProgress } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, Schema, Stream } from "effect"
import {
  FetchHttpClient,
  HttpBody,
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  HttpClientResponse
} from "effect/http"
import { TestClock } from "effect/testing"

const append: Operation.Operation = { name: "append rows", endpoint: "/tables/{table}/append", idempotent: false }
const overwrite: Operation.Operation = { name: "overwrite", endpoint: "/tables/{table}/overwrite", idempotent: true }

const responding = (body: BodyInit | null, init: ResponseInit) =>
  HttpClient.make((request) => Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(body, init))))

const failing = (cause: unknown) =>
  HttpClient.make((request) =>
    Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) }))
  )

const errorOf = (
  client: HttpClient.HttpClient,
  operation: Operation.Operation = append,
  options: ErrorMapping.Options = {}
) =>
  ErrorMapping.mapErrors(client, options).post("https://api.example.com/tables/GL", {
    body: HttpBody.text("rows")
  }).pipe(Operation.within(operation), Effect.flip)

const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" })
const unreachable = Object.assign(new Error("unreachable"), { code: "ECONNREFUSED" })

describe("ErrorMapping", () => {
  it.effect("passes 2xx responses on", () =>
    Effect.gen(function*() {
      const response = yield* ErrorMapping.mapErrors(responding("ok", { status: 202 }), {}).get("https://a.example/")
      assert.strictEqual(response.status, 202)
    }))

  it.effect("knows the recovery of each status", () =>
    Effect.gen(function*() {
      const expected: ReadonlyArray<readonly [number, string, Recovery.Recovery["_tag"]]> = [
        [302, "UnexpectedStatus", "Correct"],
        [400, "BadRequest", "Correct"],
        [401, "Unauthorized", "Reauthenticate"],
        [403, "Forbidden", "Authorize"],
        [404, "NotFound", "Correct"],
        [408, "UnexpectedStatus", "Retry"],
        [409, "Conflict", "Correct"],
        [413, "PayloadTooLarge", "Correct"],
        [422, "Unprocessable", "Correct"],
        [429, "RateLimited", "Retry"],
        [500, "InternalServerError", "Retry"],
        [501, "UnexpectedStatus", "GiveUp"],
        [502, "BadGateway", "Retry"],
        [503, "ServiceUnavailable", "Retry"],
        [504, "GatewayTimeout", "Retry"]
      ]
      for (const [status, reason, recovery] of expected) {
        const error = yield* errorOf(responding("{}", { status }), overwrite)
        assert.deepStrictEqual([status, error.reason._tag, Recovery.of(error)._tag], [status, reason, recovery])
      }
    }))

  it.effect("does not know the outcome of a request that must not be repeated and may have been applied", () =>
    Effect.gen(function*() {
      for (const client of [failing(reset), responding(null, { status: 500 })]) {
        const error = yield* errorOf(client)
        assert.strictEqual(error.reason._tag, "OutcomeUnknown")
        assert.deepStrictEqual(Recovery.of(error), Recovery.verify)
      }
      for (
        const client of [failing(unreachable), responding(null, { status: 429 }), responding(null, { status: 408 })]
      ) {
        assert.strictEqual(Recovery.of(yield* errorOf(client))._tag, "Retry")
      }
    }))

  it.effect("knows that an idempotent request may be repeated", () =>
    Effect.gen(function*() {
      assert.strictEqual(Recovery.of(yield* errorOf(failing(reset), overwrite))._tag, "Retry")
      const keyed = HttpClient.mapRequest(failing(reset), HttpClientRequest.setHeader("idempotency-key", "k"))
      const post = ErrorMapping.mapErrors(keyed).post("https://a.example/")
      assert.strictEqual(Recovery.of(yield* Effect.flip(post))._tag, "Retry")
    }))

  it.effect("does not know what a server did with a part of the body, unless it applies the request only when whole", () =>
    Effect.gen(function*() {
      const cut = HttpClient.make((request) =>
        Effect.gen(function*() {
          if (request.body._tag === "Stream") yield* Effect.orDie(Stream.runDrain(Stream.take(request.body.stream, 1)))
          return yield* failing(reset).execute(request)
        })
      )
      const body = HttpBody.stream(Stream.make(new Uint8Array(2), new Uint8Array(2)).pipe(Stream.rechunk(1)))
      const send = (operation: Operation.Operation) =>
        ErrorMapping.mapErrors(cut).post("https://a.example/", { body }).pipe(Operation.within(operation), Effect.flip)
      assert.strictEqual((yield* send(append)).reason._tag, "OutcomeUnknown")
      const error = yield* send({ ...append, appliedWhenWhole: true })
      assert.strictEqual(error.reason._tag, "TransportFailure")
      assert.strictEqual(Recovery.of(error)._tag, "Retry")
    }))

  const ladder: ReadonlyArray<readonly [Transport.Reached, appended: boolean, uploaded: boolean]> = [
    ["nothing", false, false],
    ["connected", false, false],
    ["partOfHead", true, false],
    ["head", true, false],
    ["partOfBody", true, false],
    ["all", true, true]
  ]
  for (const [reached, appended, uploaded] of ladder) {
    it.effect(`believes a transport that a request reached ${reached}, if it fails, gets a response or is cut off`, () =>
      Effect.gen(function*() {
        const reporting = (then: HttpClient.HttpClient) =>
          HttpClient.make((request) =>
            Effect.flatMap(SendProgress.Current, (progress) => {
              progress?.follow({ reached })
              return then.execute(request)
            })
          )
        const transmitted = Object.assign(new Error("reset", { cause: reset }), {
          [Transport.TransmissionId]: { reached }
        })
        const clients = [
          failing(transmitted),
          reporting(failing(reset)),
          reporting(responding(null, { status: 503 })),
          reporting(HttpClient.make(() => Effect.never))
        ]
        for (const client of clients) {
          for (
            const [operation, unknown] of [[append, appended], [
              { ...append, appliedWhenWhole: true },
              uploaded
            ]] as const
          ) {
            const fiber = yield* Effect.forkChild(errorOf(client, operation, { timeout: "1 second" }))
            yield* TestClock.adjust("1 second")
            const error = yield* Fiber.join(fiber)
            assert.strictEqual(error.reason._tag === "OutcomeUnknown", unknown, error.message)
            assert.strictEqual(Recovery.of(error)._tag, unknown ? "Verify" : "Retry")
          }
        }
      }))
  }

  it.effect("uses the farthest of an attempt's requests if a transport repeats by itself", () =>
    Effect.gen(function*() {
      const repeating = HttpClient.make((request) =>
        Effect.flatMap(SendProgress.Current, (progress) => {
          progress?.follow({ reached: "all" })
          progress?.follow({ reached: "nothing" })
          return failing(Object.assign(unreachable, { [Transport.TransmissionId]: { reached: "nothing" } })).execute(
            request
          )
        })
      )
      assert.strictEqual((yield* errorOf(repeating)).reason._tag, "OutcomeUnknown")
    }))

  it.effect("times an attempt out, with an unknown outcome if it must not be repeated", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Effect.all([
          errorOf(HttpClient.make(() => Effect.never), append, { timeout: "30 seconds" }),
          errorOf(HttpClient.make(() => Effect.never), overwrite, { timeout: "30 seconds" })
        ], { concurrency: 2 })
      )
      yield* TestClock.adjust("30 seconds")
      const [appended, overwritten] = yield* Fiber.join(fiber)
      assert.strictEqual(appended.reason._tag, "OutcomeUnknown")
      assert.strictEqual(overwritten.reason._tag, "Timeout")
      assert.strictEqual(Recovery.of(overwritten)._tag, "Retry")
    }))

  it.effect("reads Retry-After against the clock", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 0, 1))
      const error = yield* errorOf(
        responding(null, { status: 503, headers: { "retry-after": "Thu, 01 Jan 2026 00:02:00 GMT" } }),
        overwrite
      )
      assert.deepStrictEqual(Recovery.of(error), Recovery.retryAs("overloaded", "2 minutes"))
    }))

  it.effect("retries a 403, 409, 413 or 423 that names a time, and says so without contradiction", () =>
    Effect.gen(function*() {
      const body = `{"message":"You have exceeded a secondary rate limit"}`
      for (const status of [403, 409, 413, 423]) {
        const error = yield* errorOf(responding(body, { status, headers: { "retry-after": "1" } }))
        assert.deepStrictEqual(Recovery.of(error), Recovery.retryAs(Recovery.kindOfStatus(status), "1 second"))
        assert.include(error.message, "secondary rate limit. Try again later. Not before 1 second.")
      }
      const headers = { "retry-after": "1" }
      assert.notInclude((yield* errorOf(responding(body, { status: 404, headers }))).message, "Not before")
    }))

  it.effect("waits until a limit is renewed if the server says only that", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 0, 1))
      const headers = { "x-ratelimit-reset": String(Date.UTC(2026, 0, 1, 0, 1) / 1000) }
      const error = yield* errorOf(responding(null, { status: 429, headers }))
      assert.deepStrictEqual(Recovery.of(error), Recovery.retryAs("throttled", "1 minute"))
    }))

  it.effect("explains messages by the integration's patterns", () =>
    Effect.gen(function*() {
      const patterns: ReadonlyArray<MessagePattern.MessagePattern> = [
        { pattern: /quota/i, means: "the quota is used up", remedy: "Buy more.", recovery: Recovery.giveUp }
      ]
      const error = yield* errorOf(responding(`{"error":"Quota used up"}`, { status: 503 }), overwrite, { patterns })
      assert.include(error.message, "Quota used up. Buy more.")
      assert.deepStrictEqual(Recovery.of(error), Recovery.giveUp)
    }))

  it.effect("keeps the server's own code, and whether a page was the response", () =>
    Effect.gen(function*() {
      const codeAndPage = Effect.fnUntraced(function*(body: string) {
        const { reason } = yield* errorOf(responding(body, { status: 403 }))
        return reason._tag === "Forbidden" ? [reason.code, reason.page] : []
      })
      assert.deepStrictEqual(yield* codeAndPage(`{"error":"invalid_client"}`), ["invalid_client", undefined])
      assert.deepStrictEqual(yield* codeAndPage("<title>Attention Required</title>"), [undefined, true])
    }))

  it.effect("names only the origin of a redirect", () =>
    Effect.gen(function*() {
      const location = "https://user:pw@evil.example/steal?token=abc"
      const error = yield* errorOf(responding(null, { status: 307, headers: { location } }))
      assert.include(error.message, "redirects to https://evil.example")
      assert.notInclude(error.message, "abc")
      assert.notInclude(error.message, "pw")
    }))

  it.effect("scrubs a secret that the cut would leave a part of", () =>
    Effect.gen(function*() {
      const secret = "s3cr3t-".repeat(10)
      const scrubber = Scrubber.make()
      scrubber.register(Redacted.make(secret))
      const text = `${"x".repeat(1_970)} ${secret}`
      const error = yield* Effect.provideService(
        errorOf(responding(JSON.stringify({ message: text }), { status: 400 })),
        Scrubber.Current,
        scrubber
      )
      assert.notInclude(error.message, "s3cr3t")
    }))

  it.effect("reads no more than 64 KiB of an error body, and waits no longer than 5 seconds for it", () =>
    Effect.gen(function*() {
      let pulled = 0
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          pulled++
          controller.enqueue(new Uint8Array(16_384).fill(97))
        }
      })
      yield* errorOf(responding(endless, { status: 500 }), overwrite)
      assert.isBelow(pulled, 10)

      const silent = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => undefined) })
      const fiber = yield* Effect.forkChild(errorOf(responding(silent, { status: 500 }), overwrite))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "InternalServerError")
    }))

  it.effect("keeps the request id, from any of the common headers", () =>
    Effect.gen(function*() {
      for (const name of ["X-Request-Id", "x-correlation-id", "x-amzn-RequestId", "cf-ray"]) {
        const error = yield* errorOf(responding(null, { status: 404, headers: { [name]: "r-42" } }))
        assert.strictEqual(error.requestId, "r-42")
      }
    }))

  it.effect("leaves the errors of other middleware as they are", () =>
    Effect.gen(function*() {
      const guarded = HttpClient.mapRequestEffect(responding("", {}), () => Effect.fail("no token" as const))
      const error = yield* Effect.flip(ErrorMapping.mapErrors(guarded).get("https://a.example/"))
      assert.strictEqual(error, "no token")
    }))

  it.live("knows that no transport sent a header that HTTP cannot have", () =>
    Effect.gen(function*() {
      const client = ErrorMapping.mapErrors(yield* HttpClient.HttpClient)
      const headers: ReadonlyArray<readonly [name: string, value: string]> = [
        ["x-user", "Łukasz"],
        ["x-user", "a\r\nb: c"],
        ["x-user", "a\0b"],
        ["x user", "a"]
      ]
      for (const [name, value] of headers) {
        const call = client.post("http://127.0.0.1:1/orders", { headers: { accept: "text/csv", [name]: value } })
        const error = yield* Effect.flip(call)
        assert.deepInclude(error.reason, { _tag: "TransportFailure", kind: "request", connected: false, detail: name })
        assert.strictEqual(Recovery.of(error)._tag, "Correct")
        assert.isTrue(NotAsked.isNotAsked(error))
      }
      const other = yield* errorOf(failing(new TypeError("Failed to fetch")))
      assert.strictEqual(Recovery.of(other)._tag, "Verify")
    }).pipe(Effect.provide(FetchHttpClient.layer)))

  it.effect("takes no body that fails for a connection that does, though the transport does not say so", () =>
    Effect.gen(function*() {
      // As `fetch` does, whose error may have the code of the source.
      const transport = HttpClient.make((request) =>
        Stream.runDrain(request.body._tag === "Stream" ? request.body.stream : Stream.empty).pipe(
          Effect.mapError((cause) =>
            new HttpClientError.HttpClientError({
              reason: new HttpClientError.TransportError({ request, cause: new TypeError("fetch failed", { cause }) })
            })
          ),
          Effect.as(HttpClientResponse.fromWeb(request, new Response("ok")))
        )
      )
      const client = ErrorMapping.mapErrors(transport)
      for (const [cause, recovery] of [[new Error("the source"), "GiveUp"], [reset, "Retry"]] as const) {
        const body = HttpBody.stream(Stream.concat(Stream.make(new Uint8Array(10)), Stream.fail(cause)))
        const error = yield* Effect.flip(client.put("https://api.example.com/tables/GL", { body }))
        assert.deepInclude(error.reason, { _tag: "TransportFailure", kind: "body" })
        assert.isTrue(NotAsked.isNotAsked(error))
        assert.strictEqual(Recovery.of(error)._tag, recovery)
        const once = yield* Effect.flip(client.post("https://api.example.com/tables/GL", { body }))
        assert.strictEqual(once.reason._tag, "OutcomeUnknown")
      }
    }))

  it.effect("maps a bad address", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ErrorMapping.mapErrors(responding("", {}), {}).get("http://[bad"))
      assert.instanceOf(error, ApiError.ApiError)
      assert.strictEqual(Recovery.of(error)._tag, "Correct")
    }))
})

describe("ResponseBody.json", () => {
  const schema = Schema.Struct({ id: Schema.String })
  const read = (body: BodyInit | null, headers: Record<string, string> = {}, operation = overwrite) =>
    ResponseBody.json(
      HttpClientResponse.fromWeb(HttpClientRequest.post("https://a.example/"), new Response(body, { headers })),
      schema
    ).pipe(Operation.within(operation))

  it.effect("decodes what was expected", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* read(`{"id":"7","more":1}`), { id: "7" })
    }))

  it.effect("rejects everything else", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [string, string]> = [
        ["", "an empty body"],
        ["OK", "plain text"],
        ["<!DOCTYPE html><title>Log in</title>", "an HTML page"],
        ["\u0000\u0001", "binary data"],
        ["<?xml version=\"1.0\"?><a/>", "XML"],
        [`{"id":"7"`, "malformed JSON"],
        [`{"id":7}`, "JSON of another shape"],
        ["7", "JSON of another shape"],
        [`{"id":"${"x".repeat(ResponseBody.maxBytes)}"}`, `more than ${ResponseBody.maxBytes} bytes`]
      ]
      for (const [body, got] of wrong) {
        const { reason } = yield* Effect.flip(read(body))
        assert.strictEqual(reason._tag, "UndecodableAnswer")
        if (reason._tag === "UndecodableAnswer") assert.strictEqual(reason.got, got)
      }
    }))

  it.effect("decodes all that it reads, not only what is read of an error", () =>
    Effect.gen(function*() {
      const id = "x".repeat(ResponseBody.maxBytes - 20)
      assert.deepStrictEqual(yield* read(JSON.stringify({ id })), { id })
    }))

  it.effect("decodes single values", () =>
    Effect.gen(function*() {
      const value = (body: string) =>
        ResponseBody.json(
          HttpClientResponse.fromWeb(HttpClientRequest.get("https://a.example/"), new Response(body)),
          Schema.Unknown
        )
      for (const expected of [42, true, null, "text", ["a"]]) {
        assert.deepStrictEqual(yield* value(` ${JSON.stringify(expected)}\n`), expected)
      }
    }))

  it.effect("names a login page only if it may be one", () =>
    Effect.gen(function*() {
      assert.include((yield* Effect.flip(read("<html>"))).message, "login page")
      for (const body of [`{"id":7}`, `{"id":`, `{"id":"${"x".repeat(ResponseBody.maxBytes)}"}`]) {
        assert.notInclude((yield* Effect.flip(read(body))).message, "login page")
      }
    }))

  it.effect("does not know the outcome of an append whose response it cannot read", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read("<html>", { "x-request-id": "r-1" }, append))
      assert.deepStrictEqual(Recovery.of(error), Recovery.verify)
      assert.strictEqual(error.requestId, "r-1")
    }))

  it.effect("distinguishes a broken connection from a wrong response", () =>
    Effect.gen(function*() {
      const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(reset) })
      assert.strictEqual((yield* Effect.flip(read(broken))).reason._tag, "TransportFailure")
    }))
})
