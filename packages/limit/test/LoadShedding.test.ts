import { ConcurrencyLimit, LimitAlgorithm, Outcome } from "@effect-resilience/limit"
import * as LoadShedding from "@effect-resilience/limit/LoadShedding"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { HttpClient, HttpClientRequest, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"

const get = (headers: Record<string, string> = {}) =>
  Effect.flatMap(
    HttpClient.execute(HttpClientRequest.get("/", { headers })),
    (response) => Effect.as(response.text, { status: response.status, retryAfter: response.headers["retry-after"] })
  )

layer(NodeHttpServer.layerTest)("LoadShedding", (it) => {
  it.effect("responds with 503 with Retry-After beyond the limit, and serves a priority within its share", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.fixed(2),
        shares: { live: 0.5 },
        classify: LoadShedding.outcomeOf
      })
      const arrived = { count: 0 }
      const full = yield* Deferred.make<void>()
      const app = Effect.suspend(() =>
        Effect.andThen(
          ++arrived.count === 3 ? Deferred.succeed(full, undefined) : Effect.void,
          Effect.as(Deferred.await(gate), HttpServerResponse.text("served"))
        )
      ).pipe(LoadShedding.withLoadShedding(LoadShedding.make({
        limit,
        retryAfter: "1500 millis",
        priority: (request) => request.headers["x-priority"] ?? "default"
      })))
      yield* HttpServer.serveEffect(app)
      const two = yield* Effect.forEach([1, 2], () => Effect.forkChild(get()))
      while ((yield* limit.snapshot).running < 2) yield* Effect.yieldNow
      assert.deepStrictEqual(yield* get(), { status: 503, retryAfter: "2" })
      const live = yield* Effect.forkChild(get({ "x-priority": "live" }))
      yield* Deferred.await(full)
      assert.strictEqual((yield* get({ "x-priority": "live" })).status, 503)
      yield* Deferred.succeed(gate, undefined)
      const served = yield* Effect.forEach([...two, live], Fiber.join)
      assert.deepStrictEqual(served.map(({ status }) => status), [200, 200, 200])
    }))
})

layer(NodeHttpServer.layerTest)("LoadShedding", (it) => {
  it.effect("does not begin work whose deadline has passed", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make()
      let ran = 0
      yield* HttpServer.serveEffect(
        Effect.sync(() => HttpServerResponse.text(`${++ran}`)).pipe(
          LoadShedding.withLoadShedding(LoadShedding.make({ limit }))
        )
      )
      assert.strictEqual((yield* get({ "grpc-timeout": "0m" })).status, 504)
      assert.strictEqual(ran, 0)
      assert.strictEqual((yield* get({ "grpc-timeout": "10S" })).status, 200)
    }))
})

layer(NodeHttpServer.layerTest)("LoadShedding", (it) => {
  it.effect("leaves a rejection inside the app alone", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make()
      const inner = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.fixed(1) })
      const app = Effect.catchTag(
        LoadShedding.make({ limit }).execute(
          inner.execute(inner.execute(Effect.succeed(HttpServerResponse.text("no"))))
        ),
        "LimitReached",
        () => Effect.succeed(HttpServerResponse.text("inner", { status: 500 }))
      )
      yield* HttpServer.serveEffect(app)
      assert.strictEqual((yield* get()).status, 500)
    }))
})

describe("LoadShedding around a whole app, which a server cannot interrupt", () => {
  const request = HttpServerRequest.fromWeb(new Request("http://localhost/"))
  const served = <E>(
    app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, HttpServerRequest.HttpServerRequest>
  ) =>
    Effect.forkChild(Effect.uninterruptible(Effect.provideService(app, HttpServerRequest.HttpServerRequest, request)), {
      startImmediately: true
    })

  it.effect("gives the place of a request that waits to another one when its client has left, and ends no work that has begun", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.fixed(1), queue: 1 })
      const begun: Array<string> = []
      const app = (name: string) =>
        Effect.sync(() => begun.push(name)).pipe(
          Effect.andThen(Effect.sleep("1 second")),
          Effect.andThen(Effect.sync(() => begun.push(`${name} done`))),
          Effect.as(HttpServerResponse.text(name)),
          LoadShedding.withLoadShedding(LoadShedding.make({ limit }))
        )
      const first = yield* served(app("first"))
      const second = yield* served(app("second"))
      for (const fiber of [first, second]) fiber.interruptUnsafe()
      assert.isDefined(second.pollUnsafe())
      const third = yield* served(app("third"))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.awaitAll([first, second])
      assert.strictEqual((yield* Fiber.join(third)).status, 200)
      assert.deepStrictEqual(begun, ["first", "first done", "third", "third done"])
      assert.deepInclude(yield* limit.snapshot, { running: 0, waiting: 0 })
    }))
})

describe("LoadShedding.outcomeOf", () => {
  it("takes a 503 or 504 of the app for a sign of load", () => {
    const outcome = (status: number) => LoadShedding.outcomeOf(Exit.succeed(HttpServerResponse.empty({ status })))._tag
    assert.deepStrictEqual([200, 404, 500, 503, 504].map(outcome), [
      "Success",
      "Success",
      "Success",
      "Failure",
      "Failure"
    ])
    assert.deepStrictEqual(LoadShedding.outcomeOf(Exit.fail("no")), Outcome.failure())
  })
})
