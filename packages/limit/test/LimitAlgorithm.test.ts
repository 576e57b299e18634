import { ConcurrencyLimit, LimitAlgorithm } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import { RunningMean } from "../src/internal/runningMean.ts"

/** Clocks do not start at 0. */
const start = 3_600_000

/** A call that ends each `every` milliseconds while all of the limit is used. Tells when the limit changed, and to what. */
const changes = (
  estimator: LimitAlgorithm.Estimator,
  { calls, every, rtt, random = 0 }: {
    readonly calls: number
    readonly every: number
    readonly rtt: (call: number) => number
    readonly random?: number
  }
) => {
  const seen: Array<readonly [call: number, limit: number]> = []
  let { limit } = estimator
  for (let call = 1; call <= calls; call++) {
    estimator.record({
      nowMillis: start + call * every,
      rttMillis: rtt(call),
      inFlight: limit,
      dropped: false,
      random: () => random
    })
    if (estimator.limit !== limit) seen.push([call, estimator.limit])
    limit = estimator.limit
  }
  return seen
}

describe("a window", () => {
  it.effect.prop(
    "lasts for thirty calls at least, and until those that began in it have ended",
    { every: Schema.Literals([1, 3, 10]), rtt: Schema.Literals([1, 20, 64, 500, 2500]) },
    ({ every, rtt }) =>
      Effect.sync(() => {
        const estimator = LimitAlgorithm.start(LimitAlgorithm.gradient2({ smoothing: 1, queueSize: 1, window: 0 }))
        // It begins a round trip after a change, when the calls of before have ended, and grows by one.
        const expected: Array<readonly [number, number]> = []
        let fromMillis = every
        for (let limit = 21; limit <= 30; limit++) {
          const ends = Math.max(Math.ceil(fromMillis / every) + 29, Math.ceil((fromMillis + 2 * rtt) / every))
          expected.push([ends, limit])
          fromMillis = ends * every + rtt
        }
        const calls = expected.at(-1)?.[0] ?? 0
        assert.deepStrictEqual(changes(estimator, { calls, every, rtt: () => rtt }), expected)
      }),
    { arbitrary: { runs: 60, seed: 16 } }
  )
})

describe("a measurement without load", () => {
  it("begins when the calls of before have ended, by their mean round trip", () => {
    for (const took of [10, 100, 1000]) {
      const estimator = LimitAlgorithm.start(
        LimitAlgorithm.gradient({ minRttRequests: 5, minRttInterval: "1 second", window: "1 hour" })
      )
      // Other than the rest, the call at which the second measurement is due took so long.
      const seen = changes(estimator, { calls: 40, every: 50, rtt: (call) => call === 21 ? took : 100 })
      assert.deepStrictEqual(seen, [[1, 3], [9, 20], [21, 3], [29, 20]])
    }
  })

  it.each([50, 60, 200])(
    "takes no more than %i calls, where round trips vary too much for their mean to be known",
    (most) => {
      const estimator = LimitAlgorithm.start(LimitAlgorithm.vegas({ initial: 100, probeRequests: most }))
      const [lowered, raised] = changes(estimator, { calls: 1000, every: 10, rtt: (call) => call % 2 === 0 ? 1 : 199 })
      assert.deepStrictEqual([lowered?.[1], raised?.[1]], [50, 100])
      // The calls of before take two mean round trips to end, and are not counted.
      assert.strictEqual((raised?.[0] ?? 0) - (lowered?.[0] ?? 0), 20 + most - 1)
    }
  )

  it("is taken again after the interval, or 20 times what it took where that is longer, less up to 15 % by chance", () => {
    for (const interval of [0, 30_000, 60_000]) {
      for (const random of [0, 0.5, 1]) {
        const algorithm = LimitAlgorithm.vegas({ probeInterval: interval, initial: 20, max: 20 })
        const seen = changes(LimitAlgorithm.start(algorithm), { calls: 20_000, every: 5, rtt: () => 10, random })
        const [lowered = 0, raised = 0, again = 0] = seen.map(([call]) => call * 5)
        assert.deepStrictEqual(seen.slice(0, 4).map(([, limit]) => limit), [10, 20, 14, 20])
        const due = raised + Math.max(interval, 20 * (raised - lowered)) * (1 - 0.15 * random)
        // A window of thirty calls that began two round trips after a change ends first.
        assert.isAtLeast(again, due)
        assert.isAtMost(again, due + 170)
      }
    }
  })

  const draws = [[0, 4000], [0.999, 3400]] as const
  it.effect.each(draws)(
    "is taken again when the random numbers of the caller, %d, say so",
    ([draw, millis]) =>
      Effect.gen(function*() {
        yield* TestClock.adjust(start)
        const algorithm = LimitAlgorithm.vegas({ probeInterval: "4 seconds", initial: 20, max: 20 })
        const limit = yield* ConcurrencyLimit.make({ algorithm })
        const lowered: Array<number> = []
        for (let now = 0, before = 20; now < 5000; now += 10) {
          const { limit: room } = yield* limit.snapshot
          if (room < before) lowered.push(now)
          before = room
          for (let i = 0; i < room; i++) {
            yield* Effect.forkChild(limit.execute(Effect.sleep(10)), { startImmediately: true })
          }
          yield* TestClock.adjust(10)
        }
        const [first = 0, second = 0] = lowered
        assert.approximately(second - first, millis, 200)
      }).pipe(Effect.provideService(Random.Random, { nextDoubleUnsafe: () => draw, nextIntUnsafe: () => 0 }))
  )
})

describe("a mean of round trips", () => {
  const meanOf = (millis: number, count: number) => {
    const mean = new RunningMean()
    for (let i = 0; i < count; i++) mean.add(millis + (i % 2 === 0 ? 10 : -10))
    return mean
  }

  // The standard error of a hundred is 1, and that of their difference to as many others 1.4.
  it.each([
    { millis: 100, calls: 100, mean: 100, count: 200 },
    { millis: 102, calls: 100, mean: 101, count: 200 },
    { millis: 98, calls: 100, mean: 99, count: 200 },
    { millis: 103, calls: 100, mean: 100, count: 100 },
    { millis: 97, calls: 100, mean: 100, count: 100 },
    { millis: 200, calls: 100, mean: 100, count: 100 },
    { millis: 101, calls: 1000, mean: 100.8, count: 500 }
  ])("takes in $calls of before with a mean of $millis, unless that was something else", (before) => {
    const mean = meanOf(100, 100)
    mean.join(meanOf(before.millis, before.calls))
    assert.approximately(mean.mean, before.mean, 1e-9)
    assert.strictEqual(mean.count, before.count)
  })
})
