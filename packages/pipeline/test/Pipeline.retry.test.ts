import { ApiError, Recovery } from "@effect-resilience/errors"
import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** Fails with each of these statuses in turn, then succeeds with the number of the attempt; notes when each began. */
const script = (statuses: ReadonlyArray<number>) => {
  const began: Array<number> = []
  const effect = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    began.push(now)
    const status = statuses[began.length - 1]
    return status === undefined ? Effect.succeed(began.length) : Effect.fail(ApiError.reasonFromStatus(status))
  })
  return { began, effect }
}

const overTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

describe("the retry of a pipeline", () => {
  it.effect("is described in JSON by kinds, delays and functions, with a budget that has their costs", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      const functions = {
        isEarly: (_: unknown, attempt: number) => {
          asked.push(attempt)
          return Effect.as(Effect.sleep("1 minute"), attempt < 4)
        }
      }
      const json = {
        name: "ledger",
        budget: { quota: { capacity: 100 } },
        retry: {
          times: 9,
          backoff: { list: ["1 second", "2 seconds"] },
          cost: 14,
          kinds: { throttled: { backoff: { linear: { base: "10 seconds", jitter: "none" } }, cost: 5 } },
          when: "isEarly"
        }
      }
      const description = yield* PipelineDescription.decode(json, { functions })
      assert.deepStrictEqual(yield* PipelineDescription.encode(description, { functions }), json)
      const ledger = yield* Pipeline.make(description)
      const { began, effect } = script([500, 429, 500, 500])
      const exit = yield* overTime(ledger.execute(effect))
      assert.isTrue(Exit.isFailure(exit))
      // Each retry waits for the minute of `isEarly` too. The third one is not early.
      assert.deepStrictEqual(began, [0, 61_000, 141_000, 203_000])
      assert.deepStrictEqual(asked, [1, 2, 3, 4])
      const { budget } = yield* ledger.policies
      assert.strictEqual((yield* budget?.snapshot ?? Effect.succeed({ balance: 0 })).balance, 100 - 14 - 5 - 14)
    }))

  it.effect("retries after a result, also where all parts could be passed in one step", () =>
    Effect.gen(function*() {
      const functions = { isOdd: (result: unknown) => typeof result === "number" && result < 3 }
      const json = {
        name: "ledger",
        bulkhead: { permits: 1 },
        retry: { times: 5, backoff: { base: "1 second", jitter: "none" }, retryWhen: "isOdd" },
        attemptTimeout: "1 minute"
      }
      const description = yield* PipelineDescription.decode(json, { functions })
      const ledger = yield* Pipeline.make(description)
      const { began, effect } = script([])
      assert.deepStrictEqual(yield* overTime(ledger.execute(effect)), Exit.succeed(3))
      assert.deepStrictEqual(began, [0, 1000, 3000])
    }))

  it.effect("counts the time of its first attempt too where it is limited in time", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      const ledger = yield* Pipeline.make({
        name: "ledger",
        retry: { times: 5, backoff: { base: "1 second", jitter: "none" }, maxDuration: "3 seconds" },
        attemptTimeout: "1 minute"
      })
      const { began, effect } = script([500, 500])
      yield* overTime(ledger.execute(Effect.tapError(effect, () => Effect.sleep("2500 millis"))))
      assert.strictEqual(began.length, 1)
    }))

  it.effect("judges kinds as the pipeline is told to", () =>
    Effect.gen(function*() {
      const retry = { backoff: { list: [1] }, kinds: { overloaded: { backoff: { list: [1000] } } } } as const
      const ledger = yield* Pipeline.make({ name: "ledger", retry }, { classify: () => Recovery.retryAs("overloaded") })
      const { began, effect } = script([404])
      yield* overTime(ledger.execute(effect))
      assert.deepStrictEqual(began, [0, 1000])
    }))
})
