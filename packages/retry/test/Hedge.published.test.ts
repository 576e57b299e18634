import { LibraryErrors } from "@effect-resilience/errors"
import { AttemptBudget, Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import type { Response } from "./published/hedging.ts"
import { defaults, grpc, tail } from "./published/hedging.ts"

/** As grpc-js has it: UNAVAILABLE and INVALID_ARGUMENT. */
const errorOf = ({ pushback, status }: Response, request: number) =>
  Object.assign(new Error(String(request)), {
    code: status === "fatal" ? 3 : 14,
    details: status,
    metadata: { get: (name: string) => name === "grpc-retry-pushback-ms" && pushback !== undefined ? [pushback] : [] }
  })

describe("gRFC A6, gRPC Retry Design", () => {
  for (const { responses, result, rule, sent, throttled } of grpc.vectors) {
    it.effect(rule, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 seconds")
        const began = yield* Clock.currentTimeMillis
        const seen: Array<number> = []
        const request = Effect.gen(function*() {
          seen.push((yield* Clock.currentTimeMillis) - began)
          const number = seen.length
          const response = responses[number - 1]
          yield* Effect.sleep(response?.after ?? 60_000)
          if (response !== undefined && response.status !== "OK") return yield* Effect.fail(errorOf(response, number))
          return number
        })
        const hedge = yield* Hedge.make({
          times: grpc.maxAttempts - 1,
          after: grpc.hedgingDelay,
          classify: LibraryErrors.classify
        })
        const call = Hedge.withHedge(Hedge.idempotent(request), hedge).pipe(
          AttemptBudget.withAttemptBudget(throttled ? AttemptBudget.empty : AttemptBudget.noop)
        )
        const fiber = yield* Effect.forkChild(Effect.all([Effect.exit(call), Clock.currentTimeMillis]), {
          startImmediately: true
        })
        yield* TestClock.adjust("1 minute")
        const [exit, ended] = yield* Fiber.join(fiber)
        const [number, at] = result
        assert.deepStrictEqual(seen, sent)
        assert.strictEqual(ended - began, at)
        if (responses[number - 1]?.status === "OK") assert.deepStrictEqual(exit, Exit.succeed(number))
        else assert.include(String(yield* Effect.flip(exit)), String(number))
      }))
  }

  it("allows no more attempts than a hedge does", () => {
    assert.strictEqual(Hedge.fields.times.read(grpc.longestConfigurable - 1, "times"), 4)
  })
})

describe("the defaults of a hedge", () => {
  for (const { most, source, times } of defaults) {
    it(`are as many further attempts as ${source} has`, () => {
      assert.strictEqual(Hedge.fields.times.read(undefined, "times"), times)
      if (most === undefined) return
      assert.strictEqual(Hedge.fields.times.read(most, "times"), most)
      assert.throws(() => Hedge.fields.times.read(most + 1, "times"), RangeError)
    })
  }

  it.effect(`wait for the percentile of ${tail.source}`, () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make()
      const same = yield* Hedge.make({ after: { percentile: tail.percentile } })
      for (const { recordUnsafe } of [hedge, same]) {
        for (let millis = 1; millis <= 128; millis++) recordUnsafe(Duration.millis(millis))
      }
      assert.deepStrictEqual(hedge.afterUnsafe(), same.afterUnsafe())
    }))
})
