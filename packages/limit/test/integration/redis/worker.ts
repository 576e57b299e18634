import { ApiError } from "@effect-resilience/errors"
import { CircuitBreaker } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import type { Scope } from "effect"
import { Clock, Duration, Effect, Layer, Logger } from "effect"
import type { Redis } from "effect/persistence"
import { CircuitBreaker as BreakerStore, RateLimiter } from "effect/persistence"

// One of two processes: `worker.ts ROLE URL`. Prints a line for whatever happened.

const [role, url = ""] = process.argv.slice(2)

const redis = NodeRedis.layer({ url })

const breakerOptions: SharedCircuitBreaker.Options = {
  name: "ledger",
  tripPolicy: CircuitBreaker.consecutive(3),
  openDuration: "3 seconds"
}

const pacerOptions: Pacer.Options = { name: "ledger", limit: 20, window: "1 second" }

const print = (line: string | number) => Effect.sync(() => process.stdout.write(`${line}\n`))

const trip = Effect.gen(function*() {
  const circuit = yield* SharedCircuitBreaker.make(breakerOptions)
  for (let i = 0; i < 3; i++) yield* Effect.exit(circuit.execute(Effect.fail("no response")))
  yield* print((yield* circuit.snapshot)._tag)
})

const probe = Effect.gen(function*() {
  const circuit = yield* SharedCircuitBreaker.make(breakerOptions)
  const outcome = Effect.as(Effect.sleep("1 second"), "ran").pipe(
    circuit.execute.bind(circuit),
    Effect.catchTag("CircuitOpen", ({ state }) => Effect.succeed(state))
  )
  yield* print(yield* outcome)
})

const pacer = Effect.gen(function*() {
  const limiter = yield* Pacer.make(pacerOptions)
  const began = yield* Clock.currentTimeMillis
  const call = Effect.flatMap(Clock.currentTimeMillis, print).pipe(Pacer.withPacer(limiter))
  let told = false
  while ((yield* Clock.currentTimeMillis) - began < 3000) {
    yield* call
    if (role === "pace-and-429" && !told && (yield* Clock.currentTimeMillis) - began > 1000) {
      told = true
      const limited = ApiError.reasonFromStatus(429, { retryAfter: Duration.seconds(1) })
      yield* Effect.exit(Pacer.withPacer(Effect.fail(limited), limiter))
      yield* print(`paused ${yield* Clock.currentTimeMillis}`)
    }
  }
}).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreRedis()))))

// Reserves ten tokens for each call, of which it uses five.
const tokens = Effect.gen(function*() {
  const limiter = yield* Pacer.make({
    name: "model",
    limit: 200,
    window: "1 second",
    burst: 5,
    rates: { tokens: { limit: 100, window: "1 second", burst: 20, cost: 10 } }
  })
  const began = yield* Clock.currentTimeMillis
  const call = Effect.flatMap(Clock.currentTimeMillis, print).pipe(
    Effect.andThen(Pacer.settle({ tokens: 5 })),
    Pacer.withPacer(limiter)
  )
  while ((yield* Clock.currentTimeMillis) - began < 3000) yield* call
}).pipe(Effect.provide(RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreRedis()))))

const roles: Record<string, Effect.Effect<void, unknown, Redis.Redis | Scope.Scope>> = {
  trip: Effect.provide(trip, BreakerStore.layerStoreRedis()),
  probe: Effect.provide(probe, BreakerStore.layerStoreRedis()),
  pace: pacer,
  "pace-and-429": pacer,
  tokens
}

// Standard output is for what the role prints.
const log = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

await Effect.runPromise(
  Effect.scoped(roles[role ?? ""] ?? Effect.die(`no role ${role}`)).pipe(Effect.provide([redis, log]))
)
