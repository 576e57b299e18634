import type { AuthError } from "@effect-resilience/auth"
import { ResilientClient } from "@effect-resilience/client"
import { ApiError, Classifier, NotAsked } from "@effect-resilience/errors"
import { ErrorMapping, Operation } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"

const over = (
  respond: (request: HttpClientRequest.HttpClientRequest, n: number) => Response | Error,
  description: Partial<ResilientClient.Description> = {}
) => {
  let requests = 0
  const transport = HttpClient.make((request) =>
    Effect.suspend(() => {
      const response = respond(request, ++requests)
      return response instanceof Response
        ? Effect.succeed(HttpClientResponse.fromWeb(request, response))
        : Effect.fail(
          HttpClientError.isHttpClientError(response) ? response : new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: response })
          })
        )
    })
  )
  return Effect.provide(
    HttpClient.HttpClient,
    ResilientClient.layerHttpClient({
      name: "ledger",
      baseUrl: "https://ledger.example.com",
      pipeline: { retry: { times: 2, backoff: { base: 0 } } },
      ...description
    }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, transport)))
  )
}

const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })

const failureOf = <A>(self: Effect.Effect<A, HttpClientError.HttpClientError>) => Effect.flip(self)

describe("ResilientClient.layerHttpClient", () => {
  it.effect("a status is a response, after the policies have judged it", () =>
    Effect.gen(function*() {
      const bodies = yield* over((_, n) => new Response(`{"n":${n}}`, { status: 503 }))
      const response = yield* bodies.get("/a")
      assert.deepStrictEqual([response.status, yield* response.json], [503, { n: 3 }])
      const filtered = yield* failureOf(HttpClient.filterStatusOk(bodies).get("/a"))
      assert.strictEqual(filtered.reason._tag, "StatusCodeError")
      assert.isTrue(HttpClient.isTransientError(filtered))
    }))

  it.effect("where there is none, the error is a genuine HttpClientError whose cause says what to do", () =>
    Effect.gen(function*() {
      const broken = yield* over(() => reset)
      const lost = yield* failureOf(broken.get("/a"))
      assert.instanceOf(lost, HttpClientError.HttpClientError)
      assert.strictEqual(lost.reason._tag, "TransportError")
      assert.instanceOf(lost.cause, ApiError.ApiError)
      assert.strictEqual(Classifier.classify(lost)._tag, "Retry")

      const unknown = yield* failureOf(broken.post("/orders"))
      assert.strictEqual(Classifier.classify(unknown)._tag, "Verify")
      assert.isFalse(NotAsked.isNotAsked(unknown))

      const foreign = yield* failureOf(broken.get("https://elsewhere.test/"))
      assert.strictEqual(foreign.reason._tag, "InvalidUrlError")
      assert.strictEqual(Classifier.classify(foreign)._tag, "Correct")

      const open = yield* over(() => reset, {
        pipeline: { circuitBreaker: { tripPolicy: { consecutive: 1 }, openDuration: "1 minute" } }
      })
      yield* failureOf(open.get("/a"))
      const rejected = yield* failureOf(open.get("/a"))
      assert.isTrue(NotAsked.isNotAsked(rejected), rejected.message)
      assert.isFalse(NotAsked.isNotAsked(lost))
    }))

  it.effect("a body that breaks off fails with HttpClientError too", () =>
    Effect.gen(function*() {
      const bodies: Array<ReadableStreamDefaultController> = []
      // The two retries of a call find no server.
      const client = yield* over((_, n) =>
        n % 3 === 1 ? new Response(new ReadableStream({ start: (body) => void bodies.push(body) })) : reset
      )
      const response = yield* client.get("/a")
      bodies[0]?.error(reset)
      const error = yield* failureOf(response.text)
      assert.instanceOf(error, HttpClientError.HttpClientError)
      assert.strictEqual(error.reason._tag, "DecodeError")
      assert.strictEqual(error.request.url, "/a")
      assert.strictEqual(error.response?.status, 200)
      assert.strictEqual(error.reason.description, error.cause instanceof Error ? error.cause.message : undefined)
      assert.strictEqual(Classifier.classify(error)._tag, "Retry")
      const other = yield* client.get("/a")
      bodies[1]?.error(reset)
      const streamed = yield* Effect.flip(HttpClientResponse.schemaBodyJson(Schema.String)(other))
      assert.instanceOf(streamed, HttpClientError.HttpClientError)
    }))

  it.effect("a body that cannot be sent is the caller's", () =>
    Effect.gen(function*() {
      const client = yield* over((request) =>
        new HttpClientError.HttpClientError({ reason: new HttpClientError.EncodeError({ request }) })
      )
      assert.strictEqual((yield* failureOf(client.put("/a"))).reason._tag, "EncodeError")
    }))

  it.effect("the response of a call within, such as one for a signature, is not that of the call", () =>
    Effect.gen(function*() {
      const down = HttpClient.make((request) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, new Response("no signature", { status: 500 })))
      )
      const service = yield* Effect.provideService(
        ResilientClient.make({ name: "signer", baseUrl: "https://signer.example.com", pipeline: {} }),
        HttpClient.HttpClient,
        down
      )
      for (const signer of [service, ErrorMapping.mapErrors(down)]) {
        const client = yield* over(() => new Response("signed"), {
          auth: (client) =>
            HttpClient.mapRequestEffect(
              client,
              (request): Effect.Effect<HttpClientRequest.HttpClientRequest, AuthError.AuthError> =>
                Effect.as(signer.get("https://signer.example.com/"), request) as Effect.Effect<typeof request, never>
            )
        })
        const error = yield* failureOf(client.get("/a"))
        assert.strictEqual(error.reason._tag, "TransportError")
        assert.instanceOf(error.cause, ApiError.ApiError)
        assert.strictEqual(ApiError.statusOf((error.cause as ApiError.ApiError).reason), 500)
      }
    }))

  it.effect("the error holds the caller's request, not the one with credentials", () =>
    Effect.gen(function*() {
      const client = yield* over(() => reset, {
        auth: <E, R>(client: HttpClient.HttpClient.With<E, R>) =>
          HttpClient.mapRequestEffect(client, (request) =>
            Effect.succeed(HttpClientRequest.setHeader(request, "x-token", "secret-token")) as Effect.Effect<
              HttpClientRequest.HttpClientRequest,
              AuthError.AuthError
            >)
      })
      const error = yield* failureOf(Operation.within(client.get("/a"), { name: "read", endpoint: "/a" }))
      assert.deepStrictEqual(Object.keys(error.request.headers), [])
      assert.notInclude(Cause.pretty(Cause.fail(error)), "secret-token")
    }))
})
