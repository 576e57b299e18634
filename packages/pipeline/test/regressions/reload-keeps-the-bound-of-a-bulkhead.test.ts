import { Pipeline } from "@effect-resilience/pipeline"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

type Bulkhead = NonNullable<Pipeline.Description["bulkhead"]>

const start = (bulkhead: Bulkhead) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("1 hour")
    const pipeline = yield* Pipeline.make<Pipeline.Description>({ name: "ledger", bulkhead })
    const seen = { running: 0, most: 0 }
    const call = Effect.gen(function*() {
      seen.most = Math.max(seen.most, ++seen.running)
      yield* Effect.sleep("1 second")
      seen.running--
    })
    return {
      seen,
      reload: (bulkhead: Bulkhead) => pipeline.reload({ name: "ledger", bulkhead }),
      calls: (count: number) =>
        Effect.all(
          Array.from(
            { length: count },
            () => Effect.forkChild(Effect.exit(pipeline.execute(call)), { startImmediately: true })
          )
        )
    }
  })

const outcomes = (calls: ReadonlyArray<Fiber.Fiber<{ readonly _tag: string }>>) =>
  Effect.map(Fiber.joinAll(calls), (exits) => exits.map((exit) => exit._tag))

it.effect("counts the calls that run against the permits of a new description, whatever else it changes", () =>
  Effect.gen(function*() {
    for (
      const next of [{ permits: 4, queue: 9 }, { permits: 5, queue: 7 }, { permits: 4, queue: 9, queueTimeout: 5000 }]
    ) {
      const { calls, reload, seen } = yield* start({ permits: 5, queue: 9 })
      const before = yield* calls(5)
      yield* reload(next)
      const after = yield* calls(4)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(seen.most, 5)
      assert.deepStrictEqual(yield* outcomes([...before, ...after]), Array.from({ length: 9 }, () => "Success"))
    }
  }))

it.effect("lets calls that wait in at once where a new description has more permits", () =>
  Effect.gen(function*() {
    const { calls, reload, seen } = yield* start({ permits: 1, queue: 9 })
    const waiting = yield* calls(4)
    yield* reload({ permits: 4, queue: 9 })
    yield* TestClock.adjust("1 second")
    assert.strictEqual(seen.most, 4)
    assert.strictEqual((yield* outcomes(waiting)).length, 4)
  }))

it.effect("limits the wait of calls that wait already by the time of a new description", () =>
  Effect.gen(function*() {
    const { calls, reload } = yield* start({ permits: 1, queue: 9 })
    const waiting = yield* calls(2)
    yield* TestClock.adjust(300)
    yield* reload({ permits: 1, queue: 1, queueTimeout: 500 })
    const [rejected] = yield* calls(1)
    assert.isDefined(rejected?.pollUnsafe())
    yield* TestClock.adjust(199)
    assert.isUndefined(waiting[1]?.pollUnsafe())
    yield* TestClock.adjust(1)
    assert.isDefined(waiting[1]?.pollUnsafe())
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* outcomes(waiting), ["Success", "Failure"])
  }))
