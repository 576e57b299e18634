import { Recovery } from "@effect-resilience/errors"
import { Time } from "@effect-resilience/kernel"
import { AttemptBudget, Backoff, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it, layer } from "@effect/vitest"
import { Clock, Context, Data, Deferred, Effect, Exit, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"

class Unavailable extends Data.TaggedError("Unavailable") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/**
 * A fleet of 20 processes asks a dependency for half of what it can take, 20 a second. It stands still for 10 s, then works
 * off its queue, whether or not anybody still waits. Tells how much of the last 30 s of three minutes is served.
 */
const outage = (options: Partial<AttemptBudget.Options>) =>
  Effect.gen(function*() {
    const budgets = yield* Effect.replicateEffect(AttemptBudget.make({ ...options, name: "fleet" }), 20)
    const policy = RetryPolicy.make({
      times: 3,
      backoff: Backoff.exponential({ base: 100 }),
      attemptTimeout: "1 second"
    })
    const queue: Array<Deferred.Deferred<void>> = []
    const attempt = Effect.suspend(() => {
      const served = Deferred.makeUnsafe<void>()
      queue.push(served)
      return Deferred.await(served)
    })
    const call = attempt.pipe(RetryPolicy.retry(policy))
    let offered = 0
    let served = 0
    for (let tick = 0; tick < 1800; tick++) {
      const counts = tick >= 1500
      if (counts) offered++
      yield* Effect.forkChild(
        Effect.tap(call, () => Effect.sync(() => counts && served++)).pipe(
          Effect.provideService(
            AttemptBudget.Current,
            budgets[yield* Random.nextIntBetween(0, 20)] ?? AttemptBudget.empty
          )
        )
      )
      yield* TestClock.adjust("100 millis")
      if (tick >= 300 && tick < 400) continue
      for (const one of queue.splice(0, 2)) yield* Deferred.succeed(one, undefined)
    }
    yield* TestClock.adjust("10 seconds")
    return { offered, served }
  })

const at = (millis: number): Clock.Clock => ({
  ...Effect.runSync(Clock.Clock),
  monotonicTimeNanosUnsafe: () => BigInt(millis) * 1_000_000n
})

describe("AttemptBudget", () => {
  it.prop(
    "never grants more than burst + ratio * deposits + minPerSecond * time, however calls interleave",
    [
      Schema.Array(Schema.Union([Schema.Literal("deposit"), Schema.Literal("withdraw"), between(1, 2000)])),
      between(0, 10),
      between(0, 50),
      between(1, 20)
    ],
    ([steps, tenths, minPerSecond, burst]) => {
      const ratio = tenths / 10
      const budget = Effect.runSync(AttemptBudget.make({ name: "law", ratio, minPerSecond, burst }))
      let now = 5_000
      let deposits = 0
      let granted = 0
      // The plain model: an account capped at every step.
      let balance = burst
      const earn = (amount: number) => balance = Math.min(burst, balance + amount)
      for (const step of steps) {
        if (step === "deposit") {
          deposits++
          budget.depositUnsafe(Context.empty())
          earn(ratio)
        } else if (step === "withdraw") {
          const { balance: told } = Effect.runSync(Effect.provideService(budget.snapshot, Clock.Clock, at(now)))
          const allowed = budget.withdrawUnsafe(now)
          assert.strictEqual(allowed, told >= 1, "the balance that is told is the one that counts")
          if (allowed) granted++
          if (balance >= 1 + 1e-6) assert.isTrue(allowed, "rejected although the account holds enough")
          if (allowed) balance -= 1
        } else {
          now += step
          earn(step / 1000 * minPerSecond)
        }
        assert.isAtMost(granted, burst + ratio * deposits + minPerSecond * (now - 5_000) / 1000 + 1e-6)
      }
    }
  )

  it.effect("bounds what 1,000 callers send in an outage, and says which budget rejected", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ name: "ledger" })
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
      // 1,000 first attempts, at most 10 saved + 100 earned, and the minPerSecond of the seven seconds that retries can take.
      assert.isAtMost(sent, 1000 + 10 + 100 + 1)
      assert.isAtLeast(sent, 1000 + 100)
      assert.isAbove(why.get("BudgetExhausted") ?? 0, 900)
      const rejected = errors.find((error) => RetryPolicy.history(error)?.why._tag === "BudgetExhausted")
      assert.deepStrictEqual(RetryPolicy.history(rejected)?.why, { _tag: "BudgetExhausted", budget: "ledger" })
    }))

  // The law of the module's page: calls * (1 + ratio) + minPerSecond < capacity.
  for (
    const [whose, options, recovers] of [
      ["the defaults of 20 processes that do not tell", {}, true],
      ["5 a second in all, over 20 processes that tell", { ratio: 0.2, minPerSecond: 5, processes: 20 }, true],
      ["20 % and 10 a second for each of 20 processes", { ratio: 0.2, minPerSecond: 10 }, false],
      ["3 in flight for each of 20 processes", { inFlight: {} }, false],
      ["a share in flight, of 20 processes that tell", { inFlight: { processes: 20 } }, true],
      ["the quota of AWS, which pays for 35 retries", { quota: { capacity: 35 } }, true],
      ["500 retries for each of 20 processes", { quota: {} }, false],
      ["the throttling of gRPC", { retryThrottling: {} }, true],
      ["deposits that expire", { expiring: {} }, true]
    ] as const
  ) {
    it.effect(
      `lets a dependency at half load ${recovers ? "recover" : "stay down"} after 10 s, with ${whose}`,
      () =>
        Effect.gen(function*() {
          const { served, offered } = yield* outage(options)
          if (recovers) assert.isAbove(served, offered * 0.9)
          else assert.isBelow(served, offered * 0.5)
        }).pipe(Random.withSeed("fleet"))
    )
  }

  it.effect("is told by who makes attempts itself of each call once, and how it ended where it asks for that", () =>
    Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      const budget = yield* AttemptBudget.make({ inFlight: {} })
      const inFlight = Effect.map(budget.snapshot, ({ inFlight }) => inFlight)
      const inside = AttemptBudget.depositUnsafe(Context.add(context, AttemptBudget.Current, budget))
      AttemptBudget.depositUnsafe(inside)
      assert.strictEqual(yield* inFlight, 1)
      AttemptBudget.endUnsafe(inside, Exit.void)
      assert.strictEqual(yield* inFlight, 0)
      assert.doesNotThrow(() => AttemptBudget.endUnsafe(context, Exit.void))
    }))

  it.effect("gives each of several processes its part", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ name: "part", ratio: 0, minPerSecond: 10, burst: 40, processes: 20 })
      const taken = (now: number) => {
        let count = 0
        while (budget.withdrawUnsafe(now)) count++
        return count
      }
      assert.deepStrictEqual([taken(7_000), taken(8_000), taken(9_000), taken(60_000)], [2, 0, 1, 2])
    }))

  for (const layers of [1, 2, 3]) {
    it.effect(`earns one deposit a call through ${layers} nested retries and a hedge`, () =>
      Effect.gen(function*() {
        const policy = RetryPolicy.make({ times: 2, backoff: Backoff.immediate })
        const budget = yield* AttemptBudget.make({ name: "db", ratio: 0.125, minPerSecond: 0, burst: 1 })
        let sent = 0
        let call: Effect.Effect<void, Unavailable> = Effect.suspend(() => {
          sent++
          return Effect.fail(new Unavailable())
        })
        call = Hedge.withHedge(Hedge.idempotent(call), yield* Hedge.make({ after: "1 hour" }))
        for (let layer = 0; layer < layers; layer++) call = RetryPolicy.retry(call, policy)
        yield* Effect.repeat(Effect.ignore(call), { times: 999 }).pipe(
          Effect.provideService(AttemptBudget.Current, budget)
        )
        // 1,000 calls, an eighth of them once more, and what was saved.
        assert.isAtMost(sent, 1126)
        assert.isAtLeast(sent, 1124)
      }))
  }

  it.effect("lets no call wait for it", () =>
    Effect.gen(function*() {
      const start = yield* Clock.currentTimeMillis
      const policy = RetryPolicy.make({ times: 9, backoff: Backoff.constant("1 second") })
      const failing = Effect.fail(new Unavailable())
      const calls: ReadonlyArray<Effect.Effect<void, unknown>> = [
        RetryPolicy.retry(failing, policy),
        AttemptBudget.withdraw,
        Hedge.withHedge(Hedge.idempotent(failing), yield* Hedge.make({ after: "1 second" }))
      ]
      for (const call of calls) {
        yield* Effect.exit(Effect.provideService(call, AttemptBudget.Current, AttemptBudget.empty))
      }
      assert.strictEqual(yield* Clock.currentTimeMillis, start)
    }))

  it.effect("counts attempts that still wait in backoff", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ name: "test", ratio: 0, minPerSecond: 0, burst: 1 })
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
      const budget = yield* AttemptBudget.make({ name: "test", minPerSecond: 2, burst: 1 })
      const seen = yield* Effect.gen(function*() {
        const first = [yield* take, yield* take]
        yield* TestClock.adjust("499 millis")
        const early = yield* take
        yield* TestClock.adjust("1 millis")
        return [...first, early, yield* take]
      }).pipe(Effect.provideService(AttemptBudget.Current, budget))
      assert.deepStrictEqual(seen, [true, false, false, true])
    }))

  layer(AttemptBudget.layer({ name: "shared", ratio: 0, minPerSecond: 0, burst: 1 }))("as a layer", (it) => {
    it.effect("is shared by everything built with it", () =>
      Effect.gen(function*() {
        assert.isTrue(yield* Effect.isSuccess(AttemptBudget.withdraw))
        const error = yield* Effect.flip(AttemptBudget.withdraw)
        assert.deepStrictEqual([error._tag, error.budget], ["BudgetExhausted", "shared"])
      }))

    it.effect("gives way to the layers without limit and without content", () =>
      Effect.gen(function*() {
        assert.isTrue(yield* Effect.isSuccess(Effect.provide(AttemptBudget.withdraw, AttemptBudget.layerNoop)))
        assert.isFalse(yield* Effect.isSuccess(Effect.provide(AttemptBudget.withdraw, AttemptBudget.layerEmpty)))
      }))
  })

  it.effect("keeps the accounts that have spent something beyond its capacity, until time has filled them", () =>
    Effect.gen(function*() {
      const budgets = yield* AttemptBudget.keyed({ minPerSecond: 1, burst: 1, capacity: 2 })
      const spent = budgets.get("spent")
      assert.strictEqual(spent.name, "spent")
      assert.isTrue(spent.withdrawUnsafe(yield* Time.now))
      const touch = Effect.sync(() => ["a", "b", "c", "d", "e", "f"].forEach((key) => budgets.get(key)))
      yield* touch
      assert.strictEqual(budgets.get("spent"), spent)
      yield* TestClock.adjust("1 second")
      yield* touch
      assert.notStrictEqual(budgets.get("spent"), spent)
      assert.isAtMost(budgets.size, 4)
    }))

  it.effect("reads the former name of minPerSecond", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ ratio: 0, floor: 2, burst: 1 })
      assert.deepStrictEqual([0, 499, 500].map((now) => budget.withdrawUnsafe(now)), [true, false, true])
    }))

  it("does not lose its balance to a clock that goes back", () => {
    const budget = Effect.runSync(AttemptBudget.make({ name: "test", minPerSecond: 1, burst: 2 }))
    assert.deepStrictEqual([10_000, 5_000, 5_000, 6_000].map((now) => budget.withdrawUnsafe(now)), [
      true,
      true,
      false,
      true
    ])
  })

  it("rejects options that make no sense", () => {
    assert.throws(() => AttemptBudget.make({ name: "x", ratio: -1 }), RangeError)
    assert.throws(() => AttemptBudget.make({ name: "x", burst: 0 }), RangeError)
    assert.throws(() => AttemptBudget.make({ name: "x", minPerSecond: Infinity }), RangeError)
  })

  it.effect("costs nothing while calls succeed", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ name: "test", ratio: 0.5, minPerSecond: 0, burst: 2 })
      budget.withdrawUnsafe(0)
      budget.withdrawUnsafe(0)
      assert.isFalse(budget.withdrawUnsafe(0))
      const ok = Effect.void.pipe(RetryPolicy.retry(RetryPolicy.standard))
      yield* Effect.all([ok, ok]).pipe(Effect.provideService(AttemptBudget.Current, budget))
      assert.isTrue(budget.withdrawUnsafe(0))
      assert.isFalse(budget.withdrawUnsafe(0))
    }))
})
