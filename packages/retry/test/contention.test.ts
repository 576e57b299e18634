import { Recovery } from "@effect-resilience/errors"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"

/*
 * "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015): clients that each update one row once, with optimistic
 * locking, over a network whose delays are normal (mean 10 ms, deviation 2 ms). The numbers are the mean calls of 100 runs
 * of the program published with it (aws-samples/aws-arch-backoff-simulator, 0f46788), for 1, 10, 20, … 100 clients.
 * Its first backoff is 2 * 5 ms, its cap 2 s.
 */
const contenders = [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
const published = {
  none: [1.0, 51.2, 150.6, 276.8, 437.4, 627.4, 829.1, 1066.0, 1293.6, 1570.1, 1852.6],
  full: [1.0, 38.9, 100.7, 171.6, 250.1, 332.6, 418.3, 509.4, 602.2, 697.4, 795.7],
  equal: [1.0, 42.5, 107.9, 182.9, 262.5, 347.2, 433.9, 525.9, 619.3, 714.1, 813.2]
}

class Outdated extends Data.TaggedError("Outdated") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

const network = Effect.gen(function*() {
  const radius = Math.sqrt(-2 * Math.log(1 - (yield* Random.next)))
  const normal = radius * Math.cos(2 * Math.PI * (yield* Random.next))
  yield* Effect.sleep(Duration.millis(Math.abs(10 + 2 * normal)))
})

/** All calls that it takes until each of the clients has written once. */
const calls = (clients: number, jitter: keyof typeof published, seed: number) =>
  Effect.gen(function*() {
    const policy = RetryPolicy.make({ times: Infinity, backoff: Backoff.exponential({ base: 10, cap: 2000, jitter }) })
    let version = 0
    let writes = 0
    const update = Effect.gen(function*() {
      yield* network
      const read = version
      yield* network
      yield* network
      writes++
      const accepted = read === version
      if (accepted) version++
      yield* network
      if (!accepted) return yield* new Outdated()
    })
    const fiber = yield* Effect.forkChild(
      Effect.forEach(Array.from({ length: clients }), () => RetryPolicy.retry(update, policy), {
        concurrency: "unbounded",
        discard: true
      })
    )
    yield* TestClock.adjust("1 hour")
    yield* Fiber.join(fiber)
    return writes
  }).pipe(Random.withSeed(seed))

describe("contention under virtual time", () => {
  for (const jitter of ["none", "full", "equal"] as const) {
    it.effect(`reproduces the published curve of calls with ${jitter} jitter`, () =>
      Effect.gen(function*() {
        const runs = 4
        for (const [index, clients] of contenders.entries()) {
          if (jitter !== "full" && clients % 50 > 1) continue
          let total = 0
          for (let seed = 1; seed <= runs; seed++) total += yield* calls(clients, jitter, clients * 1000 + seed)
          const expected = published[jitter][index] ?? 0
          assert.closeTo(total / runs, expected, Math.max(0.1 * expected, 5), `${clients} clients`)
        }
      }))
  }
})
