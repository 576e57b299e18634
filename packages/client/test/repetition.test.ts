import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Effect, type Layer, Queue, Stream } from "effect"
import { FetchHttpClient, HttpBody, type HttpClient, HttpClientRequest } from "effect/http"

/** A server that gives these statuses in turn, then 200, and keeps the bodies that it got. */
const serve = (...statuses: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const bodies: Array<string> = []
    const { url } = yield* LocalServer.http((request, response) => {
      let body = ""
      request.setEncoding("utf8").on("data", (text: string) => body += text)
      request.on("end", () => {
        bodies.push(body)
        response.writeHead(statuses[bodies.length - 1] ?? 200).end()
      })
    })
    const client = yield* ResilientClient.make({
      name: "ledger",
      baseUrl: `${url}/`,
      pipeline: { retry: { times: 2, backoff: { base: 0 } }, hedge: { idempotent: true, after: 0 } }
    }, { parts: Parts }).pipe(Effect.provide(fetching))
    return { bodies, client }
  })

const fetching: Layer.Layer<HttpClient.HttpClient> = FetchHttpClient.layer

const put = (body: HttpBody.HttpBody) => HttpClientRequest.put("/report").pipe(HttpClientRequest.setBody(body))

const text = (...pieces: ReadonlyArray<string>) => pieces.map((piece) => new TextEncoder().encode(piece))

describe("what a client sends again", () => {
  it.live("is no body that can be read once, although its method is idempotent", () =>
    Effect.gen(function*() {
      const { bodies, client } = yield* serve(503)
      const source = new ReadableStream({
        start(controller) {
          for (const bytes of text("one ", "two")) controller.enqueue(bytes)
          controller.close()
        }
      })
      const error = yield* Effect.flip(client.execute(put(HttpBody.raw(source))))
      assert.deepInclude(error, { _tag: "ApiError" })
      assert.strictEqual(Recovery.of(error)._tag, "Retry")
      assert.deepStrictEqual(bodies, ["one two"])
    }).pipe(Effect.scoped))

  it.live("is a stream that opens its source anew, one attempt after another", () =>
    Effect.gen(function*() {
      const { bodies, client } = yield* serve(503)
      const response = yield* client.execute(put(HttpBody.stream(Stream.fromIterable(text("one ", "two")))))
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual(bodies, ["one two", "one two"])
    }).pipe(Effect.scoped))

  it.live("is no stream whose source is used up", () =>
    Effect.gen(function*() {
      const { bodies, client } = yield* serve(503)
      const queue = yield* Queue.unbounded<Uint8Array, Cause.Done>()
      yield* Queue.offerAll(queue, text("one ", "two"))
      yield* Queue.end(queue)
      const error = yield* Effect.flip(client.execute(put(HttpBody.stream(Stream.fromQueue(queue)))))
      assert.deepInclude(error, { _tag: "BodyNotReplayable", expected: 7, got: 0 })
      assert.deepStrictEqual(bodies, ["one two"])
    }).pipe(Effect.scoped))

  it.live("is no POST, even where a hedge is told that all calls are idempotent", () =>
    Effect.gen(function*() {
      const { bodies, client } = yield* serve(503)
      const error = yield* Effect.flip(client.post("/orders", { body: HttpBody.text("order") }))
      assert.strictEqual(Recovery.of(error), Recovery.verify)
      assert.deepStrictEqual(bodies, ["order"])
    }).pipe(Effect.scoped))
})
