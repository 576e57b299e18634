import { ApiError, Repetition } from "@effect-resilience/errors"
import { Pipeline, PipelineDescription } from "@effect-resilience/pipeline"
import type { Hedge } from "@effect-resilience/retry"
import { Attempt, AttemptBudget } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Metric } from "effect"
import { TestClock } from "effect/testing"

const unavailable = ApiError.reasonFromStatus(503, {})
const notFound = ApiError.reasonFromStatus(404, {})

interface Plan {
  readonly millis: number
  readonly error?: unknown
}

/** Takes a plan for each attempt in turn; notes what began when. */
const script = (plans: ReadonlyArray<Plan>) => {
  const began: Array<readonly [attempt: number, hedge: number, at: number]> = []
  const effect = Effect.gen(function*() {
    const { attempt, hedge } = yield* Attempt.Current
    began.push([attempt, hedge, yield* Clock.currentTimeMillis])
    const number = began.length
    const { error, millis } = plans[number - 1] ?? { millis: 0 }
    yield* Effect.sleep(millis)
    return error === undefined ? number : yield* Effect.fail(error)
  })
  return { began, effect }
}

const overTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

const description = { name: "ledger", hedge: { after: "100 millis", idempotent: true } } as const

describe("a hedge in a pipeline", () => {
  it.effect("stands inside the retry, which sees one outcome, and outside all that counts attempts", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        ...description,
        metrics: true,
        bulkhead: { permits: 1 },
        retry: { times: 1, backoff: { base: "1 second", jitter: "none" } },
        circuitBreaker: { tripPolicy: { consecutive: 5 } },
        attemptTimeout: "2 seconds"
      })
      const { began, effect } = script([
        { millis: 300, error: unavailable },
        { millis: 400, error: unavailable },
        { millis: 9000 },
        { millis: 10 }
      ])
      assert.deepStrictEqual(yield* overTime(pipeline.execute(effect)), Exit.succeed(4))
      assert.deepStrictEqual(began, [[1, 0, 0], [2, 1, 100], [2, 0, 1500], [3, 1, 1600]])
      const { hedge } = yield* pipeline.snapshot
      assert.deepInclude(hedge, { hedges: 2, winners: 1, rejected: 0 })
      const calls = Metric.withAttributes(Pipeline.callsTotal, {
        "resilience.policy": "ledger",
        "resilience.outcome": "success"
      })
      assert.strictEqual((yield* Metric.value(calls)).count, 1)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("sends again at once where the time limit of an attempt is over", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        hedge: { after: "Infinity", idempotent: true },
        attemptTimeout: "1 second"
      })
      const { began, effect } = script([{ millis: 9000 }, { millis: 10 }])
      assert.deepStrictEqual(yield* overTime(pipeline.execute(effect)), Exit.succeed(2))
      assert.deepStrictEqual(began.map(([, , at]) => at), [0, 1000])
    }))

  it.effect("repeats only what is declared idempotent", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", hedge: { after: "100 millis" } })
      const attempts = (declared: Repetition.Repetition | undefined) =>
        Effect.gen(function*() {
          const { began, effect } = script([{ millis: 500 }, { millis: 500 }])
          yield* overTime(Effect.provideService(pipeline.execute(effect), Repetition.Current, declared))
          return began.length
        })
      assert.deepStrictEqual(
        yield* Effect.forEach([undefined, "unlessApplied", "inTurn", "always"] as const, attempts),
        [
          1,
          1,
          1,
          2
        ]
      )
    }))

  it.effect("lets the first attempt go on where a limit rejects the second, which tells nothing of the call", () =>
    Effect.gen(function*() {
      for (const [end, expected] of [[{}, Exit.succeed(1)], [{ error: notFound }, Exit.fail(notFound)]] as const) {
        const pipeline = yield* Pipeline.make({
          ...description,
          concurrencyLimit: { algorithm: { fixed: 1 } }
        })
        const { began, effect } = script([{ millis: 500, ...end }])
        assert.deepStrictEqual(yield* overTime(pipeline.execute(effect)), expected)
        assert.strictEqual(began.length, 1)
        const { concurrencyLimit, hedge } = yield* pipeline.snapshot
        assert.strictEqual(concurrencyLimit?.rejected, 1)
        assert.strictEqual(concurrencyLimit?.running, 0)
        assert.strictEqual(hedge?.hedges, 1)
      }
    }))

  it.effect("holds the permit of a limit for a loser that cannot be interrupted, and that of the bulkhead for the call", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        ...description,
        bulkhead: { permits: 1 },
        concurrencyLimit: { algorithm: { fixed: 5 } }
      })
      const { effect } = script([{ millis: 500 }, { millis: 10 }])
      const fiber = yield* Effect.forkChild(pipeline.execute(Effect.uninterruptible(effect)), {
        startImmediately: true
      })
      yield* TestClock.adjust(110)
      assert.strictEqual(yield* Fiber.join(fiber), 2)
      const running = Effect.map(
        pipeline.snapshot,
        ({ bulkhead, concurrencyLimit }) => [bulkhead?.running, concurrencyLimit?.running]
      )
      assert.deepStrictEqual(yield* running, [0, 1])
      yield* TestClock.adjust(390)
      assert.deepStrictEqual(yield* running, [0, 0])
    }))

  it.effect("pays from the budget of the pipeline, as retries do", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        ...description,
        budget: { ratio: 0, minPerSecond: 0, burst: 1 },
        retry: { times: 3 }
      })
      const { began, effect } = script([
        { millis: 500, error: unavailable },
        { millis: 500, error: unavailable },
        { millis: 500 }
      ])
      const error = yield* Effect.flip(yield* overTime(pipeline.execute(effect)))
      assert.strictEqual(error, unavailable)
      assert.strictEqual(began.length, 2)
      const { budget } = yield* pipeline.snapshot
      assert.strictEqual(budget?.balance, 0)
    }).pipe(Effect.provideService(AttemptBudget.Current, AttemptBudget.empty)))

  it.effect("judges failures by the classifier of the pipeline, unless it has its own", () =>
    Effect.gen(function*() {
      const attempts = (hedge: Pick<Hedge.Options, "classify">) =>
        Effect.gen(function*() {
          const pipeline = yield* Pipeline.make({ ...description, hedge: { ...description.hedge, ...hedge } }, {
            classify: () => ({ _tag: "Retry", after: undefined })
          })
          const { began, effect } = script([{ millis: 10, error: "odd" }, { millis: 10 }])
          yield* overTime(pipeline.execute(effect))
          return began.length
        })
      assert.strictEqual(yield* attempts({}), 2)
      assert.strictEqual(yield* attempts({ classify: () => ({ _tag: "Correct" }) }), 1)
    }))

  it.effect("is described in JSON, and keeps what it has learned when a reload says the same", () =>
    Effect.gen(function*() {
      const json = { name: "ledger", hedge: { after: { percentile: 0.95, min: "5 millis" }, share: 0.05 } }
      const pipeline = yield* Pipeline.make(yield* PipelineDescription.decode(json))
      const { hedge } = yield* pipeline.policies
      yield* pipeline.reload(
        yield* PipelineDescription.decode({
          name: "ledger",
          hedge: { share: 0.05, after: { min: 5, percentile: 0.95 } }
        })
      )
      assert.isDefined(hedge)
      assert.strictEqual((yield* pipeline.policies).hedge, hedge)
      assert.include(
        (yield* Effect.flip(PipelineDescription.decode({ name: "ledger", hedge: { share: 2 } }))).message,
        "share"
      )
    }))
})
