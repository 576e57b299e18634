import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Batch } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Fiber, Ref, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Targets from "./Targets.ts"

const names = (count: number): ReadonlyArray<Targets.Item> =>
  Array.from({ length: count }, (_, i) => ({ name: `item ${i}` }))

const policy = RetryPolicy.make({ times: 2, backoff: Backoff.constant("1 second") })

describe("Batch", () => {
  it.effect.prop(
    "keeps the order of each key, never overlaps two items of a key, and never exceeds its concurrency",
    {
      work: Schema.Array(Schema.Tuple([
        Schema.Literals(["a", "b", "c", "d"]),
        Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))
      ])).check(Schema.isMaxLength(40)),
      concurrency: Schema.Literals([1, 2, 3, 6])
    },
    ({ concurrency, work }) =>
      Effect.gen(function*() {
        const keys = work.map(([key]) => key)
        const running = new Map<string, number>()
        const finished: Array<number> = []
        let most = 0
        const target = Targets.make(({ key = "", name }) =>
          Effect.gen(function*() {
            assert.isFalse(running.has(key))
            running.set(key, Number(name))
            most = Math.max(most, running.size)
            yield* Effect.sleep(work[Number(name)]?.[1] ?? 0)
            running.delete(key)
            finished.push(Number(name))
          })
        )
        const items = keys.map((key, i) => ({ name: `${i}`, key }))
        const fiber = yield* Effect.forkChild(Batch.run(target, items, { concurrency }))
        yield* TestClock.adjust("1 minute")
        const summary = yield* Fiber.join(fiber)

        assert.deepStrictEqual(summary.results.map(({ item }) => item.name), items.map(({ name }) => name))
        assert.strictEqual(summary.totals.uploaded, items.length)
        assert.isAtMost(most, concurrency)
        for (const key of new Set(keys)) {
          const order = finished.filter((i) => keys[i] === key)
          assert.deepStrictEqual(order, order.toSorted((a, b) => a - b))
        }
      })
  )

  it.effect("lists failures one by one, and one bad item stops no other", () =>
    Effect.gen(function*() {
      const target = Targets.make(({ name }) =>
        name === "item 3" || name === "item 5" ? Effect.fail(Targets.failure(404)) : Effect.void
      )
      const { results, totals } = yield* Batch.run(target, names(8))
      assert.deepStrictEqual(results.flatMap((result) => result._tag === "Failed" ? [result.index] : []), [3, 5])
      assert.strictEqual(totals.uploaded, 6)
    }))

  it.effect("stops at the first failure on request, and lists what is left", () =>
    Effect.gen(function*() {
      const target = Targets.make(({ name }) => name === "item 2" ? Effect.fail(Targets.failure(404)) : Effect.void)
      const { results } = yield* Batch.run(target, names(6), { concurrency: 1, failFast: true })
      assert.deepStrictEqual(results.map((result) => result._tag), [
        "Uploaded",
        "Uploaded",
        "Failed",
        "NotStarted",
        "NotStarted",
        "NotStarted"
      ])
    }))

  it.effect("delays all items after one 429, then lets them continue without a burst", () =>
    Effect.gen(function*() {
      const starts: Array<number> = []
      let limited = false
      const target = Targets.make(({ name }) =>
        Effect.gen(function*() {
          const now = yield* Clock.currentTimeMillis
          starts.push(now)
          if (name === "item 0" && !limited) {
            limited = true
            return yield* Effect.fail(Targets.failure(429, 30))
          }
          yield* Effect.sleep("1 second")
        })
      )
      const fiber = yield* Effect.forkChild(Batch.run(target, names(12), { concurrency: 4, policy }))
      yield* TestClock.adjust("5 minutes")
      const { totals } = yield* Fiber.join(fiber)

      assert.strictEqual(totals.uploaded, 12)
      const after = starts.filter((start) => start >= 30_000)
      assert.deepStrictEqual(starts.filter((start) => start > 0 && start < 30_000), [])
      assert.strictEqual(new Set(after.slice(0, 4)).size, 4)
    }))

  it.effect.prop(
    "waits for no longer than the policy does, whatever time a server names",
    { seconds: Schema.Literals([1, 59, 61, 86_400, 31_536_000, 1e12]) },
    ({ seconds }) =>
      Effect.gen(function*() {
        let requests = 0
        const target = Targets.make(() => requests++ === 0 ? Effect.fail(Targets.failure(503, seconds)) : Effect.void)
        const run = Batch.run(target, names(6), { concurrency: 1, policy: RetryPolicy.make({ times: 0 }) })
        const fiber = yield* Effect.forkChild(run)
        yield* TestClock.adjust(Duration.seconds(Math.min(seconds, 60)))
        assert.isAtLeast(requests, 2)
        yield* TestClock.adjust("1 minute")
        const { totals } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([totals.failed, totals.uploaded], [1, 5])
      })
  )

  it.effect("keeps its pace", () =>
    Effect.gen(function*() {
      const starts: Array<number> = []
      const target = Targets.make(() => Effect.map(Clock.currentTimeMillis, (now) => void starts.push(now)))
      const fiber = yield* Effect.forkChild(Batch.run(target, names(4), { concurrency: 4, pace: "250 millis" }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(starts, [0, 250, 500, 750])
    }))

  for (const mode of ["finish", "abandon"] as const) {
    it.effect(`stops gracefully: ${mode}`, () =>
      Effect.gen(function*() {
        const signal = yield* Deferred.make<Batch.StopMode>()
        const interrupted = yield* Ref.make(0)
        const target = Targets.make(() =>
          Effect.onInterrupt(Effect.sleep("10 seconds"), () => Ref.update(interrupted, (n) => n + 1))
        )
        const fiber = yield* Effect.forkChild(
          Batch.run(target, names(5), { concurrency: 2, stop: Deferred.await(signal) })
        )
        yield* TestClock.adjust("5 seconds")
        yield* Deferred.succeed(signal, mode)
        yield* TestClock.adjust("5 seconds")
        const { results, totals } = yield* Fiber.join(fiber)
        const inFlight = mode === "finish" ? "Uploaded" : "Abandoned"
        assert.deepStrictEqual(results.map((result) => result._tag), [
          inFlight,
          inFlight,
          "NotStarted",
          "NotStarted",
          "NotStarted"
        ])
        assert.strictEqual(totals.notStarted, 3)
        assert.strictEqual(yield* Ref.get(interrupted), mode === "finish" ? 0 : 2)
      }))
  }

  for (
    const [what, ends] of [["it is stopped", "stop"], ["one has failed, if it is to fail fast", "failure"]] as const
  ) {
    it.effect(`sends nothing more that waits for its pace when ${what}`, () =>
      Effect.gen(function*() {
        const starts: Array<number> = []
        const target = Targets.make(() =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            starts.push(now)
            return ends === "failure" && starts.length === 2 ? Effect.fail(Targets.failure(404)) : Effect.void
          })
        )
        const fiber = yield* Effect.forkChild(
          Batch.run(target, names(8), {
            concurrency: 4,
            pace: "1 minute",
            failFast: true,
            stop: ends === "stop" ? Effect.as(Effect.sleep("90 seconds"), "finish" as const) : undefined
          })
        )
        yield* TestClock.adjust("10 minutes")
        const { results } = yield* Fiber.join(fiber)
        assert.deepStrictEqual(starts, [0, 60_000])
        assert.deepStrictEqual(
          results.map(({ _tag }) => _tag),
          ["Uploaded", ends === "stop" ? "Uploaded" : "Failed", ...Array.from({ length: 6 }, () => "NotStarted")]
        )
      }))
  }

  it.effect("says of an abandoned item that is not idempotent whether it may have been applied", () =>
    Effect.gen(function*() {
      const signal = yield* Deferred.make<Batch.StopMode>()
      const target = Targets.make(({ name }, payload) =>
        Effect.andThen(name === "sent" ? Stream.runDrain(payload.stream) : Effect.void, Effect.never)
      )
      const fiber = yield* Effect.forkChild(
        Batch.run(target, [{ name: "sent", idempotent: false }, { name: "not sent", idempotent: false }], {
          stop: Deferred.await(signal)
        })
      )
      yield* TestClock.adjust("5 seconds")
      yield* Deferred.succeed(signal, "abandon")
      const { results } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        results.map((result) => result._tag === "Abandoned" && result.outcomeUnknown),
        [true, false]
      )
    }))

  it.effect("interrupts running uploads when it is interrupted", () =>
    Effect.gen(function*() {
      const interrupted = yield* Ref.make(0)
      const target = Targets.make(() => Effect.onInterrupt(Effect.never, () => Ref.update(interrupted, (n) => n + 1)))
      const fiber = yield* Effect.forkChild(Batch.run(target, names(9), { concurrency: 3 }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* Ref.get(interrupted), 3)
    }))

  it.effect("reads no more than 1,000 items ahead", () =>
    Effect.gen(function*() {
      let read = 0
      const items = Stream.fromIterable(names(5_000)).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sync(() => read++))
      )
      const fiber = yield* Effect.forkChild(Batch.run(Targets.make(() => Effect.never), items, { concurrency: 2 }))
      yield* TestClock.adjust(Duration.seconds(1))
      assert.isAtMost(read, 1_002)
      yield* Fiber.interrupt(fiber)
    }))

  it("rejects a concurrency that makes no sense", () => {
    for (const concurrency of [0, -1, 1.5, NaN]) {
      assert.throws(() => Batch.run(Targets.make(), [], { concurrency }), RangeError)
    }
  })
})
