import { ApiError } from "@effect-resilience/errors"
import { Endpoints } from "@effect-resilience/limit"
import { Pipeline } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"

const run = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* TestClock.adjust("2 seconds")
    return yield* Fiber.join(fiber)
  })

describe("endpoints around the attempts of a pipeline", () => {
  it.effect("count a time limit against the address, and send the retry elsewhere", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("5 minutes")
      const endpoints = yield* Endpoints.make({ addresses: ["hanging", "well", "better"] })
      const ledger = yield* Pipeline.make(
        { name: "ledger", retry: { times: 1, backoff: { base: 0 } }, attemptTimeout: "1 second" },
        { around: [Pipeline.around("attemptTimeout", "endpoints", (self) => endpoints.execute(self))] }
      )
      const seen: Array<string> = []
      const call = Effect.flatMap(Endpoints.Current, (address) => {
        seen.push(address)
        return address === "hanging" ? Effect.never : Effect.succeed(address)
      })
      for (let i = 0; i < 30; i++) {
        seen.length = 0
        const response = yield* run(ledger.execute(call))
        assert.notStrictEqual(response, "hanging")
        assert.strictEqual(new Set(seen).size, seen.length)
        if ((yield* endpoints.snapshot).ejected > 0) return
      }
      assert.fail("an address that hangs is not ejected")
    }).pipe(Random.withSeed("endpoints")))

  it.effect("give each address a pipeline of its own", () =>
    Effect.gen(function*() {
      const make = (name: string) =>
        Pipeline.make({ name, circuitBreaker: { tripPolicy: { consecutive: 2 } }, bulkhead: { permits: 5 } })
      const pipelines = { a: yield* make("a"), b: yield* make("b") }
      const endpoints = yield* Endpoints.make({
        addresses: ["a", "b"],
        each: (address) => address === "a" ? pipelines.a : pipelines.b
      })
      const call = endpoints.use((address) =>
        address === "a" ? Effect.fail(ApiError.reasonFromStatus(503, {})) : Effect.succeed(address)
      )
      const exits = yield* Effect.forEach(Array.from({ length: 40 }), () => Effect.exit(call))
      assert.strictEqual(exits.filter(({ _tag }) => _tag === "Failure").length, 2)
      const { circuitBreaker } = yield* pipelines.a.snapshot
      assert.strictEqual(circuitBreaker?._tag, "Open")
    }).pipe(Random.withSeed("endpoints")))
})
