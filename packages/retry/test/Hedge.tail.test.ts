import { Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import { tail } from "./published/hedging.ts"

const { leaves, slow, slowMillis } = tail

/** How many requests are slow, and how many leaves are asked. */
const measure = (requests: number, through: (leaf: Effect.Effect<void>) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    let sent = 0
    let late = 0
    const leaf = Effect.flatMap(Random.next, (chance) => {
      sent++
      return Effect.sleep(chance < slow ? slowMillis : 2 + (8 * chance))
    })
    const request = Effect.gen(function*() {
      const began = yield* Clock.currentTimeMillis
      yield* Effect.forEach(Array.from({ length: leaves }), () => through(leaf), { concurrency: "unbounded" })
      if ((yield* Clock.currentTimeMillis) - began >= slowMillis) late++
    })
    for (let i = 0; i < requests; i++) {
      const fiber = yield* Effect.forkChild(request, { startImmediately: true })
      yield* TestClock.adjust(2 * slowMillis)
      yield* Fiber.join(fiber)
    }
    return { late: late / requests, sent: sent / (requests * leaves) }
  }).pipe(Random.withSeed(9))

/** Three standard deviations of a share of `n`. */
const about = (actual: number, expected: number, n: number, message: string) =>
  assert.closeTo(actual, expected, 3 * Math.sqrt(expected * (1 - expected) / n), message)

describe("The Tail at Scale", () => {
  it.effect(
    "a request of 100 leaves is slow in 63 % of cases; with a hedge in 1 %, for 1 % more requests",
    () =>
      Effect.gen(function*() {
        const requests = 500
        const plain = yield* measure(requests, (leaf) => leaf)
        about(plain.late, tail.slowRequests, requests, "slow")
        assert.strictEqual(plain.sent, 1)

        const hedge = yield* Hedge.make({ after: "10 millis" })
        const hedged = yield* measure(requests, (leaf) => Hedge.withHedge(Hedge.idempotent(leaf), hedge))
        about(hedged.late, 1 - (1 - slow ** 2) ** leaves, requests, "slow with a hedge")
        about(hedged.sent - 1, slow, requests * leaves, "further requests")
        const { hedges, rejected } = yield* hedge.snapshot
        assert.strictEqual(hedges, Math.round((hedged.sent - 1) * requests * leaves))
        assert.strictEqual(rejected, 0)
      })
  )

  it.effect(
    "while all leaves are slow, a hedge that learned its wait sends no more than its share and what it had saved",
    () =>
      Effect.gen(function*() {
        const hedge = yield* Hedge.make({ times: 3, share: 0.02 })
        let sent = 0
        const ask = (calls: number, millis: number) =>
          Effect.gen(function*() {
            sent = 0
            const leaf = Effect.andThen(Effect.sync(() => sent++), Effect.sleep(millis))
            for (let call = 0; call < calls; call++) {
              yield* Effect.forkChild(Hedge.withHedge(Hedge.idempotent(leaf), hedge), { startImmediately: true })
              yield* TestClock.adjust(5)
            }
            yield* TestClock.adjust("1 minute")
            return sent - calls
          })
        assert.strictEqual(yield* ask(200, 20), 0)
        const during = yield* ask(1000, 2000)
        assert.isAtMost(during, 10 + 0.02 * 1000)
        assert.isAtLeast(during, 10)
        const { after } = yield* hedge.snapshot
        assert.isAtLeast(Duration.toMillis(after), 2000)
      })
  )
})
