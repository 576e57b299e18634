import { Recovery } from "@effect-resilience/errors"
import { Bulkhead } from "@effect-resilience/limit"
import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
import { AttemptBudget, Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

class Throttled extends Data.TaggedError("Throttled") {
  [Recovery.symbol]() {
    return Recovery.retryAs("throttled")
  }
}

describe("a retry policy in a description", () => {
  it.effect("stands for its options, whatever its name", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const policies = [
        RetryPolicy.aws2026,
        RetryPolicy.google,
        RetryPolicy.noop,
        RetryPolicy.make({ name: "mine", times: 5, backoff: Backoff.immediate })
      ]
      for (const retry of policies) {
        const pipeline = yield* Pipeline.make({ name: "ledger", retry })
        const same = yield* Pipeline.make({ name: "ledger", retry: { ...retry } })
        assert.strictEqual(yield* pipeline.describe, yield* same.describe)
        assert.strictEqual((yield* pipeline.policies).retry?.name, "ledger")
        const json = yield* PipelineDescription.encode({ name: "ledger", retry })
        const read = yield* PipelineDescription.decode(json)
        assert.strictEqual(yield* (yield* Pipeline.make(read)).describe, yield* pipeline.describe)
      }
    }))

  it.effect("retries as it does alone, and pays the budget of the pipeline", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const pipeline = yield* Pipeline.make({
        name: "dynamo",
        budget: AttemptBudget.quota({ capacity: 9 }),
        retry: RetryPolicy.aws2026
      })
      let calls = 0
      const call = Effect.andThen(Effect.sync(() => calls++), Effect.fail(new Throttled()))
      const fiber = yield* Effect.forkChild(Effect.exit(pipeline.execute(call)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      // A retry after throttling costs 5.
      assert.strictEqual(calls, 2)
    }))

  it.effect("is the same after a reload that names its options", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make<Pipeline.Description>({ name: "ledger", retry: RetryPolicy.grpc })
      const { retry } = yield* pipeline.policies
      yield* pipeline.reload({ name: "ledger", retry: { ...RetryPolicy.grpc } })
      assert.strictEqual((yield* pipeline.policies).retry, retry)
    }))

  it.effect("has no limit of attempts, and JSON has no name for it", () =>
    Effect.gen(function*() {
      // @ts-expect-error -- `attemptTimeout` is a part of its own
      assert.throws(() => Pipeline.make({ name: "x", retry: RetryPolicy.polly }), "has no option attemptTimeout")
      const { attemptTimeout, ...retry } = RetryPolicy.polly
      yield* Pipeline.make({ name: "x", retry, attemptTimeout })
      const error = yield* Effect.flip(PipelineDescription.decode({ name: "x", retry: "aws2026" }))
      assert.include(error.message, "Pipeline.retry must be an object of options")
    }))

  it.effect("is not possible for a policy that keeps something from one call to the next", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      // @ts-expect-error -- options, or a bulkhead made elsewhere among the `policies`
      assert.throws(() => Pipeline.make({ name: "x", bulkhead }), RangeError)
    }))
})
