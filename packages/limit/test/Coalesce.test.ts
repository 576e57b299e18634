import { Deadline } from "@effect-resilience/deadline"
import { Coalesce } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

const setup = Effect.gen(function*() {
  const coalesce = yield* Coalesce.make<number, string>()
  const gate = yield* Deferred.make<void, string>()
  const calls = { started: 0, interrupted: 0 }
  const work = Effect.suspend(() => Effect.as(Deferred.await(gate), ++calls.started)).pipe(
    Effect.onInterrupt(() => Effect.sync(() => calls.interrupted++))
  )
  const join = Effect.forkChild(Effect.exit(coalesce.execute(work, "k")), { startImmediately: true })
  return { calls, coalesce, gate, join, work }
})

describe("Coalesce", () => {
  it.effect("shares one call, its failure too, and starts anew after its end", () =>
    Effect.gen(function*() {
      const { calls, coalesce, gate, join, work } = yield* setup
      const waiters = yield* Effect.all(Array.from({ length: 100 }, () => join))
      yield* Deferred.fail(gate, "down")
      const exits = yield* Effect.forEach(waiters, Fiber.join)
      assert.deepStrictEqual(exits, Array.from({ length: 100 }, () => Exit.fail("down")))
      assert.strictEqual(calls.started, 1)
      assert.strictEqual((yield* coalesce.snapshot).running, 0)
      yield* Effect.exit(coalesce.execute(work, "k"))
      assert.strictEqual(calls.started, 2)
    }))

  it.effect("keeps keys apart", () =>
    Effect.gen(function*() {
      const { calls, coalesce, gate, join, work } = yield* setup
      yield* join
      yield* Effect.forkChild(coalesce.execute(work, "other"), { startImmediately: true })
      assert.strictEqual(calls.started, 2)
      yield* Deferred.succeed(gate, undefined)
    }))

  it.effect("goes on when some callers are interrupted, and stops when all are", () =>
    Effect.gen(function*() {
      const { calls, coalesce, gate, join } = yield* setup
      const [first, second] = [yield* join, yield* join]
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(calls, { started: 1, interrupted: 0 })
      yield* Fiber.interrupt(second)
      assert.deepStrictEqual(calls, { started: 1, interrupted: 1 })
      assert.strictEqual((yield* coalesce.snapshot).running, 0)
      const third = yield* join
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.join(third), Exit.succeed(2))
    }))

  it.effect("goes on when a call that it made for its own key is interrupted", () =>
    Effect.gen(function*() {
      const { coalesce, gate } = yield* setup
      let started = 0
      const inner = coalesce.execute(Effect.never, "k").pipe(Effect.timeoutOption("1 second"))
      const outer = Effect.suspend(() => Effect.andThen(inner, Effect.as(Deferred.await(gate), ++started)))
      const join = Effect.forkChild(coalesce.execute(outer, "k"), { startImmediately: true })
      const first = yield* join
      yield* TestClock.adjust("1 second")
      const second = yield* join
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 1])
    }))

  it.effect("lets each caller leave at its own deadline", () =>
    Effect.gen(function*() {
      const { calls, coalesce, gate, join, work } = yield* setup
      const hasty = yield* Effect.forkChild(
        Effect.exit(Deadline.withDeadline(coalesce.execute(work, "k"), "1 second")),
        { startImmediately: true }
      )
      const patient = yield* join
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(hasty)))
      assert.isTrue(Exit.isFailure(yield* Fiber.join(hasty)))
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.join(patient), Exit.succeed(1))
      assert.deepStrictEqual(calls, { started: 1, interrupted: 0 })
    }))
})
