import { Recovery } from "@effect-resilience/errors"
import { Time } from "@effect-resilience/kernel"
import { AttemptBudget, Backoff, RetryPolicy } from "@effect-resilience/retry"
import * as SharedAttemptBudget from "@effect-resilience/retry/SharedAttemptBudget"
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Layer, Random } from "effect"
import { Redis } from "effect/persistence"
import { TestClock } from "effect/testing"

class Unavailable extends Data.TaggedError("Unavailable") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

const policy = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })

/** Whether a call that fails is retried. */
const isRetried = (budget: AttemptBudget.AttemptBudget) =>
  Effect.gen(function*() {
    let sent = 0
    yield* Effect.suspend(() => {
      sent++
      return Effect.fail(new Unavailable())
    }).pipe(RetryPolicy.retry(policy), AttemptBudget.withAttemptBudget(budget), Effect.exit)
    return sent > 1
  })

const retried = Effect.fnUntraced(function*(budget: AttemptBudget.AttemptBudget, calls: number) {
  let count = 0
  for (let call = 0; call < calls; call++) if (yield* isRetried(budget)) count++
  return count
})

const make = (options: SharedAttemptBudget.Options = {}) =>
  SharedAttemptBudget.make({ ratio: 0, minPerSecond: 0, burst: 8, ...options })

/** A store whose behaviour a test changes. */
const fickle = (present: { behaviour: "responds" | "fails" | "is silent" }) =>
  Layer.effect(
    SharedAttemptBudget.Store,
    Effect.map(SharedAttemptBudget.Store, (store) => ({
      ask: (request) =>
        Effect.suspend((): Effect.Effect<SharedAttemptBudget.Share, unknown> => {
          switch (present.behaviour) {
            case "responds":
              return store.ask(request)
            case "fails":
              return Effect.fail("no connection")
            case "is silent":
              return Effect.uninterruptible(Effect.never)
          }
        })
    }))
  ).pipe(Layer.provide(SharedAttemptBudget.layerStoreMemory))

describe("SharedAttemptBudget", () => {
  it.effect("spends one account from several processes", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* make(), yield* make()]
      // Half of 8 for the first that asks; what it does not need it gives back.
      assert.deepStrictEqual([yield* retried(one, 9), yield* retried(two, 9)], [4, 4])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* retried(one, 9), yield* retried(two, 9)], [0, 0])
      assert.deepStrictEqual(yield* one.snapshot, { balance: 0, rejected: 14 })
    }).pipe(Effect.provide(SharedAttemptBudget.layerStoreMemory)))

  it.effect("lets a process that fails spend what the calls of others have earned", () =>
    Effect.gen(function*() {
      const [failing, healthy] = [yield* make({ ratio: 0.1 }), yield* make({ ratio: 0.1 })]
      yield* retried(failing, 9)
      yield* retried(healthy, 9)
      let count = 0
      for (let second = 0; second < 60; second++) {
        yield* Effect.replicateEffect(RetryPolicy.retry(Effect.void, policy), 20).pipe(
          AttemptBudget.withAttemptBudget(healthy)
        )
        yield* TestClock.adjust("1 second")
        count += yield* retried(failing, 5)
      }
      // 60 seconds of 20 and 5 calls earn 150. The shares and the store hold 8 of them.
      assert.isAtLeast(count, 140)
      assert.isAtMost(count, 152)
    }).pipe(Random.withSeed("earned"), Effect.provide(SharedAttemptBudget.layerStoreMemory)))

  for (let seed = 0; seed < 10; seed++) {
    it.effect(`spends no more than was saved up and earned, and little less: seed ${seed}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("3 days")
        const ratio = (yield* Random.nextIntBetween(0, 4)) / 10
        const minPerSecond = (yield* Random.nextIntBetween(0, 30)) / 10
        const burst = yield* Random.nextIntBetween(1, 30)
        const count = yield* Random.nextIntBetween(1, 8)
        const budgets = yield* Effect.replicateEffect(make({ ratio, minPerSecond, burst }), count)
        const context = yield* Effect.context<never>()
        const start = yield* Time.now
        let granted = 0
        let deposits = 0
        for (let step = 0; step < 1500; step++) {
          const budget = budgets[yield* Random.nextIntBetween(0, count)] ?? AttemptBudget.empty
          const chance = yield* Random.next
          if (chance < 0.4) {
            budget.depositUnsafe(context)
            deposits++
          } else if (chance < 0.8) {
            if (budget.withdrawUnsafe(yield* Time.now)) granted++
          } else yield* TestClock.adjust(yield* Random.nextIntBetween(0, 400))
          const elapsed = ((yield* Time.now) - start) / 1000
          assert.isAtMost(granted, burst + ratio * deposits + minPerSecond * elapsed + 1e-6)
        }
        // In the end nothing is lost but what the accounts hold.
        const earned = burst + ratio * deposits + minPerSecond * ((yield* Time.now) - start) / 1000
        const asked = 1500 * 0.4
        assert.isAtLeast(granted, Math.min(earned, asked) / 2 - burst - count)
      }).pipe(Random.withSeed(`shared ${seed}`), Effect.provide(SharedAttemptBudget.layerStoreMemory)))
  }

  it.effect("gives all but one back where calls cease", () =>
    Effect.gen(function*() {
      const [idle, busy] = [yield* make(), yield* make()]
      assert.strictEqual((yield* idle.snapshot).balance, 4)
      yield* TestClock.adjust("2500 millis")
      assert.strictEqual((yield* idle.snapshot).balance, 1)
      // The other finds all but that one, in two steps where it asks for more than its share.
      let count = 0
      for (let second = 0; second < 4; second++) {
        count += yield* retried(busy, 9)
        yield* TestClock.adjust("1250 millis")
      }
      assert.strictEqual(count, 7)
    }).pipe(Random.withSeed("idle"), Effect.provide(SharedAttemptBudget.layerStoreMemory)))

  for (const behaviour of ["fails", "is silent"] as const) {
    it.effect(`holds no call up where the store ${behaviour}, and goes on alone or makes no extra attempts, as told`, () => {
      const present = { behaviour: "responds" as "responds" | typeof behaviour }
      return Effect.gen(function*() {
        const options = { minPerSecond: 0.5, burst: 4, name: "ledger" }
        const [allow, fail] = [yield* make(options), yield* make({ ...options, onStoreError: "fail" })]
        yield* retried(allow, 1)
        yield* retried(fail, 1)
        yield* TestClock.adjust("1250 millis")
        present.behaviour = behaviour
        const start = yield* Time.now
        const inOutage = { allow: 0, fail: 0 }
        for (let second = 0; second < 40; second++) {
          const before = yield* Time.now
          inOutage.allow += yield* retried(allow, 3)
          if (second > 2) inOutage.fail += yield* retried(fail, 3)
          else yield* retried(fail, 3)
          assert.strictEqual(yield* Time.now, before, "no call waits")
          yield* TestClock.adjust("1 second")
        }
        assert.strictEqual((yield* Time.now) - start, 40_000)
        // Half of 0.5 a second, by what the store told of the processes, and what it had.
        assert.isAtLeast(inOutage.allow, 9)
        assert.isAtMost(inOutage.allow, 13)
        assert.strictEqual(inOutage.fail, 0)
        assert.strictEqual((yield* fail.snapshot).balance, 0)
        present.behaviour = "responds"
        // A store that was silent is asked again after a while.
        let back = 0
        for (let second = 0; second < 20; second++) {
          yield* retried(allow, 1)
          back += yield* retried(fail, 1)
          yield* TestClock.adjust("1 second")
        }
        assert.isAtLeast(back, 2)
      }).pipe(Random.withSeed(behaviour), Effect.provide(fickle(present)))
    })

    it.effect(`begins as a budget of its own where the store ${behaviour} from the beginning`, () =>
      Effect.gen(function*() {
        const allow = yield* make({ processes: 2 })
        const fail = yield* make({ onStoreError: "fail" })
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([yield* retried(allow, 9), yield* retried(fail, 9)], [4, 0])
      }).pipe(Effect.provide(fickle({ behaviour }))))
  }

  it.effect("tells the store what it gives, lacks and needs to be known for, and asks only for accounts in use", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const requests: Array<SharedAttemptBudget.Request> = []
      const store = Layer.succeed(SharedAttemptBudget.Store, {
        ask: (request) =>
          Effect.sync(() => {
            requests.push(request)
            return { granted: request.want, processes: 1 }
          })
      })
      const options = { name: "ledger", ratio: 0, minPerSecond: 0.5, burst: 4, renewEvery: "1 second" } as const
      const budget = yield* Effect.provide(SharedAttemptBudget.make(options), store)
      const round = Effect.gen(function*() {
        yield* TestClock.adjust("1250 millis")
        return requests.splice(0).map(({ give, want }) => [give, want])
      })
      const [first] = requests.splice(0)
      assert.isTrue(/^-?\d+$/.test(first?.member ?? ""))
      assert.deepStrictEqual({ ...first, member: "" }, {
        name: "ledger",
        member: "",
        give: 0,
        // Half of the burst is the share of the only process.
        want: 2_000_000,
        burst: 4_000_000,
        perMilli: 500,
        presentMillis: 3000
      })
      // Nothing was asked of it since, so it keeps one and gives the rest back, and is heard of no more.
      assert.deepStrictEqual(yield* round, [[1_000_000, 0]])
      assert.deepStrictEqual(yield* round, [])
      // One was left. It lacks two, and its share.
      const now = yield* Time.now
      assert.deepStrictEqual([1, 2, 3].map(() => budget.withdrawUnsafe(now)), [true, false, false])
      assert.deepStrictEqual(yield* round, [[0, 4_000_000]])
      budget.depositUnsafe(yield* Effect.context<never>())
      // It was granted 4, which is above its share.
      assert.deepStrictEqual(yield* round, [[2_000_000, 0]])
    }).pipe(Random.withSeed("requests"), Effect.scoped))

  describe("in Redis", () => {
    it.effect("keeps an account and its processes under a prefix, on one node of a cluster", () =>
      Effect.gen(function*() {
        const commands: Array<ReadonlyArray<string>> = []
        const send = (command: string, ...args: ReadonlyArray<string>) =>
          Effect.sync(() => {
            if (command === "SCRIPT") return "sha"
            commands.push([command, ...args])
            return ["1500000", 3]
          }) as Effect.Effect<never>
        const redis = Layer.effect(
          Redis.Redis,
          Redis.make({ send, subscribe: () => Effect.never, connect: Effect.never })
        )
        const request = {
          name: "ledger",
          member: "m",
          give: 1,
          want: 2,
          burst: 3,
          perMilli: 4,
          presentMillis: 5
        }
        for (const [options, prefix] of [[undefined, "attempt-budget:"], [{ prefix: "own:" }, "own:"]] as const) {
          const store = yield* Effect.provide(
            SharedAttemptBudget.Store,
            Layer.provide(SharedAttemptBudget.layerStoreRedis(options), redis)
          )
          assert.deepStrictEqual(yield* store.ask(request), { granted: 1_500_000, processes: 3 })
          const key = `${prefix}{ledger}`
          assert.deepStrictEqual(commands.splice(0), [
            ["EVALSHA", "sha", "2", key, `${key}:processes`, "m", "1", "2", "3", "4", "5"]
          ])
        }
      }))
  })

  it.effect("grants from a store in memory what it holds, and forgets a process that is silent for long enough", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const { ask } = yield* SharedAttemptBudget.Store
      const asked = (member: string, give: number, want: number) =>
        ask({ name: "a", member, give, want, burst: 1000, perMilli: 0.5, presentMillis: 3000 })
      assert.deepStrictEqual(yield* asked("one", 0, 900), { granted: 900, processes: 1 })
      assert.deepStrictEqual(yield* asked("two", 50, 900), { granted: 150, processes: 2 })
      yield* TestClock.adjust(2999)
      // Half a unit for each millisecond, rounded down, and no more than the burst.
      assert.deepStrictEqual(yield* asked("two", 0, 2000), { granted: 1000, processes: 2 })
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* asked("two", 0, 10), { granted: 0, processes: 1 })
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* asked("two", 0, 10), { granted: 1, processes: 1 })
    }).pipe(Effect.provide(SharedAttemptBudget.layerStoreMemory)))

  it.effect("forgets the budgets of keys beyond its capacity, since the store knows them", () =>
    Effect.gen(function*() {
      const budgets = yield* SharedAttemptBudget.keyed({ capacity: 1 })
      const first = budgets.get("a")
      for (const key of ["b", "c", "d"]) budgets.get(key)
      assert.notStrictEqual(budgets.get("a"), first)
    }).pipe(Effect.provide(SharedAttemptBudget.layerStoreMemory)))

  it.effect("makes a budget for each key", () =>
    Effect.gen(function*() {
      const [one, two] = [
        yield* SharedAttemptBudget.keyed({ burst: 8 }),
        yield* SharedAttemptBudget.keyed({ burst: 8 })
      ]
      const keys = ["a", "b"]
      for (const budgets of [one, two]) assert.deepStrictEqual(keys.map((key) => budgets.get(key).name), keys)
      yield* TestClock.adjust("1250 millis")
      for (const key of keys) {
        assert.deepStrictEqual([yield* retried(one.get(key), 9), yield* retried(two.get(key), 9)], [4, 4])
      }
    }).pipe(Effect.provide(SharedAttemptBudget.layerStoreMemory)))

  it.effect("is the budget of everything that is built with its layer", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.Current
      assert.deepStrictEqual([budget.name, budget.kind], ["ledger", "AttemptBudget"])
      yield* AttemptBudget.withdraw
    }).pipe(
      Effect.provide(SharedAttemptBudget.layer({ name: "ledger" })),
      Effect.provide(SharedAttemptBudget.layerStoreMemory)
    ))

  it("rejects options that make no sense", () => {
    assert.throws(() => SharedAttemptBudget.make({ burst: 0 }), RangeError)
    assert.throws(() => SharedAttemptBudget.make({ renewEvery: 0 }), RangeError)
    assert.throws(() => SharedAttemptBudget.make({ storeTimeout: "0 millis" }), RangeError)
  })
})
