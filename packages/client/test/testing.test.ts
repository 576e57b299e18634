import { ResilientClient } from "@effect-resilience/client"
import { ApiError } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import { HttpBody, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"

const ledger = { name: "ledger", baseUrl: "https://ledger.example.com/v1" }
const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })

const sent = Effect.flatMap(ResilientClient.TestServer, (server) => server.sent)

describe("ResilientClient.layerTest", () => {
  it.effect("the policies run over the script, in the time of the test", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(86_400_000)
      const client = yield* ResilientClient.ResilientClient
      const call = yield* Effect.forkChild(client.get("/a?b=c"))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* sent).length, 1)
      yield* TestClock.adjust("51 seconds")
      const response = yield* Fiber.join(call)
      assert.deepStrictEqual(yield* response.json, { balance: "12.50" })
      const hanging = yield* Effect.forkChild(Effect.flip(client.post("/orders")))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(hanging)
      assert.strictEqual(error instanceof ApiError.ApiError ? error.reason._tag : error._tag, "OutcomeUnknown")
      assert.deepStrictEqual((yield* sent).map(({ method, url }) => `${method} ${url}`), [
        "GET https://ledger.example.com/v1/a?b=c",
        "GET https://ledger.example.com/v1/a?b=c",
        "GET https://ledger.example.com/v1/a?b=c",
        "POST https://ledger.example.com/v1/orders"
      ])
    }).pipe(Effect.provide(ResilientClient.layerTest(ledger, [
      Effect.delay(Effect.succeed(new Response("late")), "1 hour"),
      reset,
      Response.json({ balance: "12.50" }),
      Effect.never
    ]))))

  it.effect("records bodies by their type, and no credential that a test prints", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.ResilientClient
      const bodies: ReadonlyArray<HttpBody.HttpBody> = [
        HttpBody.empty,
        HttpBody.jsonUnsafe({ a: [1] }),
        HttpBody.text("text"),
        HttpBody.uint8Array(new Uint8Array([1])),
        HttpBody.stream(Stream.make(new Uint8Array([1]), new Uint8Array([2, 3]))),
        HttpBody.raw(new Blob(["a,b"]), { contentType: "text/csv" }),
        HttpBody.text("{}", "application/problem+json; charset=utf-8"),
        HttpBody.text("--1", `multipart/related; type="application/json"`)
      ]
      for (const body of bodies) {
        yield* client.put("/a", { body, headers: { authorization: "Bearer secret-token" } })
      }
      const requests = yield* sent
      assert.deepStrictEqual(requests.map(({ body }) => body), [
        undefined,
        { a: [1] },
        "text",
        new Uint8Array([1]),
        new Uint8Array([1, 2, 3]),
        "a,b",
        {},
        new TextEncoder().encode("--1")
      ])
      assert.notInclude(JSON.stringify(requests), "secret-token")
      const authorization = requests[0]?.headers["authorization"]
      assert.strictEqual(Redacted.isRedacted(authorization) && Redacted.value(authorization), "Bearer secret-token")
    }).pipe(Effect.provide(ResilientClient.layerTest(ledger, () => new Response("{}")))))

  it.effect("a request beyond the script is a defect that says which", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.ResilientClient
      yield* client.get("/a")
      const exit = yield* Effect.exit(client.execute(HttpClientRequest.get("/b")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "this is request 2: GET")
      assert.strictEqual((yield* sent).length, 2)
    }).pipe(Effect.provide(ResilientClient.layerTest(ledger, [new Response("{}")]))))

  it.effect("the script stands below the client of a program too, and sees each request", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.ResilientClient
      assert.strictEqual((yield* client.get("/even")).status, 200)
      assert.strictEqual((yield* Effect.flip(client.get("/odd")))._tag, "ApiError")
    }).pipe(Effect.provide(
      ResilientClient.layer({ ...ledger, pipeline: {} }).pipe(
        Layer.provide(
          ResilientClient.layerScript(({ url }) => new Response("", { status: url.endsWith("/odd") ? 404 : 200 }))
        )
      )
    )))
})

describe("an operation", () => {
  it.effect("has the limits of time that its description names", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.ResilientClient
      const call = yield* Effect.forkChild(Effect.flip(client.get("/slow")))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(call))._tag, "DeadlineExceeded")
    }).pipe(Effect.provide(ResilientClient.layerTest(
      { ...ledger, operations: { slow: { endpoint: "GET /slow", timeouts: { total: "2 seconds" } } } },
      () => Effect.never
    ))))
})

describe("ResilientClient.layerNoop", () => {
  it.effect("sends once, waits for ever, and keeps to the base URL, also after a reload", () =>
    Effect.gen(function*() {
      const client = yield* ResilientClient.ResilientClient
      for (let round = 0; round < 2; round++) {
        for (let calls = 0; calls < 20; calls++) {
          const error = yield* Effect.flip(client.get("/down"))
          assert.strictEqual(error._tag, "ApiError")
        }
        assert.strictEqual((yield* Effect.flip(client.get("https://elsewhere.test/")))._tag, "ForeignUrl")
        const call = yield* Effect.forkChild(client.get("/slow"))
        yield* TestClock.adjust("1 day")
        assert.strictEqual((yield* Fiber.join(call)).status, 200)
        yield* client.reload({
          ...ledger,
          operations: { down: { endpoint: "GET /down", timeouts: { total: "1 second" } } }
        })
      }
      assert.strictEqual((yield* sent).length, 42)
      assert.deepStrictEqual(
        new Set((yield* sent).map(({ headers }) => headers["x-tenant"])),
        new Set(["a", undefined])
      )
    }).pipe(Effect.provide(
      ResilientClient.layerNoop({
        ...ledger,
        headers: { "x-tenant": "a" },
        pipeline: { retry: { times: 3 } },
        operations: { down: { endpoint: "GET /down", pipeline: { retry: { times: 5 } }, without: ["circuitBreaker"] } }
      }).pipe(Layer.provideMerge(ResilientClient.layerScript(({ url }) =>
        url.endsWith("/down")
          ? new Response("", { status: 503 })
          : Effect.delay(Effect.succeed(new Response("{}")), "1 day")
      )))
    )))
})
