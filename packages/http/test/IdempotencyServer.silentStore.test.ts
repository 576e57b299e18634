import type * as Lease from "@effect-resilience/deadline/Lease"
import { IdempotencyServer } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HttpEffect, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"

// A store behind a partition: no response, and no way to interrupt the wait for one.
let asked = 0
const silence = Effect.andThen(Effect.sync(() => asked += 1), Effect.uninterruptible(Effect.never))

/** Two servers over one store in memory. Its `get` and `set` can fall silent, and so can the claims. */
const shop = Effect.gen(function*() {
  yield* TestClock.adjust("3 days")
  const memory = yield* Layer.build(Persistence.layerBackingMemory)
  const store = yield* Effect.provide(
    Effect.flatMap(Persistence.BackingPersistence, (backing) => backing.make("shop")),
    memory
  )
  const silent = { get: false, set: false, claims: false }
  const quiet = <A, E>(what: keyof typeof silent, call: Effect.Effect<A, E>) =>
    Effect.suspend(() => silent[what] ? silence : call)
  const persistence = Layer.provide(
    Persistence.layer,
    Layer.succeed(Persistence.BackingPersistence, {
      make: () =>
        Effect.succeed({
          ...store,
          get: (key) => quiet("get", store.get(key)),
          set: (key, value, life) => quiet("set", store.set(key, value, life))
        })
    })
  )
  const held = new Map<string, string>()
  const claims: Lease.Lease["Service"] = {
    acquire: (key, owner) =>
      quiet(
        "claims",
        Effect.sync(() => {
          if (!held.has(key)) held.set(key, owner)
          return held.get(key) === owner
        })
      ),
    release: (key) => Effect.sync(() => held.delete(key))
  }
  let orders = 0
  const placeOrder = Effect.sync(() => HttpServerResponse.text(`order ${++orders}`, { status: 201 }))
  const serving = Effect.gen(function*() {
    const once = yield* IdempotencyServer.make({ caller: () => "acme", claims, storeTimeout: "2 seconds" })
    const handle = HttpEffect.toWebHandlerWith<never, HttpServerRequest.HttpServerRequest>(
      yield* Effect.context<never>()
    )(once(placeOrder))
    const request = () =>
      new Request("https://shop.example/orders", {
        method: "POST",
        headers: { "idempotency-key": "k" },
        body: "apples"
      })
    return Effect.promise(() =>
      handle(request()).then((response) => response.text().then((text) => ({ status: response.status, text })))
    )
  }).pipe(Effect.provide(persistence))
  return { silent, held, serving, orders: () => orders }
})

/** The response after so many seconds, and not before. */
const after = <A>(seconds: number, self: Effect.Effect<A>) =>
  Effect.gen(function*() {
    const before = asked
    const fiber = yield* Effect.forkDetach(self, { startImmediately: true })
    // Hashing takes the machine's time, not the test clock's.
    yield* Effect.repeat(turn, { until: () => asked > before })
    yield* TestClock.adjust(seconds * 1000 - 1)
    assert.isUndefined(fiber.pollUnsafe())
    yield* TestClock.adjust(1)
    return yield* Fiber.join(fiber)
  })

const turn = Effect.promise(() => new Promise((resume) => setImmediate(resume)))

describe("IdempotencyServer with a silent store", () => {
  it.effect("responds with 503 within its timeout, then at once, and runs nothing", () =>
    Effect.gen(function*() {
      const { orders, serving, silent } = yield* shop
      const post = yield* serving
      silent.get = true
      assert.strictEqual((yield* after(2, post)).status, 503)
      assert.strictEqual((yield* post).status, 503)
      assert.strictEqual(orders(), 0)
      silent.get = false
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* post).text, "order 1")
    }).pipe(Effect.scoped))

  it.effect("runs nothing without a claim", () =>
    Effect.gen(function*() {
      const { held, orders, serving, silent } = yield* shop
      const post = yield* serving
      silent.claims = true
      assert.strictEqual((yield* after(2, post)).status, 503)
      assert.strictEqual(orders(), 0)
      assert.strictEqual(held.size, 0)
    }).pipe(Effect.scoped))

  it.effect("responds with what it carried out, and lets no repetition run until the response is stored", () =>
    Effect.gen(function*() {
      const { orders, serving, silent } = yield* shop
      const [one, other] = [yield* serving, yield* serving]
      silent.set = true
      assert.deepStrictEqual(yield* after(2, one), { status: 201, text: "order 1" })
      for (let minutes = 0; minutes < 3; minutes++) {
        assert.strictEqual((yield* one).status, 409)
        assert.strictEqual((yield* other).status, 409)
        yield* TestClock.adjust("1 minute")
      }
      silent.set = false
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* one).text, "order 1")
      assert.strictEqual((yield* other).text, "order 1")
      assert.strictEqual(orders(), 1)
    }).pipe(Effect.scoped))

  it.effect("ends with its scope, also if something is not stored", () =>
    Effect.gen(function*() {
      const { serving, silent } = yield* shop
      const scope = yield* Scope.make()
      const post = yield* Scope.provide(serving, scope)
      silent.set = true
      yield* after(2, post)
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.scoped))

  it("throws a RangeError for a timeout of 0", () => {
    assert.throws(() => IdempotencyServer.make({ caller: () => "", storeTimeout: 0 }), RangeError)
  })
})
