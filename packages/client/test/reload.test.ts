import { ResilientClient } from "@effect-resilience/client"
import { Operation } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Ref } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"

const base: ResilientClient.Description = {
  name: "ledger",
  baseUrl: "https://one.example.com",
  pipeline: { circuitBreaker: { tripPolicy: { consecutive: 1 } } }
}

/** A transport whose responses a test decides one by one. */
const transport = (status: (url: string) => Effect.Effect<number>) => {
  const sent: Array<string> = []
  const client = HttpClient.make((request, url) =>
    Effect.suspend(() => {
      sent.push(`${request.method} ${url.href} ${request.headers["authorization"] ?? "-"}`)
      return Effect.map(
        status(url.href),
        (status) => HttpClientResponse.fromWeb(request, new Response("{}", { status }))
      )
    })
  )
  return { sent, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const readOrder = Operation.within({ name: "read order", endpoint: "/orders/{id}" })

const auth = (name: string): ResilientClient.Authenticate => (client) =>
  HttpClient.mapRequest(
    client,
    (request) => ({ ...request, headers: { ...request.headers, authorization: name } }) as never
  )

describe("reload", () => {
  it.effect("keeps an open circuit open, that of the client and that of an operation", () =>
    Effect.gen(function*() {
      const { layer } = transport(() => Effect.succeed(500))
      const own: ResilientClient.Description = {
        ...base,
        operations: { "read order": { pipeline: base.pipeline }, "read all": {} }
      }
      const client = yield* ResilientClient.make(own).pipe(Effect.provide(layer))
      yield* Effect.flip(client.get("/"))
      yield* Effect.flip(readOrder(client.get("/orders/1")))
      yield* client.reload({ ...own, baseUrl: "https://two.example.com" })
      assert.strictEqual((yield* Effect.flip(client.get("/")))._tag, "CircuitOpen")
      assert.strictEqual((yield* Effect.flip(readOrder(client.get("/orders/1"))))._tag, "CircuitOpen")
      // It has the client's circuit, before and after.
      const readAll = Operation.within({ name: "read all", endpoint: "/orders" })
      assert.strictEqual((yield* Effect.flip(readAll(client.get("/orders"))))._tag, "CircuitOpen")
    }))

  it.effect("changes nothing where a part of a description makes no sense", () =>
    Effect.gen(function*() {
      const { layer, sent } = transport(() => Effect.succeed(200))
      const client = yield* ResilientClient.make(base).pipe(Effect.provide(layer))
      const wrong: ReadonlyArray<Partial<ResilientClient.Description>> = [
        { name: "another" },
        { operations: { "read order": { endpoint: "orders" } } },
        { operations: { "read order": { pipeline: { retry: { times: -1 } } } } },
        { baseUrl: "http://two.example.com", auth: auth("token") },
        { headers: { authorization: "Bearer x" } }
      ]
      for (const options of wrong) {
        assert.throws(
          () => client.reload({ ...base, baseUrl: "https://two.example.com", ...options }),
          RangeError
        )
      }
      yield* client.get("/x")
      assert.deepStrictEqual(sent, ["GET https://one.example.com/x -"])
      assert.deepStrictEqual(yield* client.description, base)
    }))

  it.effect("lets a call in flight end as it began, with its retries, address and credentials", () =>
    Effect.gen(function*() {
      const first = yield* Deferred.make<number>()
      const calls = yield* Ref.make(0)
      const { layer, sent } = transport(() =>
        Effect.flatMap(
          Ref.getAndUpdate(calls, (n) => n + 1),
          (n) => n === 0 ? Deferred.await(first) : Effect.succeed(200)
        )
      )
      const described: ResilientClient.Description = { ...base, pipeline: { retry: { times: 1 } }, auth: auth("old") }
      const client = yield* ResilientClient.make(described).pipe(Effect.provide(layer))
      const call = yield* Effect.forkChild(client.get("/x"))
      yield* Effect.yieldNow
      yield* client.reload({ ...described, baseUrl: "https://two.example.com", auth: auth("new"), pipeline: {} })
      yield* client.get("/y")
      yield* Deferred.succeed(first, 503)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(call)).status, 200)
      assert.deepStrictEqual(sent, [
        "GET https://one.example.com/x old",
        "GET https://two.example.com/y new",
        "GET https://one.example.com/x old"
      ])
    }))

  it.effect("adds operations and removes them", () =>
    Effect.gen(function*() {
      const { layer, sent } = transport(() => Effect.succeed(503))
      const client = yield* ResilientClient.make({ ...base, pipeline: {} }).pipe(Effect.provide(layer))
      const repeated: ResilientClient.Description = {
        ...base,
        pipeline: {},
        operations: { "read order": { pipeline: { retry: { times: 2, backoff: { base: 0 } } } } }
      }
      for (const [description, attempts] of [[repeated, 3], [{ ...base, pipeline: {} }, 1]] as const) {
        yield* client.reload(description)
        sent.length = 0
        yield* Effect.flip(readOrder(client.get("/orders/1")))
        assert.lengthOf(sent, attempts)
      }
    }))

  it.effect("gives a policy of its own to an operation that shared the client's, and back", () =>
    Effect.gen(function*() {
      const { layer } = transport((url) => Effect.succeed(url.endsWith("/bad") ? 500 : 200))
      const shares: ResilientClient.Description = { ...base, operations: { "read order": {} } }
      const own: ResilientClient.Description = { ...base, operations: { "read order": { pipeline: base.pipeline } } }
      const client = yield* ResilientClient.make(shares).pipe(Effect.provide(layer))
      yield* Effect.flip(client.get("/bad"))
      assert.strictEqual((yield* Effect.flip(readOrder(client.get("/orders/1"))))._tag, "CircuitOpen")
      yield* client.reload(own)
      assert.strictEqual((yield* readOrder(client.get("/orders/1"))).status, 200)
      yield* client.reload(shares)
      assert.strictEqual((yield* Effect.flip(readOrder(client.get("/orders/1"))))._tag, "CircuitOpen")
    }))
})
