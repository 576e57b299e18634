import * as LocalServer from "@effect-resilience/chaos/LocalServer"
import { Repetition } from "@effect-resilience/errors"
import { Idempotency, Operation } from "@effect-resilience/http"
import { Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Stream } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import { Readable } from "node:stream"

describe("a hedge of requests", () => {
  it.live("takes the second response, and breaks the first request off", () =>
    Effect.gen(function*() {
      const brokenOff = yield* Deferred.make<void>()
      let requests = 0
      const { url } = yield* LocalServer.http((_, response) => {
        if (++requests === 1) response.on("close", () => Deferred.doneUnsafe(brokenOff, Effect.void))
        else response.end(`request ${requests}`)
      })
      const hedge = yield* Hedge.make({ after: "20 millis" })
      const client = (yield* HttpClient.HttpClient).pipe(
        HttpClient.transform((call) => hedge.execute(call)),
        Idempotency.declare
      )
      const response = yield* client.get(url)
      assert.strictEqual(yield* response.text, "request 2")
      yield* Deferred.await(brokenOff)
    }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)))

  it.effect("is declared for what may be repeated and can be read again, and for nothing else", () =>
    Effect.gen(function*() {
      const declared = (request: HttpClientRequest.HttpClientRequest, operation?: Operation.Operation) => {
        let seen: Repetition.Repetition | undefined
        const client = HttpClient.make(() =>
          Effect.flatMap(Repetition.Current, (repetition) => {
            seen = repetition
            return Effect.never
          })
        )
        const call = Idempotency.declare(client).execute(request)
        const fiber = Effect.runFork(operation === undefined ? call : Operation.within(call, operation))
        fiber.interruptUnsafe()
        return seen
      }
      const url = "https://a.example/"
      const stream = HttpBody.stream(Stream.make(new Uint8Array(1)))
      assert.strictEqual(declared(HttpClientRequest.get(url)), "always")
      assert.strictEqual(declared(HttpClientRequest.put(url).pipe(HttpClientRequest.bodyText("x"))), "always")
      assert.strictEqual(declared(HttpClientRequest.put(url).pipe(HttpClientRequest.setBody(stream))), "inTurn")
      assert.strictEqual(
        declared(HttpClientRequest.put(url).pipe(HttpClientRequest.setBody(HttpBody.raw(new ReadableStream())))),
        "unlessBegun"
      )
      assert.strictEqual(
        declared(HttpClientRequest.put(url).pipe(HttpClientRequest.setBody(HttpBody.raw(Readable.from(["x"]))))),
        "unlessBegun"
      )
      assert.strictEqual(
        declared(HttpClientRequest.put(url).pipe(HttpClientRequest.setBody(HttpBody.raw(new Blob(["x"]))))),
        "always"
      )
      assert.strictEqual(declared(HttpClientRequest.post(url)), "unlessApplied")
      assert.strictEqual(
        declared(HttpClientRequest.post(url).pipe(HttpClientRequest.setHeader(Idempotency.header, "1"))),
        "always"
      )
      assert.strictEqual(
        declared(HttpClientRequest.get(url), { name: "draw", endpoint: "/", idempotent: false }),
        "unlessApplied"
      )
    }))
})
