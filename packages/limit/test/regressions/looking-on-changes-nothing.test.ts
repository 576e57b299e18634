import type * as Policy from "@effect-resilience/kernel/Policy"
import { Bulkhead, CircuitBreaker, ConcurrencyLimit, Endpoints, Throttle } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Random, Schema } from "effect"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"

const millis = (max: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: max }))

const Calls = Schema.Array(Schema.Struct({ after: millis(3000), takes: millis(1500), fails: Schema.Boolean }))
  .check(Schema.isMinLength(20), Schema.isMaxLength(60))

const policies: { readonly [name: string]: Effect.Effect<Policy.Policy<unknown, unknown>> } = {
  proportional: CircuitBreaker.make({ tripPolicy: { proportional: { within: "5 seconds" } } }),
  rateWithin: CircuitBreaker.make({ tripPolicy: { rateWithin: { within: "5 seconds", minimumCalls: 3 } } }),
  consecutive: CircuitBreaker.make({ tripPolicy: { consecutive: 2 }, ramp: { over: "5 seconds" } }),
  throttle: Throttle.make({ window: "5 seconds", minimumCalls: 3, multiplier: 1.1 }),
  slow: CircuitBreaker.make({ tripPolicy: { slow: { slowerThan: "1 second", minimumCalls: 3 } } }),
  vegas: ConcurrencyLimit.make({ algorithm: { vegas: {} } }),
  aimd: ConcurrencyLimit.make({ algorithm: { aimd: {} } }),
  gradient2: ConcurrencyLimit.make({ algorithm: { gradient2: {} } }),
  bulkhead: Bulkhead.make({ permits: 1, queue: 1 }),
  pacer: Effect.provide(
    Pacer.make({ limit: 1, window: "1 second", burst: 3, maxWait: "700 millis" }),
    RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory))
  ),
  "ejection of addresses": Endpoints.make({
    addresses: ["a", "b", "c"],
    load: "peakEwma",
    ejection: { consecutive: 2, duration: "3 seconds" }
  })
}

describe("a snapshot", () => {
  for (const [name, making] of Object.entries(policies)) {
    it.effect.prop(
      `that is read changes nothing that ${name} decides`,
      { calls: Calls },
      ({ calls }) =>
        Effect.gen(function*() {
          const outcomes = Effect.fnUntraced(function*(look: boolean) {
            const policy = yield* making
            const adjust = Effect.fnUntraced(function*(millis: number) {
              for (let left = millis; left > 0; left -= 500) {
                if (look) yield* policy.snapshot
                yield* TestClock.adjust(Math.min(500, left))
              }
            })
            const running = []
            for (const { after, fails, takes } of calls) {
              yield* adjust(after)
              const work = Effect.andThen(Effect.sleep(takes), fails ? Effect.fail("503") : Effect.void)
              running.push(yield* Effect.forkChild(Effect.exit(policy.execute(work)), { startImmediately: true }))
            }
            // All have ended by then, also one that waited in a queue.
            yield* adjust(6000)
            const exits = yield* Effect.forEach(running, Fiber.join)
            return [exits.map((exit) => Exit.isSuccess(exit) || String(exit)), yield* policy.snapshot]
          })
          const run = (look: boolean) =>
            Effect.provide(Random.withSeed(outcomes(look), "looks"), TestClock.layer(), { local: true })
          assert.deepStrictEqual(yield* run(true), yield* run(false))
        })
    )
  }
})
