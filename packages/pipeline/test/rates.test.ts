import { Priority } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"

describe("in a pipeline", () => {
  it.effect("a pacer of several rates comes from JSON, and a call inside says what it costs and what it cost", () =>
    Effect.gen(function*() {
      const description = yield* PipelineDescription.decode({
        name: "model",
        pacer: { limit: 500, window: "1 minute", rates: { tokens: { limit: 60_000, window: "1 minute", burst: 1000 } } }
      })
      const pipeline = yield* Pipeline.make(description)
      yield* Pacer.withCost(pipeline.execute(Effect.void), { tokens: 1000, images: 3 })
      const began = yield* Clock.currentTimeMillis
      const settled = Effect.andThen(Pacer.settle({ tokens: 100 }), Clock.currentTimeMillis)
      const call = Pacer.withCost(pipeline.execute(settled), { tokens: 1000 })
      const [one, two] = [yield* Effect.forkChild(call), yield* Effect.forkChild(call)]
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(one), began + 1000)
      // It gave 900 back, so that the next one waits for the requests, which are 120 ms apart.
      assert.deepStrictEqual(yield* Fiber.join(two), began + 1120)
      const tooMuch = yield* Effect.flip(Pacer.withCost(pipeline.execute(Effect.void), { tokens: 1001 }))
      assert.strictEqual(tooMuch._tag, "PaceExceeded")
    }))

  it.effect("a throttle keeps the important calls", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "search", throttle: { priorities: ["live", "batch"] } })
      const call = pipeline.execute(Effect.fail("503"))
      for (let i = 0; i < 200; i++) yield* Effect.exit(Priority.withPriority(call, i % 10 === 0 ? "live" : "batch"))
      for (let i = 0; i < 20; i++) {
        const [live, batch] = [
          yield* Effect.exit(Priority.withPriority(pipeline.execute(Effect.void), "live")),
          yield* Effect.exit(Priority.withPriority(pipeline.execute(Effect.fail("503")), "batch"))
        ]
        assert.isTrue(Exit.isSuccess(live))
        assert.isTrue(Exit.isFailure(batch))
      }
    }).pipe(Random.withSeed("throttle")))
})
