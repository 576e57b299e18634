import { Authenticated, AuthError, Origin, TokenCache } from "@effect-resilience/auth"
import { SpanRecorder } from "@effect-resilience/chaos"
import { Recovery } from "@effect-resilience/errors"
import { ErrorMapping } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Fiber, Stream } from "effect"
import { Headers, HttpBody, HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as fakes from "./fakes.ts"
import * as simulation from "./simulation.ts"

const base = "https://api.example.com"
const options: Authenticated.Options = { origin: Origin.make(base), attach: Authenticated.bearer }

const reasonOf = (error: unknown): string =>
  error instanceof AuthError.AuthError ? error.reason._tag : `no AuthError: ${String(error)}`

/** Runs an effect that sleeps, on the test clock. */
const running = <A, E, R>(effect: Effect.Effect<A, E, R>, time: Duration.Input = "10 seconds") =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    yield* TestClock.adjust(time)
    return yield* Fiber.join(fiber)
  })

describe("Authenticated", () => {
  it("logs in once when 50 concurrent calls have a revoked token, in 1,000 interleavings", () => {
    for (let seed = 0; seed < 1_000; seed++) {
      const exit = simulation.run(seed, () =>
        Effect.gen(function*() {
          const { record, source } = fakes.login()
          let revoked = false
          const api = fakes.quickApi({ accepts: (token) => token !== "token-1" || !revoked, latency: 200 })
          const cache = yield* TokenCache.make(source)
          yield* cache.get
          revoked = true
          const client = Authenticated.withTokens(api.client, cache, options)
          const calls = Array.from({ length: 50 }, (_, index) => client.get(`${base}/${index}`))
          const responses = yield* Effect.all(calls, { concurrency: "unbounded" })
          return { successes: responses.length, logins: record.started, requests: api.record.requests }
        }))
      assert.deepStrictEqual(exit, Exit.succeed({ successes: 50, logins: 2, requests: 100 }), `seed ${seed}`)
    }
  })

  const handles401As = <E>(kind: string, wrap: (client: HttpClient.HttpClient) => HttpClient.HttpClient.With<E>) => {
    it.effect(`replays once with a new token after a 401 that arrives as ${kind}`, () =>
      Effect.gen(function*() {
        const { record, source } = fakes.login({ millis: 0 })
        const api = fakes.api({ accepts: (token) => token === "token-2" })
        const cache = yield* TokenCache.make(source)
        const client = Authenticated.withTokens(wrap(api.client), cache, options)
        const response = yield* running(client.get(`${base}/a`))
        assert.strictEqual(response.status, 200)
        assert.deepStrictEqual(api.seen.map((seen) => seen.token), ["token-1", "token-2"])
        assert.strictEqual(record.started, 2)
      }))

    it.effect(`fails with a typed error when the token of a new login is rejected, as ${kind}`, () =>
      Effect.gen(function*() {
        const { record, source } = fakes.login({ millis: 0 })
        const api = fakes.api({ accepts: () => false })
        const cache = yield* TokenCache.make(source)
        const client = Authenticated.withTokens(wrap(api.client), cache, options)
        const error = yield* running(Effect.flip(client.get(`${base}/a`)))
        assert.strictEqual(reasonOf(error), "StillUnauthorized")
        assert.strictEqual(record.started, 2)
        assert.strictEqual(api.seen.length, 2)
      }))
  }
  handles401As("an ApiError", (client) => ErrorMapping.mapErrors(client))
  handles401As("a response", (client) => client)
  handles401As("an HttpClientError", HttpClient.filterStatusOk)

  it.effect("says what the server said about a token that is still rejected", () =>
    Effect.gen(function*() {
      const { source } = fakes.login({ millis: 0 })
      const cache = yield* TokenCache.make(source)
      const api = fakes.api({ accepts: () => false })
      const client = Authenticated.withTokens(ErrorMapping.mapErrors(api.client), cache, options)
      const error = yield* running(Effect.flip(client.get(`${base}/a`)))
      assert.strictEqual(
        error.message,
        "Still unauthorized after a new login: who are you? Check what these credentials may do."
      )
    }))

  it.effect("does not log in again for a late 401 that belongs to an older token", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 0 })
      const cache = yield* TokenCache.make(source)
      const old = yield* running(cache.get)
      assert.isTrue(yield* cache.invalidate(old))
      yield* running(cache.get)
      assert.isFalse(yield* cache.invalidate(old))
      assert.strictEqual((yield* cache.get).generation, 2)
      assert.strictEqual(record.started, 2)
    }))

  it.effect("recovers from a late 401 even where the next token was revoked meanwhile", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 0 })
      const cache = yield* TokenCache.make(source)
      const api = fakes.api({ accepts: (token) => token === "token-3", latency: 0 })
      const slow = HttpClient.transform(api.client, (effect, request) =>
        request.headers["authorization"] === "Bearer token-1" ? Effect.delay(effect, "1 minute") : effect)
      const client = Authenticated.withTokens(slow, cache, options)
      const call = yield* Effect.forkChild(client.get(`${base}/slow`))
      yield* TestClock.adjust("1 second")
      yield* cache.invalidate(yield* cache.get)
      yield* running(cache.get)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(call)).status, 200)
      assert.strictEqual(record.started, 3)
    }))

  it.effect("recovers from a second wave of rejections an hour later", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login()
      let accepted = "token-1"
      const api = fakes.api({ accepts: (token) => token === accepted, latency: 200 })
      const cache = yield* TokenCache.make(source, { lifetime: "1 day" })
      const client = Authenticated.withTokens(api.client, cache, options)
      const wave = Effect.all(Array.from({ length: 20 }, () => client.get(`${base}/a`)), { concurrency: "unbounded" })
      for (const token of ["token-1", "token-2", "token-3"]) {
        accepted = token
        const responses = yield* running(wave)
        assert.isTrue(responses.every((response) => response.status === 200))
        yield* TestClock.adjust("1 hour")
      }
      assert.strictEqual(record.started, 3)
    }))

  it.effect("neither logs in nor replays after a failure that is no 401", () =>
    Effect.gen(function*() {
      const api = fakes.api({ accepts: () => true, respond: () => new Response("{}", { status: 403 }) })
      const broken = HttpClient.make((request) =>
        Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: "reset" })
          })
        )
      )
      const failure = Effect.fnUntraced(function*<E>(api: HttpClient.HttpClient.With<E>) {
        const { record, source } = fakes.login({ millis: 0 })
        const client = Authenticated.withTokens(api, yield* TokenCache.make(source), options)
        const error = yield* running(Effect.flip(client.get(`${base}/a`)))
        assert.strictEqual(record.started, 1)
        return error
      })
      const mapped = yield* failure(ErrorMapping.mapErrors(api.client))
      assert.strictEqual(mapped._tag === "ApiError" ? mapped.reason._tag : mapped._tag, "Forbidden")
      const status = yield* failure(HttpClient.filterStatusOk(api.client))
      assert.strictEqual(status._tag === "HttpClientError" ? status.reason._tag : status._tag, "StatusCodeError")
      assert.strictEqual(api.seen.length, 2)
      const transport = yield* failure(broken)
      assert.strictEqual(
        transport._tag === "HttpClientError" ? transport.reason._tag : transport._tag,
        "TransportError"
      )
    }))

  it.effect("makes a bounded number of logins for an API that rejects every token", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 5, 1))
      const { record, source } = fakes.login({ millis: 0 })
      const api = fakes.api({ accepts: () => false })
      const cache = yield* TokenCache.make(source, { maxReloginsPerMinute: 3 })
      const client = Authenticated.withTokens(api.client, cache, options)
      for (let call = 0; call < 20; call++) {
        const error = yield* running(Effect.flip(client.get(`${base}/a`)), "100 millis")
        assert.strictEqual(reasonOf(error), "StillUnauthorized")
      }
      assert.strictEqual(record.started, 4)
      // Where no login is made any more, the same token is not sent again either.
      assert.strictEqual(api.seen.length, 3 * 2 + 17)
      yield* TestClock.adjust("1 minute")
      yield* running(Effect.flip(client.get(`${base}/a`)))
      assert.strictEqual(record.started, 5)
    }))

  it.effect("recognizes further signs of a rejected token", () =>
    Effect.gen(function*() {
      const { source } = fakes.login({ millis: 0 })
      const api = fakes.api({
        accepts: () => true,
        respond: (request) =>
          request.headers["authorization"] === "Bearer token-1"
            ? new Response("<html>Log in</html>", { headers: { "content-type": "text/html" } })
            : undefined
      })
      const cache = yield* TokenCache.make(source)
      const client = Authenticated.withTokens(api.client, cache, {
        ...options,
        rejected: (response) => response.headers["content-type"] === "text/html"
      })
      const response = yield* running(client.get(`${base}/a`))
      assert.strictEqual(yield* response.text, "{}")
      assert.strictEqual(api.seen.length, 2)
    }))

  describe("bodies", () => {
    const setup = (accepts = "token-2") =>
      Effect.gen(function*() {
        const { record, source } = fakes.login({ millis: 0 })
        const api = fakes.api({ accepts: (token) => token === accepts })
        const cache = yield* TokenCache.make(source)
        const client = Authenticated.withTokens(ErrorMapping.mapErrors(api.client), cache, options)
        const post = (body: HttpBody.HttpBody) => client.post(`${base}/a`, { body })
        return { api, cache, post, record }
      })
    const text = "period,amount\nJanuary,12\n"
    const chunks = [text.slice(0, 7), text.slice(7)].map((part) => new TextEncoder().encode(part))

    it.effect("sends a body of bytes twice", () =>
      Effect.gen(function*() {
        const { api, post } = yield* setup()
        yield* running(post(HttpBody.text(text)))
        assert.deepStrictEqual(api.seen.map((seen) => seen.body), [text, text])
      }))

    it.effect("reads a stream of declared length twice, to the byte", () =>
      Effect.gen(function*() {
        const { api, post } = yield* setup()
        yield* running(post(HttpBody.stream(Stream.fromIterable(chunks), "text/csv", text.length)))
        assert.deepStrictEqual(api.seen.map((seen) => seen.body), [text, text])
      }))

    const oneShot = () => {
      const queue = [...chunks]
      return Stream.fromIterable({
        *[Symbol.iterator]() {
          for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) yield chunk
        }
      })
    }

    it.effect("does not store the empty second reading of a one-shot stream", () =>
      Effect.gen(function*() {
        const { api, post } = yield* setup()
        const error = yield* running(Effect.flip(post(HttpBody.stream(oneShot(), "text/csv", text.length))))
        assert.strictEqual(reasonOf(error), "NotReplayable")
        // As for a 401: no verdict on the server, and policies do not retry it.
        assert.strictEqual(Recovery.of(error)._tag, "Reauthenticate")
        assert.deepStrictEqual(api.seen.map((seen) => seen.body), [text])
      }))

    it.effect("does not replay a stream of unknown length that was begun, but replaces the token", () =>
      Effect.gen(function*() {
        const { api, cache, post } = yield* setup()
        const error = yield* running(Effect.flip(post(HttpBody.stream(oneShot(), "text/csv"))))
        assert.strictEqual(reasonOf(error), "NotReplayable")
        assert.strictEqual(api.seen.length, 1)
        assert.strictEqual((yield* running(cache.get)).generation, 2)
      }))

    it.effect("replays a stream that was not begun when the 401 came", () =>
      Effect.gen(function*() {
        const { source } = fakes.login({ millis: 0 })
        const cache = yield* TokenCache.make(source)
        const api = fakes.api({ accepts: () => true })
        const early = HttpClient.transform(api.client, (effect, request) =>
          request.headers["authorization"] === "Bearer token-1"
            ? Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 401 })))
            : effect)
        const client = Authenticated.withTokens(early, cache, options)
        yield* running(client.post(`${base}/a`, { body: HttpBody.stream(oneShot(), "text/csv") }))
        assert.deepStrictEqual(
          api.seen.map((seen) =>
            seen.body
          ),
          [text]
        )
      }))

    it.effect("leaves the length of the first reading to the transport", () =>
      Effect.gen(function*() {
        const { api, post } = yield* setup("token-1")
        yield* running(post(HttpBody.stream(Stream.fromIterable(chunks), "text/csv", text.length + 1)))
        assert.deepStrictEqual(api.seen.map((seen) => seen.body), [text])
      }))

    for (
      const value of [
        text,
        new TextEncoder().encode(text),
        new ArrayBuffer(3),
        new Blob([text]),
        new URLSearchParams("a=b"),
        new FormData()
      ]
    ) {
      it.effect(`sends a raw ${Object.prototype.toString.call(value)} twice`, () =>
        Effect.gen(function*() {
          const { api, post } = yield* setup()
          assert.strictEqual((yield* running(post(HttpBody.raw(value)))).status, 200)
          assert.strictEqual(api.seen.length, 2)
        }))
    }

    it.effect("does not replay a raw stream, whose state is unknown", () =>
      Effect.gen(function*() {
        const { post } = yield* setup()
        const error = yield* running(Effect.flip(post(HttpBody.raw(new ReadableStream()))))
        assert.strictEqual(reasonOf(error), "NotReplayable")
      }))
  })

  describe("origins", () => {
    for (
      const [url, named] of [
        ["https://evil.test/a?key=s3cr3t", "https://evil.test"],
        ["https://user:s3cr3t@api.example.com/a", "an address that must not get credentials"]
      ] as const
    ) {
      it.effect(`names ${named} as what the credentials are not for`, () =>
        Effect.gen(function*() {
          const cache = yield* TokenCache.make(fakes.login().source)
          const client = Authenticated.withTokens(fakes.api({ accepts: () => true }).client, cache, options)
          assert.strictEqual(
            (yield* Effect.flip(client.get(url))).message,
            `The credentials are for https://api.example.com and were not sent to ${named}.`
          )
        }))
    }

    for (
      const url of [
        "https://api.example.com.evil.test/a",
        "https://api.example.com@evil.test/a",
        "https://user:pass@api.example.com/a",
        "https://api.example.com:8443/a",
        "http://api.example.com/a",
        "https://api.example.co/m",
        "https:\\\\evil.test/a",
        "//evil.test/a",
        "/a",
        "not a url"
      ]
    ) {
      it.effect(`sends nothing to ${url}, and does not log in for it`, () =>
        Effect.gen(function*() {
          const { record, source } = fakes.login({ millis: 0 })
          const api = fakes.api({ accepts: () => true })
          const cache = yield* TokenCache.make(source)
          const client = Authenticated.withTokens(api.client, cache, options)
          const error = yield* running(Effect.flip(client.get(url)))
          assert.strictEqual(reasonOf(error), "ForeignOrigin")
          assert.strictEqual(api.seen.length, 0)
          assert.strictEqual(record.started, 0)
        }))
    }

    it.effect("rejects a redirect to another origin, and follows one to its own", () =>
      Effect.gen(function*() {
        const { source } = fakes.login({ millis: 0 })
        const redirects: Record<string, string> = {
          [`${base}/inside`]: `${base}/target`,
          [`${base}/outside`]: "https://evil.test/"
        }
        const api = fakes.api({
          accepts: () => true,
          respond: (request) => {
            const location = redirects[request.url]
            return location === undefined ? undefined : new Response(null, { status: 307, headers: { location } })
          }
        })
        const cache = yield* TokenCache.make(source)
        const client = Authenticated.withTokens(api.client, cache, options).pipe(HttpClient.followRedirects())
        assert.strictEqual((yield* running(client.get(`${base}/inside`))).status, 200)
        const error = yield* running(Effect.flip(client.get(`${base}/outside`)))
        assert.strictEqual(reasonOf(error), "ForeignOrigin")
        assert.isTrue(api.seen.every((seen) => seen.url.startsWith(`${base}/`)))
      }))
  })

  it.effect("redacts the header that it adds, whatever its name", () =>
    Effect.gen(function*() {
      const { source } = fakes.login({ millis: 0 })
      const api = fakes.api({ accepts: () => true })
      const cache = yield* TokenCache.make(source)
      let names: ReadonlyArray<string | RegExp> = []
      const spying = HttpClient.transform(api.client, (effect) =>
        Effect.flatMap(Headers.CurrentRedactedNames, (current) => {
          names = current
          return effect
        }))
      const { record, spans } = SpanRecorder.make()
      const client = Authenticated.withTokens(spying, cache, {
        ...options,
        attach: Authenticated.header("X-Open-Token")
      })
      const get = client.get(`${base}/a`).pipe(record, Effect.withSpan("call"))
      yield* running(get)
      yield* running(get)
      assert.includeMembers([...names], ["authorization", "x-open-token"])
      const attributes = spans.flatMap((span) => [...span.attributes.values()]).map(String)
      assert.isAbove(attributes.length, 0)
      assert.isFalse(attributes.some((value) =>
        value.includes("token-1")
      ))
    }))

  it.effect("adds its cookie to those that are there", () =>
    Effect.gen(function*() {
      const { source } = fakes.login({ millis: 0 })
      const cache = yield* TokenCache.make(source)
      const cookies: Array<string | undefined> = []
      const api = HttpClient.make((request) =>
        Effect.sync(() => {
          cookies.push(request.headers["cookie"])
          return HttpClientResponse.fromWeb(request, new Response())
        })
      )
      const client = Authenticated.withTokens(api, cache, { ...options, attach: Authenticated.cookie("open-token") })
      yield* running(client.get(`${base}/a`))
      yield* running(client.execute(HttpClientRequest.get(`${base}/a`, { headers: { cookie: "a=b" } })))
      assert.deepStrictEqual(cookies, ["open-token=token-1", "a=b; open-token=token-1"])
    }))

  it.effect("fails the call with the failure of the login", () =>
    Effect.gen(function*() {
      const { source } = fakes.login({ outcome: () => new AuthError.Rejected({ detail: "no such key" }) })
      const api = fakes.api({ accepts: () => true })
      const cache = yield* TokenCache.make(source)
      const client = Authenticated.withTokens(api.client, cache, options)
      const error = yield* running(Effect.flip(client.get(`${base}/a`)))
      assert.strictEqual(error.message, "The login was rejected: no such key. Check the credentials.")
      assert.strictEqual(api.seen.length, 0)
    }))
})
