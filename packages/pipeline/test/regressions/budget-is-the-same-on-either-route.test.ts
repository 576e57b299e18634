import { Recovery } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import { AttemptBudget } from "@effect-resilience/retry"
import { assert, it } from "@effect/vitest"
import { Data, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

class Unavailable extends Data.TaggedError("Unavailable") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

// With `spans` the parts are met one by one, else in one step.
for (const spans of [false, true]) {
  const make = (times: number, burst: number) =>
    Pipeline.make<Pipeline.Description>({
      name: "ledger",
      budget: { burst, ratio: 1, floor: 0 },
      retry: { times, backoff: { base: 0 } },
      attemptTimeout: "1 second",
      spans
    })

  it.effect(`earns when a call begins, though another fails meanwhile (spans ${spans})`, () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const pipeline = yield* make(1, 1)
      let attempts = 0
      const call = (millis: number) =>
        pipeline.execute(Effect.suspend(() => {
          attempts++
          return Effect.delay(Effect.fail(new Unavailable()), millis)
        })).pipe(Effect.exit)
      yield* Effect.forkChild(call(20), { startImmediately: true })
      yield* Effect.forkChild(call(10), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      // Both deposits come while the account is full, so it pays for one retry.
      assert.strictEqual(attempts, 3)
    }))

  it.effect(`earns from a call that is interrupted (spans ${spans})`, () =>
    Effect.gen(function*() {
      const pipeline = yield* make(5, 5)
      let attempts = 0
      const failing = pipeline.execute(Effect.suspend(() => {
        attempts++
        return Effect.fail(new Unavailable())
      })).pipe(Effect.exit)
      yield* failing
      for (let i = 0; i < 5; i++) {
        yield* Fiber.interrupt(yield* Effect.forkChild(pipeline.execute(Effect.never), { startImmediately: true }))
      }
      attempts = 0
      yield* failing
      assert.strictEqual(attempts, 6)
    }))

  it.effect(`pays for nothing that a call inside deposits again (spans ${spans})`, () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ name: "ledger", ratio: 1, minPerSecond: 0, burst: 2 })
      const pipeline = yield* Pipeline.make<Pipeline.Description>({
        name: "ledger",
        retry: { times: 0 },
        attemptTimeout: "1 second",
        spans
      })
      yield* Effect.provideService(
        Effect.gen(function*() {
          yield* AttemptBudget.withdraw
          yield* AttemptBudget.withdraw
          yield* pipeline.execute(AttemptBudget.deposit)
        }),
        AttemptBudget.Current,
        budget
      )
      assert.deepStrictEqual(yield* budget.snapshot, { balance: 1, rejected: 0 })
    }))

  it.effect(`is told of the end of a call (spans ${spans})`, () =>
    Effect.gen(function*() {
      for (const budget of [AttemptBudget.inFlight(), AttemptBudget.quota({ capacity: 6 })]) {
        const pipeline = yield* Pipeline.make<Pipeline.Description>({
          name: "ledger",
          budget,
          retry: { times: 2, backoff: { base: 0 } },
          attemptTimeout: "1 second",
          spans
        })
        let sent = 0
        const helped = Effect.suspend(() => ++sent % 2 === 1 ? Effect.fail(new Unavailable()) : Effect.void)
        yield* pipeline.execute(helped)
        yield* pipeline.execute(Effect.void)
        yield* Effect.exit(pipeline.execute(Effect.fail("for good")))
        yield* Fiber.interrupt(yield* Effect.forkChild(pipeline.execute(Effect.never), { startImmediately: true }))
        const late = yield* Effect.forkChild(Effect.exit(pipeline.execute(Effect.never)))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(late)
        yield* Effect.exit(pipeline.execute(Effect.fail(new Unavailable())))
        const { budget: made } = yield* pipeline.policies
        const expected = "inFlight" in budget
          ? { balance: 3, rejected: 0, inFlight: 0 }
          // A call that is interrupted between its attempts, and one that fails three times.
          : { balance: 3, rejected: 0 }
        assert.deepStrictEqual(yield* made?.snapshot ?? Effect.undefined, expected)
      }
    }))
}
