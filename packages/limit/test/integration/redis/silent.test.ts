import * as TcpRelay from "@effect-resilience/chaos/TcpRelay"
import { CircuitBreaker } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import * as StaleIfError from "@effect-resilience/limit/StaleIfError"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { CircuitBreaker as BreakerStore, Persistence, RateLimiter } from "effect/persistence"

const storesAt = (port: number) =>
  Layer.mergeAll(
    BreakerStore.layerStoreRedis(),
    RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreRedis())),
    Persistence.layerRedis
  ).pipe(
    Layer.provide(NodeRedis.layer({
      url: `redis://127.0.0.1:${port}`,
      // As the README advises: the client gives a dead connection up, and connects again.
      socket: { socketTimeout: 3000, reconnectStrategy: () => 100 }
    }))
  )

const key = `silent-${process.pid}`

const policies = Effect.fnUntraced(function*(onStoreError: "allow" | "fail") {
  const storeTimeout = "300 millis"
  const breaker = yield* SharedCircuitBreaker.make({
    name: key,
    tripPolicy: CircuitBreaker.consecutive(2),
    openDuration: "1 minute",
    onStoreError,
    storeTimeout
  })
  const pacer = yield* Pacer.make({
    name: key,
    limit: 1000,
    window: "1 second",
    maxWait: "100 millis",
    onStoreError,
    storeTimeout
  })
  return { breaker, pacer }
})

describe("a Redis that is silent", () => {
  it.live("holds nothing up: calls pass or are rejected, as told, and share their state again when it speaks", () =>
    Effect.gen(function*() {
      const url = new URL(yield* Config.String("REDIS_URL"))
      const relay = yield* TcpRelay.make({ port: Number(url.port) })
      yield* Effect.gen(function*() {
        const [open, closed] = [yield* policies("allow"), yield* policies("fail")]
        const rates = yield* StaleIfError.make({ storeId: key, schema: Schema.Number, storeTimeout: "300 millis" })
        yield* open.breaker.execute(open.pacer.execute(rates.execute(Effect.succeed(1.08), "EURUSD")))
        yield* closed.breaker.execute(closed.pacer.execute(Effect.void))

        yield* relay.silence()
        const began = performance.now()
        for (let i = 0; i < 50; i++) {
          const call = open.breaker.execute(open.pacer.execute(rates.execute(Effect.succeed("ran".length), "EURUSD")))
          assert.deepStrictEqual(yield* Effect.exit(call), Exit.succeed(3))
          assert.strictEqual((yield* Effect.flip(closed.breaker.execute(Effect.void))).state, "Unknown")
          assert.strictEqual((yield* Effect.flip(closed.pacer.execute(Effect.void))).reason, "Store")
        }
        // Five stores, each asked once in a while; without limits this never ends.
        assert.isBelow(performance.now() - began, 10_000)
        // Who is interrupted in the middle of it goes at once, or nearly.
        const caller = yield* Effect.forkChild(open.breaker.execute(Effect.never), { startImmediately: true })
        yield* Fiber.interrupt(caller)

        yield* relay.pass
        while (Exit.isFailure(yield* Effect.exit(closed.breaker.execute(Effect.void)))) yield* Effect.sleep("50 millis")
        while ((yield* closed.breaker.snapshot)._tag !== "Open") {
          yield* Effect.exit(open.breaker.execute(Effect.fail("no response")))
        }
      }).pipe(Effect.provide(storesAt(relay.port)))
    }).pipe(Effect.scoped))
})
