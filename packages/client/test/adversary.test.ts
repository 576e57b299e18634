import { TokenCache, TokenSource } from "@effect-resilience/auth"
import { SpanRecorder } from "@effect-resilience/chaos"
import { Parts, ResilientClient } from "@effect-resilience/client"
import { Recovery } from "@effect-resilience/errors"
import { AccessLog, Operation } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, ManagedRuntime, Redacted, References } from "effect"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"

type Respond = (request: HttpClientRequest.HttpClientRequest, url: URL, index: number) => Effect.Effect<Response>

/** A transport that counts what runs in it. */
const transport = (respond: Respond = () => Effect.succeed(Response.json({ id: 7 }))) => {
  const sent: Array<string> = []
  let running = 0
  let most = 0
  const client = HttpClient.make((request, url) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        sent.push(`${request.method} ${url.pathname}`)
        most = Math.max(most, ++running)
        return sent.length - 1
      }),
      (index) => Effect.map(respond(request, url, index), (response) => HttpClientResponse.fromWeb(request, response)),
      () => Effect.sync(() => running--)
    )
  )
  return { sent, running: () => running, most: () => most, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const status = (code: number) =>
  Effect.sync(() => new Response("{}", { status: code, headers: { "content-type": "application/json" } }))

const baseUrl = "https://ledger.example.com"

const quick = { retry: { times: 2, backoff: { base: 0 } }, bulkhead: { permits: 4, queue: 20_000 } }

const numbers = (client: ResilientClient.ResilientClient) =>
  Effect.map(
    client.status,
    ({ parts }) => parts.flatMap(({ now }) => [now?.["running"], now?.["waiting"]].filter((n) => n !== undefined))
  )

const tokens = (login: Effect.Effect<void> = Effect.void) =>
  Effect.suspend(() => {
    let logins = 0
    return Effect.map(
      TokenCache.make(TokenSource.fromEffect(
        Effect.map(
          Effect.tap(Effect.sync(() => ++logins), () => login),
          (n) => ({ value: Redacted.make(`token-${n}`) })
        ),
        { identity: ["test"] }
      )),
      (cache) => ({ cache, logins: () => logins })
    )
  })

class CountingScheduler extends Scheduler.MixedScheduler {
  steps = 0
  readonly at: number
  happen: () => void = () => {}
  constructor(at: number) {
    super()
    this.at = at
  }
  override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    if (++this.steps !== this.at) return super.shouldYield(fiber)
    this.happen()
    return true
  }
}

describe("an adversary of the client", () => {
  it.effect("an interruption before any step leaves no permit, attempt, span or login behind", () =>
    Effect.gen(function*() {
      let finished = false
      let steps = 0
      for (let at = 1; !finished; at += 2) {
        const server = transport((_, __, index) => Effect.andThen(Effect.yieldNow, status([401][index] ?? 200)))
        const { cache } = yield* tokens(Effect.yieldNow)
        const client = yield* Effect.provide(
          ResilientClient.make({ name: "ledger", baseUrl, pipeline: quick, auth: ResilientClient.tokens(cache) }, {
            parts: Parts
          }),
          server.layer
        )
        const { record, spans } = SpanRecorder.make()
        const scheduler = new CountingScheduler(at)
        const { entries, exit } = yield* Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(
            Effect.provideService(
              Effect.flatMap(client.get("/x"), (response) => response.json),
              Scheduler.Scheduler,
              scheduler
            )
          )
          scheduler.happen = () => fiber.interruptUnsafe()
          const exit = yield* Fiber.await(fiber)
          return { exit, entries: yield* (yield* AccessLog.Memory).entries }
        }).pipe(record, Effect.provide(AccessLog.layerMemory))
        steps = at
        finished = scheduler.steps < at
        assert.isTrue(Exit.isSuccess(exit) || !finished, `${at}`)
        assert.strictEqual(server.running(), 0, `${at}`)
        assert.isTrue((yield* numbers(client as never)).every((n) => n === 0), `${at}`)
        assert.isTrue(spans.every((span) => span.status._tag === "Ended"), `${at}`)
        const attempts = entries.filter(({ kind }) => kind === "attempt")
        assert.isAtMost(server.sent.length - attempts.length, 0, `${at}: ${server.sent.length} ${attempts.length}`)
        assert.isAtMost(entries.filter(({ kind }) => kind === "call").length, 1)
        assert.strictEqual((yield* cache.status).waiting, 0)
        assert.strictEqual((yield* client.get("/after")).status, 200)
      }
      assert.isAbove(steps, 100)
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("10,000 calls at once end, within the bulkhead, with one login", () =>
    Effect.gen(function*() {
      const server = transport(() => Effect.andThen(Effect.yieldNow, status(200)))
      const { cache, logins } = yield* tokens(Effect.yieldNow)
      const client = yield* Effect.provide(
        ResilientClient.make({ name: "ledger", baseUrl, pipeline: quick, auth: ResilientClient.tokens(cache) }, {
          parts: Parts
        }),
        server.layer
      )
      yield* Effect.forEach(Array.from({ length: 10_000 }, (_, n) => n), (n) => client.get(`/${n}`), {
        concurrency: "unbounded",
        discard: true
      })
      assert.strictEqual(server.sent.length, 10_000)
      assert.strictEqual(server.most(), 4)
      assert.strictEqual(logins(), 1)
    }).pipe(Effect.scoped))

  it.effect("reloads during calls lose no call and no permit", () =>
    Effect.gen(function*() {
      const server = transport(() => Effect.delay(status(200), "10 millis"))
      const client = yield* Effect.provide(
        ResilientClient.make({ name: "ledger", baseUrl, pipeline: quick }, { parts: Parts }),
        server.layer
      )
      const calls = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 100 }, (_, n) => n), (n) => client.get(`/${n}`), {
          concurrency: "unbounded"
        })
      )
      for (let n = 0; n < 60; n++) {
        yield* TestClock.adjust("7 millis")
        yield* client.reload({
          name: "ledger",
          baseUrl: n % 3 === 0 ? [baseUrl, "https://b.example"] : `https://${n % 2}.example`,
          pipeline: n % 5 === 0 ? {} : { ...quick, bulkhead: { permits: 1 + n % 7, queue: 200 } },
          operations: n % 2 === 0 ? {} : { read: { endpoint: "GET /{n}", pipeline: { bulkhead: { permits: 2 } } } }
        })
      }
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(calls)).length, 100)
      assert.isTrue((yield* numbers(client as never)).every((n) => n === 0))
    }))

  it.effect("a layer that is built twice makes two clients", () =>
    Effect.gen(function*() {
      const server = transport(() => status(503))
      const layer = Layer.provide(
        ResilientClient.layer({
          name: "ledger",
          baseUrl,
          pipeline: { circuitBreaker: { tripPolicy: { consecutive: 1 } } }
        }),
        server.layer
      )
      const [one, two] = [yield* Layer.build(layer), yield* Layer.build(Layer.fresh(layer))].map((context) =>
        Effect.provide(ResilientClient.ResilientClient, context)
      ) as [Effect.Effect<ResilientClient.ResilientClient>, Effect.Effect<ResilientClient.ResilientClient>]
      const tagOf = (client: ResilientClient.ResilientClient) =>
        Effect.map(Effect.flip(client.get("/x")), ({ _tag }) => _tag)
      assert.strictEqual(yield* tagOf(yield* one), "ApiError")
      assert.strictEqual(yield* tagOf(yield* one), "CircuitOpen")
      assert.strictEqual(yield* tagOf(yield* two), "ApiError")
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None")))

  it.effect("a login through the client that waits for it ends in time, with an error", () =>
    Effect.gen(function*() {
      const server = transport()
      const login = yield* Deferred.make<Effect.Effect<unknown>>()
      const { cache, logins } = yield* tokens(Effect.asVoid(Effect.flatten(Deferred.await(login))))
      const client = yield* Effect.provide(
        ResilientClient.make({ name: "ledger", baseUrl, pipeline: {}, auth: ResilientClient.tokens(cache) }),
        server.layer
      )
      yield* Deferred.succeed(login, Effect.orDie(client.post("/login")))
      const call = yield* Effect.forkChild(Effect.exit(client.get("/x")))
      yield* TestClock.adjust("30 seconds")
      const exit = yield* Fiber.join(call)
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(server.sent, [])
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* cache.status).waiting, 0)
      assert.strictEqual(logins(), 1)
    }).pipe(Effect.scoped))

  it.effect("a call that another client makes within a call has lines and spans of its own, named or not", () =>
    Effect.gen(function*() {
      const iam = yield* Effect.provide(
        ResilientClient.make({ name: "iam", baseUrl: "https://iam.example.com", pipeline: {} }),
        transport().layer
      )
      const server = transport((_, __, index) => status(index === 0 ? 503 : 200))
      const withSignature: ResilientClient.Authenticate = (client) =>
        HttpClient.mapRequestEffect(
          client,
          (request) =>
            Effect.as(Effect.orDie(iam.get("/signature")), HttpClientRequest.setHeader(request, "x-signature", "s"))
        )
      const client = yield* Effect.provide(
        ResilientClient.make({ name: "ledger", baseUrl, pipeline: quick, auth: withSignature }, { parts: Parts }),
        server.layer
      )
      const lines = (call: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function*() {
          yield* call
          const { entries } = yield* AccessLog.Memory
          return (yield* entries).map(({ attempt, kind, status }) => `${kind} ${attempt} ${status}`)
        }).pipe(Effect.provide(AccessLog.layerMemory))
      const expected = [
        "attempt 1 200",
        "call 1 200",
        "attempt 1 503",
        "attempt 1 200",
        "call 1 200",
        "attempt 2 200",
        "call 2 200"
      ]
      assert.deepStrictEqual(yield* lines(client.get("/x")), expected)
      server.sent.length = 0
      assert.deepStrictEqual(
        yield* lines(Operation.within(client.get("/x"), { name: "read", endpoint: "/x" })),
        expected
      )
    }))

  it.effect("what Effect's HttpClient offers on top makes no attempts of its own", () =>
    Effect.gen(function*() {
      const server = transport((_, url) =>
        url.pathname === "/moved"
          ? Effect.succeed(new Response(null, { status: 302, headers: { location: "https://evil.test/" } }))
          : status(url.pathname === "/down" ? 503 : 200)
      )
      const client = yield* Effect.provide(
        ResilientClient.make({ name: "ledger", baseUrl, pipeline: { retry: { times: 2, backoff: { base: 0 } } } }),
        server.layer
      )
      const count = <E>(over: HttpClient.HttpClient.With<E>, request: HttpClientRequest.HttpClientRequest) =>
        Effect.gen(function*() {
          server.sent.length = 0
          yield* Effect.exit(over.execute(request))
          return server.sent.length
        })
      const down = HttpClientRequest.get("/down")
      const post = HttpClientRequest.post("/down")
      assert.strictEqual(yield* count(client, down), 3)
      assert.strictEqual(yield* count(client, post), 1)
      const seen: Array<string> = []
      const combined = client.pipe(
        HttpClient.mapRequest(HttpClientRequest.setHeader("x-y", "z")),
        HttpClient.tapRequest((request) => Effect.sync(() => seen.push(request.url))),
        HttpClient.filterStatusOk,
        HttpClient.followRedirects(3)
      )
      assert.strictEqual(yield* count(combined, down), 3)
      assert.strictEqual(yield* count(combined, post), 1)
      assert.strictEqual(yield* count(combined, HttpClientRequest.get("/moved")), 1)
      assert.deepStrictEqual(seen, ["/down", "/down", "/moved"])
      assert.strictEqual(yield* count(HttpClient.retryTransient(client, { times: 5 }), post), 1)
      assert.strictEqual(yield* count(HttpClient.retryTransient(client, { times: 5 }), down), 3)
      assert.strictEqual(yield* count(HttpClient.withScope(client) as never, down), 3)
      assert.strictEqual((yield* Effect.scoped(HttpClient.withScope(client).get("/x"))).status, 200)
      const cached = yield* Effect.cached(Effect.flatMap(client.get("/x"), (response) => response.json))
      server.sent.length = 0
      yield* Effect.all([cached, cached, cached], { concurrency: 3 })
      assert.strictEqual(server.sent.length, 1)
    }))

  for (const code of [401, 404, 408, 425, 429, 503]) {
    it.effect(`a POST that redirected to what came of it is not sent again, though that says ${code}`, () =>
      Effect.gen(function*() {
        const server = transport((request) =>
          request.method === "POST"
            ? Effect.succeed(new Response(null, { status: 303, headers: { location: "/orders/7" } }))
            : status(code)
        )
        const { cache } = yield* tokens()
        const client = yield* Effect.provide(
          ResilientClient.make({
            name: "ledger",
            baseUrl,
            redirects: {},
            pipeline: { retry: { times: 2, backoff: { base: 0 } } },
            auth: ResilientClient.tokens(cache)
          }),
          server.layer
        )
        const error = yield* Effect.flip(client.post("/orders"))
        assert.deepStrictEqual(server.sent, ["POST /orders", "GET /orders/7"])
        assert.strictEqual(Recovery.of(error)._tag, "Verify")
      }).pipe(Effect.scoped))
  }

  it("runs in a ManagedRuntime, whose end ends what still runs", async () => {
    const server = transport((_, url) => url.pathname === "/hang" ? Effect.never : status(200))
    const runtime = ManagedRuntime.make(Layer.provide(ResilientClient.layer({ name: "ledger", baseUrl }), server.layer))
    const get = (path: string) =>
      Effect.flatMap(ResilientClient.ResilientClient, (client) => Effect.map(client.get(path), ({ status }) => status))
    assert.strictEqual(await runtime.runPromise(get("/x")), 200)
    const stop = new AbortController()
    const hanging = runtime.runPromiseExit(get("/hang"), { signal: stop.signal })
    await runtime.runPromise(Effect.yieldNow)
    assert.strictEqual(server.running(), 1)
    stop.abort()
    const exit = await hanging
    assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    assert.strictEqual(server.running(), 0)
    await runtime.dispose()
  })
})
