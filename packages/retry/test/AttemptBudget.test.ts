import { Recovery } from "@effect-resilience/errors"
import { AttemptBudget, Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it, layer } from "@effect/vitest"
import { Clock, Data, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"

class Unavailable extends Data.TaggedError("Unavailable") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("AttemptBudget", () => {
  it.prop(
    "never grants more than burst + ratio * deposits + floor * time, however calls interleave",
    [
      Schema.Array(Schema.Union([Schema.Literal("deposit"), Schema.Literal("withdraw"), between(1, 2000)])),
      between(0, 10),
      between(0, 50),
      between(1, 20)
    ],
    ([steps, tenths, floor, burst]) => {
      const ratio = tenths / 10
      const budget = AttemptBudget.make({ name: "law", ratio, floor, burst })
      let now = 5_000
      let deposits = 0
      let granted = 0
      // The plain model: an account capped at every step.
      let balance = burst
      const earn = (amount: number) => balance = Math.min(burst, balance + amount)
      for (const step of steps) {
        if (step === "deposit") {
          deposits++
          budget.depositUnsafe()
          earn(ratio)
        } else if (step === "withdraw") {
          const told = budget.levelUnsafe?.(now) ?? Infinity
          const allowed = budget.withdrawUnsafe(now)
          assert.strictEqual(allowed, told >= 1, "the balance that is told is the one that counts")
          if (allowed) granted++
          if (balance >= 1 + 1e-6) assert.isTrue(allowed, "refused although the account holds enough")
          if (allowed) balance -= 1
        } else {
          now += step
          earn(step / 1000 * floor)
        }
        assert.isAtMost(granted, burst + ratio * deposits + floor * (now - 5_000) / 1000 + 1e-6)
      }
    }
  )

  it.effect("bounds what 1,000 callers send in an outage, and says who refused", () =>
    Effect.gen(function*() {
      const budget = AttemptBudget.make({ name: "ledger" })
      const policy = RetryPolicy.make({ times: 3, backoff: Backoff.exponential({ base: "1 second" }) })
      let sent = 0
      const why = new Map<string, number>()
      const call = Effect.suspend(() => {
        sent++
        return Effect.fail(new Unavailable())
      }).pipe(
        RetryPolicy.retry(policy, {
          onEvent: (event) =>
            Effect.sync(() => {
              if (event._tag === "Stopped") why.set(event.why._tag, (why.get(event.why._tag) ?? 0) + 1)
            })
        }),
        Effect.flip
      )
      const start = yield* Clock.currentTimeMillis
      const fiber = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 1000 }), () => call, { concurrency: "unbounded" }).pipe(
          Effect.provideService(AttemptBudget.Current, budget)
        )
      )
      yield* TestClock.adjust("1 minute")
      const errors = yield* Fiber.join(fiber)
      assert.strictEqual(yield* Clock.currentTimeMillis, start + 60_000)
      // 1,000 first attempts, at most 100 saved + 200 earned, and the floor of the seven seconds that retries can take.
      assert.isAtMost(sent, 1000 + 100 + 200 + 70)
      assert.isAtLeast(sent, 1000 + 100)
      assert.isAbove(why.get("BudgetExhausted") ?? 0, 900)
      const refused = errors.find((error) => RetryPolicy.history(error)?.why._tag === "BudgetExhausted")
      assert.deepStrictEqual(RetryPolicy.history(refused)?.why, { _tag: "BudgetExhausted", budget: "ledger" })
    }))

  it.effect("counts attempts that still wait in backoff", () =>
    Effect.gen(function*() {
      const budget = AttemptBudget.make({ name: "test", ratio: 0, floor: 0, burst: 1 })
      const policy = RetryPolicy.make({ times: 1, backoff: Backoff.constant("1 hour") })
      const call = Effect.fail(new Unavailable()).pipe(
        RetryPolicy.retry(policy),
        Effect.provideService(AttemptBudget.Current, budget)
      )
      yield* Effect.forkChild(call, { startImmediately: true })
      const second = yield* Effect.flip(call)
      assert.strictEqual(RetryPolicy.history(second)?.why._tag, "BudgetExhausted")
    }))

  it.effect("refills with time", () =>
    Effect.gen(function*() {
      const take = Effect.isSuccess(AttemptBudget.withdraw)
      const budget = AttemptBudget.make({ name: "test", floor: 2, burst: 1 })
      const seen = yield* Effect.gen(function*() {
        const first = [yield* take, yield* take]
        yield* TestClock.adjust("499 millis")
        const early = yield* take
        yield* TestClock.adjust("1 millis")
        return [...first, early, yield* take]
      }).pipe(Effect.provideService(AttemptBudget.Current, budget))
      assert.deepStrictEqual(seen, [true, false, false, true])
    }))

  layer(AttemptBudget.layer({ name: "shared", ratio: 0, floor: 0, burst: 1 }))("as a layer", (it) => {
    it.effect("is shared by everything built with it", () =>
      Effect.gen(function*() {
        assert.isTrue(yield* Effect.isSuccess(AttemptBudget.withdraw))
        const error = yield* Effect.flip(AttemptBudget.withdraw)
        assert.deepStrictEqual([error._tag, error.budget], ["BudgetExhausted", "shared"])
      }))

    it.effect("gives way to the layers without limit and without content", () =>
      Effect.gen(function*() {
        assert.isTrue(yield* Effect.isSuccess(Effect.provide(AttemptBudget.withdraw, AttemptBudget.layerUnlimited)))
        assert.isFalse(yield* Effect.isSuccess(Effect.provide(AttemptBudget.withdraw, AttemptBudget.layerEmpty)))
      }))
  })

  it("keeps an account for each key, within its capacity", () => {
    const budgetOf = AttemptBudget.makeKeyed({ name: "hosts", floor: 0, burst: 1, capacity: 2 })
    assert.strictEqual(budgetOf("a"), budgetOf("a"))
    assert.strictEqual(budgetOf("a").name, "hosts/a")
    assert.isTrue(budgetOf("a").withdrawUnsafe(0))
    assert.isFalse(budgetOf("a").withdrawUnsafe(0))
    assert.isTrue(budgetOf("b").withdrawUnsafe(0))
    const first = budgetOf("a")
    budgetOf("c")
    assert.notStrictEqual(budgetOf("a"), first)
  })

  it("does not lose its balance to a clock that goes back", () => {
    const budget = AttemptBudget.make({ name: "test", floor: 1, burst: 2 })
    assert.deepStrictEqual([10_000, 5_000, 5_000, 6_000].map(budget.withdrawUnsafe), [true, true, false, true])
  })

  it("refuses settings that make no sense", () => {
    assert.throws(() => AttemptBudget.make({ name: "x", ratio: -1 }), RangeError)
    assert.throws(() => AttemptBudget.make({ name: "x", burst: 0 }), RangeError)
    assert.throws(() => AttemptBudget.make({ name: "x", floor: Infinity }), RangeError)
  })

  it.effect("costs nothing while calls succeed", () =>
    Effect.gen(function*() {
      const budget = AttemptBudget.make({ name: "test", ratio: 0.5, floor: 0, burst: 2 })
      budget.withdrawUnsafe(0)
      budget.withdrawUnsafe(0)
      assert.isFalse(budget.withdrawUnsafe(0))
      const ok = Effect.void.pipe(RetryPolicy.retry(RetryPolicy.standard))
      yield* Effect.all([ok, ok]).pipe(Effect.provideService(AttemptBudget.Current, budget))
      assert.isTrue(budget.withdrawUnsafe(0))
      assert.isFalse(budget.withdrawUnsafe(0))
    }))
})
