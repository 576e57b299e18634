import { Recovery } from "@effect-resilience/errors"
import { ErrorMapping, HttpRetry, Idempotency, Operation } from "@effect-resilience/http"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Logger, Random, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"

const policy = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })
const append: Operation.Operation = { name: "append", endpoint: "/append", idempotent: false }

const counting = (exchange: (request: HttpClientRequest.HttpClientRequest) => number | unknown) => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      requests.push(request)
      const result = exchange(request)
      return typeof result === "number"
        ? Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: result })))
        : Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: result })
          })
        )
    })
  )
  return { client, requests }
}

// What types forbid and JavaScript does not.
const untyped = (client: HttpClient.HttpClient): HttpClient.HttpClient.With<Cause.TimeoutError> =>
  client as unknown as HttpClient.HttpClient.With<Cause.TimeoutError>

const coded = (code: string) => Object.assign(new Error(code), { code })

/** How often a request was sent that failed in the same way each time. */
const sent = (
  failure: unknown,
  request: HttpClientRequest.HttpClientRequest,
  options: { readonly operation?: Operation.Operation; readonly repeatUnsafe?: boolean; readonly raw?: boolean } = {}
) =>
  Effect.gen(function*() {
    const { client, requests } = counting(() => failure)
    const { operation, raw, repeatUnsafe } = options
    const retried = raw === true
      ? HttpRetry.retry(untyped(client), policy, { repeatUnsafe })
      : HttpRetry.retry(ErrorMapping.mapErrors(client), policy, { repeatUnsafe })
    const call = Effect.ignore(retried.execute(request))
    yield* operation === undefined ? call : Operation.within(call, operation)
    return requests.length
  })

describe("HttpRetry", () => {
  it.effect("repeats idempotent requests", () =>
    Effect.gen(function*() {
      for (const failure of [500, 503, 429, coded("ECONNRESET"), coded("ECONNREFUSED")]) {
        assert.strictEqual(yield* sent(failure, HttpClientRequest.put("https://a.example/")), 3)
      }
    }))

  it.effect("repeats an unsafe request only if it was certainly not applied", () =>
    Effect.gen(function*() {
      const post = HttpClientRequest.post("https://a.example/")
      for (const failure of [429, coded("ECONNREFUSED"), coded("ENOTFOUND")]) {
        assert.strictEqual(yield* sent(failure, post), 3)
      }
      for (const failure of [500, 503, coded("ECONNRESET"), new Error("who knows")]) {
        assert.strictEqual(yield* sent(failure, post), 1)
        assert.strictEqual(yield* sent(failure, HttpClientRequest.put("https://a.example/"), { operation: append }), 1)
      }
    }))

  it.effect("is as careful with the errors of a client that is not mapped", () =>
    Effect.gen(function*() {
      const post = HttpClientRequest.post("https://a.example/")
      assert.strictEqual(yield* sent(coded("ECONNREFUSED"), post, { raw: true }), 3)
      assert.strictEqual(yield* sent(coded("ECONNRESET"), post, { raw: true }), 1)
      assert.strictEqual(
        yield* sent(coded("ECONNRESET"), HttpClientRequest.get("https://a.example/"), { raw: true }),
        3
      )

      for (const [status, times] of [[503, 1], [429, 3]] as const) {
        const { client, requests } = counting(() => status)
        const retried = HttpRetry.retry(untyped(HttpClient.filterStatusOk(client)), policy)
        yield* Effect.ignore(retried.execute(post))
        assert.strictEqual(requests.length, times)
      }

      const slow = HttpClient.transformResponse(untyped(counting(() => 200).client), () =>
        Effect.fail(new Cause.TimeoutError()))
      let calls = 0
      const timed = HttpClient.transformResponse(
        slow,
        Effect.tapError(() =>
          Effect.sync(() => calls++)
        )
      )
      yield* Effect.ignore(HttpRetry.retry(timed, policy).execute(post))
      assert.strictEqual(calls, 1)
    }))

  it.effect("repeats an unsafe request if repeatUnsafe is set", () =>
    Effect.gen(function*() {
      const post = HttpClientRequest.post("https://a.example/")
      assert.strictEqual(yield* sent(500, post, { repeatUnsafe: true }), 3)
      assert.strictEqual(yield* sent(coded("ECONNRESET"), post, { repeatUnsafe: true, raw: true }), 3)
      assert.strictEqual(yield* sent(400, post, { repeatUnsafe: true }), 1)
      assert.strictEqual(yield* sent(500, post, { operation: { ...append, idempotent: true } }), 3)
    }))

  it.effect("repeats an unsafe request with an idempotency key", () =>
    Effect.gen(function*() {
      const keyed = HttpClientRequest.setHeader(HttpClientRequest.post("https://a.example/"), "Idempotency-Key", "k-1")
      assert.strictEqual(yield* sent(500, keyed), 3)
      assert.strictEqual(yield* sent(500, keyed, { operation: append }), 3)
    }))

  it.effect("prepares the request anew for each attempt, as a token needs", () =>
    Effect.gen(function*() {
      let token = 0
      const { client, requests } = counting(() => 503)
      const retried = client.pipe(
        HttpClient.mapRequestEffect((request) =>
          Effect.sync(() => HttpClientRequest.setHeader(request, "x-token", String(++token)))
        ),
        ErrorMapping.mapErrors(),
        HttpRetry.retry(policy)
      )
      yield* Effect.ignore(retried.get("https://a.example/"))
      assert.deepStrictEqual(requests.map((request) => request.headers["x-token"]), ["1", "2", "3"])
    }))

  it.effect("passes the policy's own options on", () =>
    Effect.gen(function*() {
      const { client, requests } = counting(() => 404)
      const retried = client.pipe(
        ErrorMapping.mapErrors(),
        HttpRetry.retry(policy, { classify: () => Recovery.retry, when: (_, attempt) => attempt < 2 })
      )
      yield* Effect.ignore(retried.get("https://a.example/"))
      assert.lengthOf(requests, 2)
    }))

  describe("with streamed bodies", () => {
    const reading = (statuses: ReadonlyArray<number>, take: number) => {
      const received: Array<number> = []
      const client = HttpClient.make((request) =>
        Effect.gen(function*() {
          let size = 0
          if (request.body._tag === "Stream") {
            const body = received.length === 0 ? Stream.take(request.body.stream, take) : request.body.stream
            yield* Stream.runForEach(body, (chunk) => Effect.sync(() => (size += chunk.byteLength))).pipe(
              Effect.mapError((cause) =>
                new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
              )
            )
          }
          received.push(size)
          const status = statuses[received.length - 1] ?? 200
          return HttpClientResponse.fromWeb(request, new Response(null, { status }))
        })
      )
      return { client: client.pipe(ErrorMapping.mapErrors(), HttpRetry.retry(policy)), received }
    }
    const chunks = [new Uint8Array(3), new Uint8Array(4)]

    it.effect("sends a fresh body in each attempt", () =>
      Effect.gen(function*() {
        const { client, received } = reading([503, 503, 200], 1)
        yield* client.put("https://a.example/", {
          body: HttpBody.stream(Stream.fromIterable(chunks).pipe(Stream.rechunk(1)))
        })
        assert.deepStrictEqual(received, [3, 7, 7])
      }))

    it.effect("fails typed if the body can be read only once, instead of sending an empty one", () =>
      Effect.gen(function*() {
        const { client, received } = reading([503, 200], 2)
        const once = chunks[Symbol.iterator]()
        const body = HttpBody.stream(Stream.rechunk(Stream.fromIterable({ [Symbol.iterator]: () => once }), 1))
        const error = yield* Effect.flip(client.put("https://a.example/", { body }))
        assert.instanceOf(error, HttpRetry.BodyNotReplayable)
        assert.deepInclude(error, { expected: 7, got: 0 })
        assert.deepStrictEqual(Recovery.of(error), Recovery.giveUp)
        assert.deepStrictEqual(received, [7])
      }))

    it.effect("does not repeat a request whose body is a web stream", () =>
      Effect.gen(function*() {
        const { client, requests } = counting(() => 503)
        const retried = HttpRetry.retry(ErrorMapping.mapErrors(client), policy)
        yield* Effect.ignore(retried.put("https://a.example/", { body: HttpBody.raw(new ReadableStream()) }))
        assert.lengthOf(requests, 1)
      }))
  })
})

describe("Idempotency.addKeys", () => {
  const keysOf = (requests: ReadonlyArray<HttpClientRequest.HttpClientRequest>) =>
    requests.map((request) => request.headers[Idempotency.header])

  it.effect("gives all attempts of a call one key, and each call another", () =>
    Effect.gen(function*() {
      const { client, requests } = counting(() => 500)
      const keyed = client.pipe(ErrorMapping.mapErrors(), HttpRetry.retry(policy), Idempotency.addKeys)
      yield* Effect.ignore(keyed.post("https://a.example/"))
      yield* Effect.ignore(keyed.patch("https://a.example/"))
      const keys = keysOf(requests)
      assert.lengthOf(keys, 6)
      assert.strictEqual(new Set(keys.slice(0, 3)).size, 1)
      assert.strictEqual(new Set(keys).size, 2)
      for (const key of keys) {
        assert.match(String(key), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      }
    }).pipe(Random.withSeed("keys")))

  it.effect("leaves idempotent requests and given keys alone", () =>
    Effect.gen(function*() {
      const { client, requests } = counting(() => 200)
      const keyed = Idempotency.addKeys(client)
      yield* keyed.put("https://a.example/")
      yield* Operation.within(keyed.post("https://a.example/"), {
        name: "search",
        endpoint: "/search",
        idempotent: true
      })
      yield* keyed.post("https://a.example/", { headers: { "idempotency-key": "mine" } })
      assert.deepStrictEqual(keysOf(requests), [undefined, undefined, "mine"])
    }))

  it.effect("uses the key that the caller sets", () =>
    Effect.gen(function*() {
      const { client, requests } = counting(() => 200)
      yield* Idempotency.withKey(Idempotency.addKeys(client).post("https://a.example/"), "order-7")
      assert.deepStrictEqual(keysOf(requests), ["order-7"])
    }))

  it("does not type-check over a client whose errors are not mapped", () => {
    const { client, requests } = counting(() => 200)
    // @ts-expect-error: Put ErrorMapping.mapErrors between the transport and HttpRetry.retry
    HttpRetry.retry(client, policy)
    // @ts-expect-error: the same in a pipe
    client.pipe(HttpRetry.retry(policy))
    client.pipe(ErrorMapping.mapErrors(), HttpRetry.retry(policy))
    assert.strictEqual(requests.length, 0)
  })

  it.effect("warns of a client that takes a 503 for a success", () =>
    Effect.gen(function*() {
      const messages: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => {
        messages.push(String(message))
      })])
      const busy = HttpClient.make((request) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, new Response("busy", { status: 503 })))
      )
      const client = HttpRetry.retry(untyped(busy), RetryPolicy.make({ backoff: Backoff.immediate }))
      const twice = Effect.andThen(client.get("https://api.example.com/"), client.get("https://api.example.com/"))
      yield* Effect.provide(twice, logger)
      assert.strictEqual(messages.length, 1)
      assert.include(messages[0], "ErrorMapping.mapErrors")
    }))
})
