import * as Lease from "@effect-resilience/deadline/Lease"
import { IdempotencyServer } from "@effect-resilience/http"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Fiber, Layer, Stream } from "effect"
import { HttpEffect, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"

type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>

const serving = Effect.fnUntraced(function*(handler: Handler, options: Partial<IdempotencyServer.Options> = {}) {
  const once = yield* IdempotencyServer.make({ caller: (request) => request.headers["x-customer"] ?? "", ...options })
  const context = yield* Effect.context<never>()
  const handle = HttpEffect.toWebHandlerWith<never, HttpServerRequest.HttpServerRequest>(context)(once(handler))
  return (key: string | undefined, body = "2 apples", init: RequestInit = {}) =>
    Effect.promise((signal) =>
      handle(
        new Request("https://shop.example/orders", {
          method: "POST",
          headers: { ...(key !== undefined && { "idempotency-key": key }), "x-customer": "acme", ...init.headers },
          body: init.method === "GET" ? null : body,
          signal,
          ...(init.method !== undefined && { method: init.method })
        })
      ).then((response) =>
        response.text().then((text) => ({ status: response.status, headers: response.headers, text }))
      )
    )
})

const counting = (status = 201) => {
  let orders = 0
  const handler: Handler = Effect.sync(() =>
    HttpServerResponse.text(`order ${++orders}`, { status, headers: { location: `/orders/${orders}` } })
  )
  return { handler, orders: () => orders }
}

const withMemory = Effect.provide(Persistence.layerMemory)

describe("IdempotencyServer", () => {
  it.effect("sends a repetition the first status, headers and body", () =>
    Effect.gen(function*() {
      const { handler, orders } = counting()
      const post = yield* serving(handler)
      const first = yield* post("k")
      const second = yield* post("k")
      assert.deepStrictEqual([first.status, first.text, first.headers.get("idempotency-replayed")], [
        201,
        "order 1",
        null
      ])
      assert.deepStrictEqual([second.status, second.text, second.headers.get("location")], [
        201,
        "order 1",
        "/orders/1"
      ])
      assert.strictEqual(second.headers.get("idempotency-replayed"), "true")
      assert.strictEqual(orders(), 1)
      assert.strictEqual((yield* post("other")).text, "order 2")
    }).pipe(Effect.scoped, withMemory))

  it.effect("gives the handler the body, and remembers streamed responses", () =>
    Effect.gen(function*() {
      const echo: Handler = Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const text = yield* Effect.orDie(request.text)
        return HttpServerResponse.stream(Stream.make(new TextEncoder().encode(`got ${text}`)))
      })
      const post = yield* serving(echo)
      assert.strictEqual((yield* post("k", "ä & b")).text, "got ä & b")
      assert.strictEqual((yield* post("k", "ä & b")).text, "got ä & b")
    }).pipe(Effect.scoped, withMemory))

  it.effect("keeps the keys of callers apart", () =>
    Effect.gen(function*() {
      const post = yield* serving(counting().handler)
      yield* post("k")
      assert.strictEqual((yield* post("k", "2 apples", { headers: { "x-customer": "other" } })).text, "order 2")
    }).pipe(Effect.scoped, withMemory))

  it.effect("rejects the key of an unknown caller, since all of them would be one", () =>
    Effect.gen(function*() {
      const { handler, orders } = counting()
      for (const caller of [() => "", () => undefined]) {
        const post = yield* serving(handler, { caller })
        assert.strictEqual((yield* post("k")).status, 401)
        assert.strictEqual((yield* post(undefined)).status, 201)
      }
      assert.strictEqual(orders(), 2)
    }).pipe(Effect.scoped, withMemory))

  it.effect("remembers no header that could be a credential, unless it is named", () =>
    Effect.gen(function*() {
      const handler: Handler = Effect.succeed(
        HttpServerResponse.text("order", {
          headers: { authorization: "Bearer s", "x-session": "s", "set-cookie": "a=s", "x-order": "1", etag: "\"1\"" }
        })
      )
      const post = yield* serving(handler)
      assert.strictEqual((yield* post("k")).headers.get("x-session"), "s")
      const again = (yield* post("k")).headers
      const seen = ["authorization", "x-session", "set-cookie", "x-order", "etag"].map((name) => again.get(name))
      assert.deepStrictEqual(seen, [null, null, null, null, "\"1\""])
      const named = yield* serving(handler, { headers: [...IdempotencyServer.rememberedHeaders, "x-order"] })
      yield* named("k-2")
      assert.strictEqual((yield* named("k-2")).headers.get("x-order"), "1")
    }).pipe(Effect.scoped, withMemory))

  it.effect("bounds its memory: rejects what does not fit before it runs, and replays what it knows", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      let runs = 0
      const handler: Handler = Effect.sync(() => HttpServerResponse.text(`${++runs}`.padEnd(4_000, "x")))
      const post = yield* serving(handler)
      const statuses: Array<number> = []
      for (let i = 0; i < 20; i++) statuses.push((yield* post(`k-${i}`)).status)
      const stored = statuses.filter((status) => status === 200).length
      assert.strictEqual(stored, runs)
      assert.isAbove(stored, 5)
      assert.deepStrictEqual(statuses.slice(stored), Array.from({ length: 20 - stored }, () => 503))
      assert.strictEqual((yield* post("k-0")).headers.get("idempotency-replayed"), "true")
      yield* TestClock.adjust("25 hours")
      assert.strictEqual((yield* post("k-19")).status, 200)
      assert.isNull((yield* post("k-0")).headers.get("idempotency-replayed"))
    }).pipe(Effect.scoped, Effect.provide(IdempotencyServer.layerMemory({ maxBytes: 50_000 }))))

  it.effect("rejects a key that was used for another request", () =>
    Effect.gen(function*() {
      const post = yield* serving(counting().handler)
      yield* post("k")
      const other = yield* post("k", "3 apples")
      assert.strictEqual(other.status, 422)
      assert.strictEqual(other.headers.get("content-type"), "application/problem+json")
    }).pipe(Effect.scoped, withMemory))

  it.effect("rejects a repetition while the first request is running", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const { handler } = counting()
      const post = yield* serving(
        Effect.andThen(Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(gate)), handler)
      )
      const first = yield* Effect.forkChild(post("k"))
      yield* Deferred.await(started)
      assert.strictEqual((yield* post("k")).status, 409)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(first)).status, 201)
      assert.strictEqual((yield* post("k")).text, "order 1")
    }).pipe(Effect.scoped, withMemory))

  it.effect("finishes a request whose client has hung up, so that its repetition finds the response", () =>
    Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const done = yield* Deferred.make<void>()
      const { handler, orders } = counting()
      const post = yield* serving(
        Deferred.succeed(started, undefined).pipe(
          Effect.andThen(Deferred.await(gate)),
          Effect.andThen(handler),
          Effect.ensuring(Deferred.succeed(done, undefined))
        )
      )
      const first = yield* Effect.forkChild(post("k"))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(gate, undefined)
      yield* Deferred.await(done)
      const wait: Effect.Effect<string> = Effect.flatMap(
        post("k"),
        ({ status, text }) => status === 409 ? Effect.andThen(Effect.yieldNow, wait) : Effect.succeed(text)
      )
      assert.strictEqual(yield* wait, "order 1")
      assert.strictEqual(orders(), 1)
    }).pipe(Effect.scoped, withMemory))

  it.effect("runs again after a response that says that nothing was done, and after a defect", () =>
    Effect.gen(function*() {
      for (const status of [408, 425, 429, 500, 503]) {
        const { handler, orders } = counting(status)
        const post = yield* serving(handler)
        yield* post(`k${status}`)
        yield* post(`k${status}`)
        assert.strictEqual(orders(), 2)
      }
      let runs = 0
      const post = yield* serving(Effect.suspend(() => {
        runs++
        return Effect.die(new Error("bug"))
      }))
      assert.strictEqual((yield* post("bug")).status, 500)
      yield* post("bug")
      assert.strictEqual(runs, 2)
    }).pipe(Effect.scoped, withMemory))

  it.effect("remembers rejections, for a day", () =>
    Effect.gen(function*() {
      const { handler, orders } = counting(400)
      const post = yield* serving(handler)
      yield* post("k")
      yield* TestClock.adjust("23 hours")
      yield* post("k")
      assert.strictEqual(orders(), 1)
      yield* TestClock.adjust("2 hours")
      yield* post("k")
      assert.strictEqual(orders(), 2)
    }).pipe(Effect.scoped, withMemory))

  it.effect("demands a key only for unsafe methods, and only if it is required", () =>
    Effect.gen(function*() {
      const { handler, orders } = counting()
      const lenient = yield* serving(handler)
      const strict = yield* serving(handler, { required: true })
      assert.strictEqual((yield* lenient(undefined)).status, 201)
      assert.strictEqual((yield* strict(undefined)).status, 400)
      assert.strictEqual((yield* strict(undefined, "", { method: "GET" })).status, 201)
      assert.strictEqual((yield* strict(undefined, "", { method: "PUT" })).status, 201)
      assert.strictEqual(orders(), 3)
    }).pipe(Effect.scoped, withMemory))

  it.effect("runs nothing while the store fails", () =>
    Effect.gen(function*() {
      const { handler, orders } = counting()
      const post = yield* serving(handler)
      assert.strictEqual((yield* post("k")).status, 503)
      assert.strictEqual(orders(), 0)
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.provide(
          Persistence.layer,
          Layer.succeed(Persistence.BackingPersistence, {
            make: () => {
              const down = Effect.fail(new Persistence.PersistenceError({ message: "down" }))
              return Effect.succeed({
                get: () => down,
                getMany: () => down,
                set: () => down,
                setMany: () => down,
                remove: () => down,
                clear: down
              })
            }
          })
        )
      )
    ))

  describe("with claims, in several processes", () => {
    const makeClaims = () => {
      const held = new Map<string, { readonly owner: string; readonly until: number }>()
      const claims: Lease.Lease["Service"] = {
        acquire: (key, owner, life) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            const holder = held.get(key)
            if (holder !== undefined && holder.owner !== owner && holder.until > now) return false
            held.set(key, { owner, until: now + Duration.toMillis(Duration.fromInputUnsafe(life)) })
            return true
          }),
        release: (key, owner) =>
          Effect.sync(() => {
            if (held.get(key)?.owner === owner) held.delete(key)
          })
      }
      return { claims, held }
    }

    it.effect("runs a key once, however long it takes", () =>
      Effect.gen(function*() {
        const { claims, held } = makeClaims()
        const gate = yield* Deferred.make<void>()
        const { handler, orders } = counting()
        const started = yield* Deferred.make<void>()
        const one = yield* serving(
          Deferred.succeed(started, undefined).pipe(Effect.andThen(Deferred.await(gate)), Effect.andThen(handler)),
          { claims }
        )
        const other = yield* serving(handler, { claims })
        const first = yield* Effect.forkChild(one("k"))
        yield* Deferred.await(started)
        for (let minutes = 0; minutes < 3; minutes++) {
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* other("k")).status, 409)
        }
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual((yield* Fiber.join(first)).text, "order 1")
        assert.strictEqual((yield* other("k")).text, "order 1")
        assert.strictEqual(orders(), 1)
        assert.strictEqual(held.size, 0)
      }).pipe(Effect.scoped, withMemory))

    it.effect("runs again what a process that died had begun, once its claim has ended", () =>
      Effect.gen(function*() {
        const { claims, held } = makeClaims()
        const { handler, orders } = counting()
        const post = yield* serving(handler, { claims, claimFor: "10 seconds" })
        yield* post("other")
        const claimed: Array<string> = []
        const spying = yield* serving(handler, {
          claims: {
            ...claims,
            acquire: (key, owner, life) => {
              claimed.push(key)
              return claims.acquire(key, owner, life)
            }
          }
        })
        yield* spying("k")
        const [key = ""] = claimed
        held.set(key, { owner: "dead", until: (yield* Clock.currentTimeMillis) + 10_000 })
        // What has a response needs no claim.
        assert.strictEqual((yield* post("k")).text, "order 2")
        yield* TestClock.adjust("2 days")
        held.set(key, { owner: "dead", until: (yield* Clock.currentTimeMillis) + 10_000 })
        assert.strictEqual((yield* post("k")).status, 409)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* post("k")).text, "order 3")
        assert.strictEqual(orders(), 3)
      }).pipe(Effect.scoped, withMemory))

    it.effect("runs nothing while claims fail, and gives back the claim after a defect", () =>
      Effect.gen(function*() {
        const { claims, held } = makeClaims()
        const { handler, orders } = counting()
        const down = yield* serving(handler, {
          claims: { ...claims, acquire: () => Effect.fail(new Lease.LeaseError({ store: "down" })) }
        })
        assert.strictEqual((yield* down("k")).status, 503)
        assert.strictEqual(orders(), 0)
        const broken = yield* serving(Effect.die(new Error("bug")), { claims })
        assert.strictEqual((yield* broken("k")).status, 500)
        assert.strictEqual(held.size, 0)
        assert.strictEqual((yield* (yield* serving(handler, { claims }))("k")).status, 201)
      }).pipe(Effect.scoped, withMemory))

    it("throws a RangeError for a claimFor of 0", () => {
      assert.throws(() => IdempotencyServer.make({ caller: () => "", claimFor: 0 }), RangeError)
    })
  })
})
