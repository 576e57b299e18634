import { Recovery } from "@effect-resilience/errors"
import { Attempt, Backoff, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { vi } from "vitest"

const twice = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
const retried = RetryPolicy.retry(twice, { classify: () => Recovery.retry })

/** Where the running code stands, innermost call first. */
const places = Effect.gen(function*() {
  const found: Array<Attempt.Place> = []
  const call = yield* Attempt.Call
  for (
    let place = call === undefined ? undefined : { call, attempt: yield* Attempt.Current };
    place !== undefined;
    place = place.call.around
  ) found.push(place)
  return found
})

const recorder = () => {
  const seen: Array<ReadonlyArray<Attempt.Place>> = []
  const failing = Effect.flatMap(places, (found) => {
    seen.push(found)
    return Effect.fail("no")
  })
  return { seen, failing }
}

describe("the call of an attempt", () => {
  it.effect("costs a retry nothing until something asks for it", () =>
    Effect.gen(function*() {
      // Of the modules that are loaded, another test may have asked.
      vi.resetModules()
      const { RetryPolicy } = yield* Effect.promise(() => import("@effect-resilience/retry"))
      const { failing, seen } = recorder()
      yield* Effect.ignore(RetryPolicy.retry(failing, twice, { classify: () => Recovery.retry }))
      assert.deepStrictEqual(seen, [[], []])
    }))

  it.effect("is one for all attempts of a retry, and another for the next retry", () =>
    Effect.gen(function*() {
      Attempt.trackCalls()
      const { failing, seen } = recorder()
      const call = retried(failing)
      yield* Effect.ignore(call)
      yield* Effect.ignore(call)
      const calls = seen.map(([place]) => place?.call)
      assert.strictEqual(calls[0], calls[1])
      assert.strictEqual(calls[2], calls[3])
      assert.notStrictEqual(calls[0], calls[2])
      assert.deepStrictEqual(seen.map((found) => found.map(({ attempt }) => attempt.attempt)), [[1], [2], [1], [2]])
      assert.isUndefined(yield* Attempt.Call)
    }))

  it.effect("knows the attempt around it", () =>
    Effect.gen(function*() {
      Attempt.trackCalls()
      const { failing, seen } = recorder()
      yield* Effect.ignore(retried(retried(failing)))
      const numbers = seen.map((found) => found.map(({ attempt }) => attempt.attempt))
      assert.deepStrictEqual(numbers, [[1, 1], [2, 1], [1, 2], [2, 2]])
      assert.strictEqual(new Set(seen.map(([, outer]) => outer?.call)).size, 1)
      assert.strictEqual(new Set(seen.map(([inner]) => inner?.call)).size, 2)
    }))

  it.effect("tells the attempts of a hedge apart, whatever is inside and around it", () =>
    Effect.gen(function*() {
      Attempt.trackCalls()
      const { failing, seen } = recorder()
      const hedge = yield* Hedge.make({ after: 100, idempotent: true })
      const inside = retried(Effect.delay(failing, 150))
      const fiber = yield* Effect.forkChild(Effect.ignore(retried(hedge.execute(inside))))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      // At each level, an attempt stands for itself.
      for (const level of [0, 1, 2]) {
        const at = seen.map((found) => found[level])
        assert.isTrue(at.every((place) => place !== undefined))
      }
      const hedges = new Set(seen.map(([, hedge]) => hedge?.attempt))
      assert.strictEqual(new Set(seen.map(([, hedge]) => hedge?.call)).size * 2, hedges.size)
      assert.strictEqual(new Set(seen.map(([, , outer]) => outer?.call)).size, 1)
      assert.strictEqual(new Set(seen.map(([, , outer]) => outer?.attempt)).size, 2)
    }))
})
