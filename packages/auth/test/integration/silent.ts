import { SharedTokens, TokenCache, TokenSource } from "@effect-resilience/auth"
import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import * as Lease from "@effect-resilience/deadline/Lease"
import { IdempotencyServer } from "@effect-resilience/http"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { HttpEffect, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { Persistence } from "effect/persistence"
import { storeAt } from "./stores.ts"

const source = (name: string) =>
  TokenSource.fromEffect(Effect.succeed({ value: Redacted.make("token") }), { identity: [name, String(process.pid)] })

const key = Redacted.make("0123456789abcdef0123456789abcdef")

/** Uses a store that is cut off: it does not respond, and its connections do not end. */
export const staysUsable = (name: string, store: Effect.Effect<string, never, Scope.Scope>): void => {
  it.live(`delays no token and runs nothing twice while ${name} is silent`, () =>
    Effect.gen(function*() {
      const address = new URL(yield* store)
      const relay = yield* TcpRelay.make({ port: Number(address.port) })
      address.host = `127.0.0.1:${relay.port}`
      yield* Effect.gen(function*() {
        const lease = yield* Lease.Lease
        const cacheOf = (name: string) =>
          Effect.flatMap(SharedTokens.make(source(name), { key, storeTimeout: "500 millis" }), (shared) =>
            TokenCache.make(shared))
        const [before, during] = [yield* cacheOf("before"), yield* cacheOf("during")]
        assert.strictEqual(Redacted.value((yield* before.get).value), "token")
        assert.isTrue(yield* lease.acquire(`silent-${process.pid}`, "one", "1 minute"))

        let orders = 0
        const placeOrder = Effect.sync(() =>
          HttpServerResponse.text(`order ${++orders}`, { status: 201 })
        )
        const once = yield* IdempotencyServer.make({ caller: () => "acme", claims: lease, storeTimeout: "500 millis" })
        const handle = HttpEffect.toWebHandlerWith<never, HttpServerRequest.HttpServerRequest>(
          yield* Effect.context<never>()
        )(once(placeOrder))
        const post = (key: string) =>
          Effect.promise(() =>
            handle(new Request("https://shop.example/orders", { method: "POST", headers: { "idempotency-key": key } }))
          )
        const known = `known-${process.pid}-${Date.now()}`
        assert.strictEqual((yield* post(known)).status, 201)

        yield* relay.silence()
        const began = performance.now()
        assert.strictEqual(Redacted.value((yield* during.get).value), "token")
        for (let i = 0; i < 20; i++) assert.strictEqual((yield* post(known)).status, 503)
        assert.isBelow(performance.now() - began, 5_000)
        assert.strictEqual((yield* Effect.flip(lease.acquire("silent", "two", "1 minute")))._tag, "LeaseError")
        assert.isBelow(performance.now() - began, 10_000)
        assert.strictEqual(orders, 1)

        yield* relay.pass
        yield* relay.reset
        while ((yield* post(known)).status === 503) yield* Effect.sleep("200 millis")
        const replay = yield* post(known)
        assert.strictEqual(replay.headers.get("idempotency-replayed"), "true")
        assert.strictEqual(orders, 1)
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.provideMerge(Persistence.layer, storeAt(address.href)))
      )
    }))
}
