import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { ApiError } from "@effect-resilience/errors"
import { AccessLog, ErrorMapping, HttpRetry, Operation, ResponseBody } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, type Scope, Stream } from "effect"
import {
  FetchHttpClient,
  Headers,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  HttpClientResponse
} from "effect/http"
import { TestClock } from "effect/testing"
import type * as Http from "node:http"
import { inspect } from "node:util"

const token = "S3CRET-TOKEN"

/** A server on a real socket. */
const serve = (handler: Http.RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(LocalServer.http(handler), ({ url }) => url)

/** Sends the head and the first half of a body, then breaks off. */
const breakOff = (response: Http.ServerResponse, type: string, length?: number) => {
  response.writeHead(200, { "content-type": type, ...(length === undefined ? {} : { "content-length": length }) })
  response.write("{\"id\":")
  setImmediate(() => setImmediate(() => response.destroy()))
}

type Read = (
  response: HttpClientResponse.HttpClientResponse
) => Effect.Effect<unknown, HttpClientError.HttpClientError | Schema.SchemaError>

const ways: { readonly [name: string]: Read } = {
  text: (response) => response.text,
  json: (response) => response.json,
  arrayBuffer: (response) => response.arrayBuffer,
  stream: (response) => Stream.runDrain(response.stream),
  urlParamsBody: (response) => response.urlParamsBody,
  formData: (response) => response.formData,
  schemaBodyJson: HttpClientResponse.schemaBodyJson(Schema.Struct({ id: Schema.Number }))
}

const Table = Schema.Struct({ id: Schema.Number })

const withToken = HttpClient.mapRequest(HttpClientRequest.bearerToken(token))

const chunked = (chunks: ReadonlyArray<string>, headers: Record<string, string>): HttpClient.HttpClient =>
  HttpClient.make((request) =>
    Effect.succeed(
      HttpClientResponse.fromWeb(
        request,
        new Response(
          new ReadableStream({
            start: (controller) => {
              for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
              controller.close()
            }
          }),
          { headers }
        )
      )
    )
  )

describe("a body", () => {
  for (const [name, read] of Object.entries(ways)) {
    for (const body of ["json", "stream"] as const) {
      it.live(`that breaks off while ${name} reads it fails as an ApiError without the token (body: ${body})`, () =>
        Effect.gen(function*() {
          const base = yield* serve((_, response) => breakOff(response, "application/json"))
          const client = (yield* HttpClient.HttpClient).pipe(withToken, ErrorMapping.mapErrors({ body }))
          const error: unknown = yield* Effect.flip(Effect.flatMap(client.get(base), read))
          assert.propertyVal(error, "_tag", "ApiError")
          assert.notInclude(inspect(error, { depth: 20, showHidden: true, getters: true }), token)
        }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)))
    }
  }

  for (const length of [undefined, 100]) {
    it.live(`that breaks off is retried in the README's composition, and logged (length ${length})`, () =>
      Effect.gen(function*() {
        let requests = 0
        const base = yield* serve((_, response) => {
          if (++requests === 1) return breakOff(response, "application/json", length)
          response.writeHead(200, { "content-type": "application/json" })
          response.end("{\"id\":7}")
        })
        const client = (yield* HttpClient.HttpClient).pipe(
          ErrorMapping.mapErrors({ timeout: "30 seconds" }),
          AccessLog.logAttempts,
          HttpRetry.retry(RetryPolicy.make({ backoff: Backoff.immediate }))
        )
        const table = client.get(`${base}/tables/GL`).pipe(
          Effect.flatMap(ResponseBody.json(Table)),
          AccessLog.logCall,
          Operation.within({ name: "read table", endpoint: "/tables/{table}" })
        )
        assert.deepStrictEqual(yield* table, { id: 7 })
        const entries = yield* (yield* AccessLog.Memory).entries
        assert.deepStrictEqual(
          entries.map(({ error, kind, outcome }) => [kind, outcome, error?.reason]),
          [["attempt", "failure", "TransportFailure"], ["attempt", "success", undefined], [
            "call",
            "success",
            undefined
          ]]
        )
      }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(FetchHttpClient.layer, AccessLog.layerMemory))))
  }

  it.effect("that drips without end is cut off by the attempt's timeout, if the attempt reads it", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 hours")
      const drip = HttpClient.make((request) =>
        Effect.succeed(
          Object.create(HttpClientResponse.fromWeb(request, new Response()), {
            headers: { value: Headers.fromInput({ "content-type": "application/json" }) },
            stream: { value: Stream.fromEffectRepeat(Effect.as(Effect.sleep("5 seconds"), new Uint8Array([32]))) }
          })
        )
      )
      const client = ErrorMapping.mapErrors(drip, { timeout: "30 seconds" })
      const fiber = yield* Effect.forkChild(client.get("https://api.example.com/x"))
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const exit = yield* Effect.exit(Fiber.join(fiber))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).reason._tag, "Timeout")
    }))

  it.effect("of JSON can be read in every way, and twice, after the attempt has read it", () =>
    Effect.gen(function*() {
      const client = ErrorMapping.mapErrors(chunked(["{\"i", "d\":7}"], { "content-type": "application/json" }))
      const response = yield* client.get("https://api.example.com/x")
      assert.strictEqual(yield* response.text, "{\"id\":7}")
      assert.deepStrictEqual(yield* response.json, { id: 7 })
      assert.deepStrictEqual(yield* ResponseBody.json(response, Table), { id: 7 })
      assert.strictEqual(new TextDecoder().decode(yield* response.arrayBuffer), "{\"id\":7}")
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(response.stream)), "{\"id\":7}")
      assert.strictEqual(response.status, 200)
    }))

  it.effect("that is larger than what an attempt reads is passed on from its first byte to its last", () =>
    Effect.gen(function*() {
      const chunk = "x".repeat(100_000)
      const all = [`"`, ...Array.from({ length: 25 }, () => chunk), `"`]
      const client = ErrorMapping.mapErrors(chunked(all, { "content-type": "application/json" }))
      const response = yield* client.get("https://api.example.com/x")
      assert.strictEqual((yield* response.text).length, 2_500_002)
      const tooLong = yield* Effect.flip(
        ResponseBody.json(yield* client.get("https://api.example.com/x"), Schema.String)
      )
      assert.include(tooLong.message, `more than ${ResponseBody.maxBytes} bytes`)
      const streamed = yield* client.get("https://api.example.com/x")
      assert.strictEqual((yield* Stream.mkString(Stream.decodeText(streamed.stream))).length, 2_500_002)
    }))

  it.live("that unpacks to more than an attempt reads is left to the caller, whatever length the packed one has", () =>
    Effect.gen(function*() {
      let unpacked = 0
      const bomb = HttpClient.make((request) =>
        Effect.succeed(
          HttpClientResponse.fromWeb(
            request,
            new Response(
              new ReadableStream({
                pull: (controller) => {
                  unpacked += 100_000
                  if (unpacked > 20_000_000) controller.close()
                  else controller.enqueue(new Uint8Array(100_000))
                }
              }, { highWaterMark: 0 }),
              { headers: { "content-type": "application/json", "content-encoding": "gzip", "content-length": "20000" } }
            )
          )
        )
      )
      yield* ErrorMapping.mapErrors(bomb).get("https://api.example.com/x")
      assert.isBelow(unpacked, 1_500_000)
    }))

  it.effect("of another type is read as it comes, unless a client asks for whole bodies", () =>
    Effect.gen(function*() {
      let pulled = 0
      const endless = HttpClient.make((request) =>
        Effect.succeed(
          HttpClientResponse.fromWeb(
            request,
            new Response(
              new ReadableStream({
                pull: (controller) => {
                  if (++pulled > 20) controller.close()
                  else controller.enqueue(new Uint8Array(10))
                }
              }, { highWaterMark: 0 }),
              { headers: { "content-type": "text/event-stream" } }
            )
          )
        )
      )
      yield* ErrorMapping.mapErrors(endless).get("https://api.example.com/x")
      assert.strictEqual(pulled, 0)
      const response = yield* ErrorMapping.mapErrors(endless, { body: "whole" }).get("https://api.example.com/x")
      assert.strictEqual(pulled, 21)
      assert.strictEqual((yield* response.arrayBuffer).byteLength, 200)
    }))

  it.effect("that is called JSON and is not fails its attempt, which is not repeated", () =>
    Effect.gen(function*() {
      let requests = 0
      const called = (body: string, type = "application/problem+json; charset=utf-8") =>
        HttpClient.make((request) => {
          requests++
          const headers = { "content-type": type, "x-request-id": "r-1" }
          return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body, { headers })))
        })
      const retry = RetryPolicy.retry(RetryPolicy.make({ times: 2, backoff: Backoff.immediate }))
      const wrong = {
        "<html><title>Log in</title>": "an HTML page",
        "{\"id\":7": "malformed JSON",
        " ": "an empty body"
      }
      for (const [body, got] of Object.entries(wrong)) {
        for (const reads of ["json", "whole"] as const) {
          const client = ErrorMapping.mapErrors(called(body), { body: reads })
          requests = 0
          const error = yield* Effect.flip(retry(client.get("https://api.example.com/me")))
          assert.isTrue(error instanceof ApiError.ApiError)
          assert.deepInclude(error.reason, { _tag: "UndecodableAnswer", status: 200, got })
          assert.strictEqual(error.requestId, "r-1")
          assert.strictEqual(requests, 1)
          const posted = yield* Effect.flip(client.post("https://api.example.com/orders"))
          assert.strictEqual(posted.reason._tag, "OutcomeUnknown")
        }
        const stream = ErrorMapping.mapErrors(called(body), { body: "stream" })
        assert.strictEqual(yield* Effect.flatMap(stream.get("https://api.example.com/me"), ({ text }) => text), body)
        const page = ErrorMapping.mapErrors(called(body, "text/html"), { body: "whole" })
        assert.strictEqual(yield* Effect.flatMap(page.get("https://api.example.com/me"), ({ text }) => text), body)
      }
      const range = HttpClient.make((request) =>
        Effect.succeed(HttpClientResponse.fromWeb(
          request,
          new Response("{\"id\"", { status: 206, headers: { "content-type": "application/json" } })
        ))
      )
      assert.strictEqual((yield* ErrorMapping.mapErrors(range).get("https://api.example.com/file")).status, 206)
      const nothing = yield* ErrorMapping.mapErrors(called("")).get("https://api.example.com/me")
      assert.isNull(yield* nothing.json)
    }))

  it.effect("of JSON is the reader's own, however often it is read", () =>
    Effect.gen(function*() {
      const api = HttpClient.make((request) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, Response.json({ id: 7 })))
      )
      const response = yield* ErrorMapping.mapErrors(api).get("https://api.example.com/me")
      for (let read = 0; read < 3; read++) {
        const value = (yield* response.json) as { id: number }
        assert.deepStrictEqual(value, { id: 7 })
        value.id = 8
      }
    }))

  it.effect("that was not applied for certain makes a POST's outcome unknown when it breaks off", () =>
    Effect.gen(function*() {
      const broken = HttpClient.make((request) =>
        Effect.succeed(
          HttpClientResponse.fromWeb(
            request,
            new Response(
              new ReadableStream({
                start: (controller) =>
                  controller.error(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }))
              }),
              { headers: { "content-type": "application/json" } }
            )
          )
        )
      )
      for (const body of ["json", "stream"] as const) {
        const client = ErrorMapping.mapErrors(broken, { body })
        const post = client.post("https://api.example.com/orders").pipe(Effect.flatMap(ResponseBody.json(Table)))
        assert.strictEqual((yield* Effect.flip(post)).reason._tag, "OutcomeUnknown")
      }
    }))
})
