import { NotAsked, Recovery } from "@effect-resilience/errors"
import { FieldCodec, Time } from "@effect-resilience/kernel"
import { AttemptBudget, Backoff, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Context, Data, Effect, Exit, Fiber, Random } from "effect"
import { TestClock } from "effect/testing"
import * as published from "./published/budgets.ts"

class Unavailable extends Data.TaggedError("Unavailable") {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

class Invalid extends Data.TaggedError("Invalid") {
  [Recovery.symbol]() {
    return Recovery.giveUp
  }
}

const none = Context.empty()

/** What policies do with a budget when a call of theirs begins. */
const enter = (budget: AttemptBudget.AttemptBudget): AttemptBudget.Entered => {
  assert.isDefined(budget.enterUnsafe)
  return budget.enterUnsafe(none)
}

const ok = Exit.void

const failed = Exit.fail(new Unavailable())

const balance = (budget: AttemptBudget.AttemptBudget) => Effect.map(budget.snapshot, ({ balance }) => balance)

describe("the numbers that others publish", () => {
  for (const { initial, minPerSecond, ratio, retried, ttl } of published.finagle.vectors) {
    it.effect(`Finagle: ${ratio} and ${minPerSecond} a second, for ${ttl} s`, () =>
      Effect.gen(function*() {
        const budget = yield* AttemptBudget.make({ expiring: { ratio, minPerSecond, ttl: ttl * 1000 } })
        assert.strictEqual(yield* balance(budget), initial)
        const context = yield* Effect.context<never>()
        let count = 0
        for (let call = 0; call < published.finagle.calls; call++) {
          budget.depositUnsafe(context)
          if (budget.withdrawUnsafe(yield* Time.now)) count++
          else assert.isBelow(yield* balance(budget), 1)
        }
        // Exactly, where Finagle's own arithmetic is off by one at times.
        assert.strictEqual(count, retried)
      }))
  }

  it.effect("Finagle: more extra attempts than calls", () =>
    Effect.gen(function*() {
      const { balance: expected, ratio } = published.finagle.above1
      const budget = yield* AttemptBudget.make({ expiring: { ratio, minPerSecond: 0, ttl: "60 seconds" } })
      const context = yield* Effect.context<never>()
      for (let call = 0; call < published.finagle.calls; call++) budget.depositUnsafe(context)
      assert.strictEqual(yield* balance(budget), expected)
    }))

  it.effect("gRPC: tokens after failures and successes", () =>
    Effect.gen(function*() {
      const { maxTokens, tokenRatio, vectors } = published.grpc
      const budget = yield* AttemptBudget.make({ retryThrottling: { maxTokens, tokenRatio } })
      for (const [step, tokens, allowed] of vectors) {
        const call = enter(budget)
        if (step === "failure") call.failedUnsafe?.(false)
        call.endUnsafe(step === "success" ? ok : failed)
        assert.strictEqual(budget.withdrawUnsafe(0), allowed, `${step}, ${tokens}`)
        assert.closeTo(yield* balance(budget), Math.max(0, tokens - maxTokens / 2), 1e-9)
      }
    }))

  it.effect("gRPC: the example of A6", () =>
    Effect.gen(function*() {
      const { failuresUntilThrottled, successesPerFailure, ...options } = published.grpc.example
      const budget = yield* AttemptBudget.make({ retryThrottling: options })
      const policy = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
      const run = (call: Effect.Effect<void, Unavailable>) =>
        Effect.gen(function*() {
          let sent = 0
          yield* Effect.suspend(() => {
            sent++
            return call
          }).pipe(RetryPolicy.retry(policy), AttemptBudget.withAttemptBudget(budget), Effect.exit)
          return sent
        })
      const outage = yield* Effect.replicateEffect(run(Effect.fail(new Unavailable())), 5)
      // 10, 9, retried: 8, 7, retried: 6, 5: no more.
      assert.deepStrictEqual(outage, [2, 2, 1, 1, 1])
      assert.strictEqual(outage.slice(0, 3).reduce((sum, sent) => sum + sent, 0), failuresUntilThrottled)
      assert.strictEqual((yield* budget.snapshot).rejected, 3)
      // 3 tokens are left, so 2 failures more than half are to be earned, and each takes ten successes.
      yield* Effect.replicateEffect(run(Effect.void), 2 * successesPerFailure)
      assert.isFalse(budget.withdrawUnsafe(0))
      yield* run(Effect.void)
      assert.isTrue(budget.withdrawUnsafe(0))
    }))

  it.effect("Envoy: one more retry among those in flight", () =>
    Effect.gen(function*() {
      const { defaults, vectors } = published.envoy
      for (const { active, admitted, min, ratio, retries } of vectors) {
        const isDefault = ratio === defaults.ratio && min === defaults.min
        const budget = yield* AttemptBudget.make({ inFlight: isDefault ? {} : { ratio, min } })
        const calls = Array.from({ length: active }, () => enter(budget))
        const admissions = calls.slice(0, retries + 1).map((call) => {
          call.failedUnsafe?.(false)
          return call.withdrawUnsafe(0)
        })
        assert.deepStrictEqual(admissions, [...admissions.slice(0, -1).fill(true), admitted], `${active}, ${retries}`)
      }
    }))
})

interface World {
  readonly budget: AttemptBudget.AttemptBudget
  /** What runs at the server: how many, and how many of them are not the first of their call. */
  running: number
  extra: number
}

type Call = Effect.Effect<void, Unavailable | Invalid>

/** A call whose attempts take a while, and succeed or fail, by chance. */
const makeCall = (world: World): Call => {
  let sent = 0
  return Effect.gen(function*() {
    const isExtra = sent++ > 0
    world.running++
    if (isExtra) world.extra++
    const leave = Effect.sync(() => {
      world.running--
      if (isExtra) world.extra--
    })
    yield* Effect.gen(function*() {
      yield* Effect.sleep(yield* Random.nextIntBetween(1, 100))
      const chance = yield* Random.next
      if (chance < 0.55) yield* new Unavailable()
      if (chance < 0.65) yield* new Invalid()
    }).pipe(Effect.ensuring(leave))
  })
}

/** Policies around a call, by chance, up to four of them. */
const wrap = Effect.fnUntraced(function*(call: Call) {
  const hedge = yield* Hedge.make({ after: 30, times: 2 })
  const retry = RetryPolicy.retry(RetryPolicy.make({ times: 2, backoff: Backoff.immediate }))
  const layers: ReadonlyArray<(self: Call) => Call> = [
    retry,
    (self) => Hedge.withHedge(Hedge.idempotent(self), hedge),
    (self) => Effect.timeoutOrElse(self, { duration: 40, orElse: () => Effect.fail(new Unavailable()) }),
    (self) => self
  ]
  let wrapped = call
  for (let i = 0; i < 4; i++) {
    const layer = layers[yield* Random.nextIntBetween(0, layers.length)]
    if (layer !== undefined) wrapped = layer(wrapped)
  }
  // The outermost is a policy, which follows the call.
  return retry(wrapped)
})

describe("a budget that follows calls", () => {
  for (let seed = 0; seed < 40; seed++) {
    it.effect(`knows what is in flight, whatever policies are nested and interrupted: seed ${seed}`, () =>
      Effect.gen(function*() {
        // With a share of 1, the balance tells how many of them are extra.
        const budget = yield* AttemptBudget.make({ inFlight: { ratio: 0, min: 1000 } })
        const world: World = { budget, running: 0, extra: 0 }
        const calls: Array<Fiber.Fiber<void, Unavailable | Invalid>> = []
        for (let step = 0; step < 60; step++) {
          const chance = yield* Random.next
          if (chance < 0.5) {
            const call = yield* wrap(makeCall(world))
            calls.push(yield* Effect.forkChild(AttemptBudget.withAttemptBudget(call, budget)))
          } else if (chance < 0.6) {
            const fiber = calls[yield* Random.nextIntBetween(0, Math.max(1, calls.length))]
            if (fiber !== undefined) yield* Fiber.interrupt(fiber)
          }
          yield* TestClock.adjust(yield* Random.nextIntBetween(0, 30))
          const { balance, inFlight } = yield* budget.snapshot
          assert.deepStrictEqual({ inFlight, extra: 1000 - balance }, { inFlight: world.running, extra: world.extra })
        }
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.awaitAll(calls)
        assert.deepStrictEqual(yield* budget.snapshot, { balance: 1000, rejected: 0, inFlight: 0 })
      }).pipe(Random.withSeed(`in flight ${seed}`)))
  }
})

const unavailable = Effect.fail(new Unavailable())

/** The call of a test: what its attempts do, one after the other. */
const attempts = (...outcomes: ReadonlyArray<Call>): Call => {
  let sent = 0
  return Effect.suspend(() => outcomes[sent++] ?? Effect.void)
}

const once = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })

describe("a quota", () => {
  for (const layers of [1, 2, 3]) {
    it.effect(`is told of one call through ${layers} policies`, () =>
      Effect.gen(function*() {
        const budget = yield* AttemptBudget.make({ quota: { capacity: 10 } })
        const run = (call: Call) => {
          let through = call
          for (let layer = 0; layer < layers; layer++) through = RetryPolicy.retry(through, once)
          return Effect.exit(AttemptBudget.withAttemptBudget(through, budget))
        }
        enter(budget).withdrawUnsafe(0, 8)
        yield* run(Effect.void)
        assert.strictEqual(yield* balance(budget), 3, "a success pays 1 in")
        yield* run(attempts(unavailable))
        assert.strictEqual(yield* balance(budget), 3, "a retry that helps costs nothing")
        yield* run(Effect.fail(new Invalid()))
        assert.strictEqual(yield* balance(budget), 3, "a failure for good changes nothing")
        yield* run(Effect.interrupt)
        assert.strictEqual(yield* balance(budget), 3)
        yield* run(unavailable)
        assert.strictEqual(
          yield* balance(budget),
          Math.max(0, 3 - (2 ** layers - 1)),
          "retries that do not help are paid for"
        )
      }))
  }

  it.effect("gets nothing back for a result that would have been retried, through whatever policies it goes", () =>
    Effect.gen(function*() {
      for (const layers of [0, 1, 2]) {
        const budget = yield* AttemptBudget.make({ quota: { capacity: 10 } })
        const poll = (result: Effect.Effect<string>) => {
          let call = RetryPolicy.retry(result, once, { retryWhen: (state) => state === "pending" })
          for (let layer = 0; layer < layers; layer++) call = RetryPolicy.retry(call, once)
          return AttemptBudget.withAttemptBudget(call, budget)
        }
        assert.strictEqual(yield* poll(Effect.succeed("pending")), "pending")
        assert.strictEqual(yield* balance(budget), 9, `${layers} around`)
        let looks = 0
        assert.strictEqual(yield* poll(Effect.sync(() => looks++ === 0 ? "pending" : "done")), "done")
        assert.strictEqual(yield* balance(budget), 9, `${layers} around, done`)
      }
    }))

  it.effect("takes back what hedges cost that won", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ quota: { capacity: 2 } })
      const hedge = yield* Hedge.make({ after: 10 })
      const call = Hedge.withHedge(Hedge.idempotent(attempts(Effect.never)), hedge)
      const fiber = yield* Effect.forkChild(AttemptBudget.withAttemptBudget(call, budget))
      yield* TestClock.adjust(10)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* budget.snapshot, { balance: 2, rejected: 0 })
    }))
})

describe("the throttling of gRPC", () => {
  it.effect("counts the failure of an attempt once, through whatever policies it goes", () =>
    Effect.gen(function*() {
      for (const layers of [1, 2, 3]) {
        const budget = yield* AttemptBudget.make({ retryThrottling: { maxTokens: 1000, tokenRatio: 0.5 } })
        let sent = 0
        let call: Call = Effect.suspend(() => {
          sent++
          return unavailable
        })
        for (let layer = 0; layer < layers; layer++) call = RetryPolicy.retry(call, once)
        yield* Effect.exit(AttemptBudget.withAttemptBudget(call, budget))
        assert.strictEqual(sent, 2 ** layers)
        assert.strictEqual(yield* balance(budget), 500 - sent)
        yield* AttemptBudget.withAttemptBudget(RetryPolicy.retry(RetryPolicy.retry(Effect.void, once), once), budget)
        assert.strictEqual(yield* balance(budget), 500 - sent + 0.5)
      }
    }))

  it.effect("ignores attempts that were not asked: a rejection here says nothing about the dependency", () =>
    Effect.gen(function*() {
      class Rejected extends Data.TaggedError("Rejected") {
        get [NotAsked.symbol]() {
          return true
        }
        [Recovery.symbol]() {
          return Recovery.retry
        }
      }
      for (const layers of [1, 2]) {
        const budget = yield* AttemptBudget.make({ retryThrottling: {} })
        let sent = 0
        let call: Effect.Effect<never, Rejected> = Effect.suspend(() => {
          sent++
          return Effect.fail(new Rejected())
        })
        for (let layer = 0; layer < layers; layer++) call = RetryPolicy.retry(call, once)
        yield* Effect.exit(AttemptBudget.withAttemptBudget(call, budget))
        assert.strictEqual(sent, 2 ** layers)
        assert.strictEqual(yield* balance(budget), 5)
      }
    }))

  it.effect("ignores failures that are not to be retried, and interruptions", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ retryThrottling: {} })
      for (const call of [Effect.fail(new Invalid()), Effect.interrupt, Effect.die("defect")]) {
        yield* call.pipe(RetryPolicy.retry(once), AttemptBudget.withAttemptBudget(budget), Effect.exit)
      }
      assert.strictEqual(yield* balance(budget), 5)
    }))
})

describe("a budget whose deposits expire", () => {
  it.effect("has nothing left of an hour without failures", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ expiring: { ratio: 0.5, minPerSecond: 0, ttl: "10 seconds" } })
      yield* TestClock.adjust("1 hour")
      yield* Effect.replicateEffect(AttemptBudget.withAttemptBudget(AttemptBudget.deposit, budget), 8)
      assert.strictEqual(yield* balance(budget), 4)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* balance(budget), 4)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* balance(budget), 0)
    }))

  it.effect("never grants more in a ttl than its reserve and what two of them have earned", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ expiring: { ratio: 0.3, minPerSecond: 2, ttl: "1 second" } })
      const events: Array<{ readonly at: number; readonly granted: boolean }> = []
      for (let step = 0; step < 2000; step++) {
        yield* TestClock.adjust(yield* Random.nextIntBetween(0, 40))
        const at = yield* Time.now
        if ((yield* Random.next) < 0.5) {
          yield* AttemptBudget.withAttemptBudget(AttemptBudget.deposit, budget)
          events.push({ at, granted: false })
        } else if (budget.withdrawUnsafe(at)) events.push({ at, granted: true })
      }
      for (const { at } of events) {
        const since = (millis: number) => events.filter((event) => event.at > at - millis && event.at <= at)
        const granted = since(900).filter((event) => event.granted).length
        assert.isAtMost(granted, 2 + 0.3 * since(2000).filter((event) => !event.granted).length + 1e-6)
      }
    }).pipe(Random.withSeed("expiring")))

  it.effect("gives each of several processes its part of the reserve", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ expiring: { minPerSecond: 10, processes: 20, ttl: "10 seconds" } })
      assert.strictEqual(yield* balance(budget), 5)
    }))
})

describe("the kinds of budget", () => {
  const written: ReadonlyArray<AttemptBudget.Options> = [
    AttemptBudget.inFlight({ ratio: 0.1, min: 1 }),
    AttemptBudget.quota(),
    AttemptBudget.retryThrottling({ maxTokens: 4 }),
    AttemptBudget.expiring({ ttl: "20 seconds" }),
    { ratio: 0.2, minPerSecond: 1, burst: 3, processes: 2 }
  ]

  it.effect("are written in JSON as in code", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(AttemptBudget.inFlight({ ratio: 0.1, min: 1 }), { inFlight: { ratio: 0.1, min: 1 } })
      for (const options of written) {
        const decoded = yield* FieldCodec.decode(AttemptBudget.field, JSON.parse(JSON.stringify(options)))
        const budget = yield* AttemptBudget.make({ name: "ledger", ...decoded })
        assert.strictEqual(budget.name, "ledger")
        assert.isTrue(budget.withdrawUnsafe(0))
      }
    }))

  it.effect("stand alone", () =>
    Effect.gen(function*() {
      assert.throws(
        () => AttemptBudget.make({ inFlight: {}, ratio: 0.2 }),
        "AttemptBudget.inFlight must be the only option beside name, not inFlight, ratio"
      )
      assert.throws(() => AttemptBudget.make({ quota: {}, expiring: {} }), RangeError)
      const error = yield* Effect.flip(FieldCodec.decode(AttemptBudget.field, { quota: {}, burst: 3 }))
      assert.include(String(error), "the only option beside name")
    }))

  it.effect("let no call wait", () =>
    Effect.gen(function*() {
      const start = yield* Time.now
      for (const options of written) {
        const budgets = yield* AttemptBudget.keyed({ ...options, capacity: 1 })
        const budget = budgets.get("a")
        for (let i = 0; i < 60; i++) {
          yield* unavailable.pipe(
            RetryPolicy.retry(RetryPolicy.make({ times: 9, backoff: Backoff.immediate })),
            AttemptBudget.withAttemptBudget(budget),
            Effect.exit
          )
        }
        // One call after the other has one attempt in flight.
        assert.strictEqual((yield* budget.snapshot).rejected > 0, !("inFlight" in options))
      }
      assert.strictEqual(yield* Time.now, start)
    }))

  it.effect("are told of a call once, also where they are put in charge again inside it", () =>
    Effect.gen(function*() {
      const never = RetryPolicy.make({ times: 0 })
      for (
        const [options, success, failure] of [
          [{ ratio: 0.25, minPerSecond: 0, burst: 40 }, 0.25, 0.25],
          [{ expiring: { ratio: 0.25, minPerSecond: 4 } }, 0.25, 0.25],
          [{ quota: { capacity: 40 } }, 1, 0],
          [{ retryThrottling: { maxTokens: 80, tokenRatio: 0.5 } }, 0.5, -1],
          [{ inFlight: { min: 20 } }, 0, 0]
        ] as const
      ) {
        const budget = yield* AttemptBudget.make(options)
        for (let i = 0; i < 20; i++) budget.withdrawUnsafe(0)
        const guard = (call: Call) => AttemptBudget.withAttemptBudget(RetryPolicy.retry(call, never), budget)
        const change = Effect.fnUntraced(function*(call: Call) {
          const before = yield* balance(budget)
          yield* Effect.exit(call)
          return (yield* balance(budget)) - before
        })
        assert.strictEqual(yield* change(guard(unavailable)), failure)
        assert.strictEqual(yield* change(guard(Effect.void)), success)
        assert.strictEqual(yield* change(guard(guard(guard(unavailable)))), failure)
        assert.strictEqual(yield* change(guard(guard(guard(Effect.void)))), success)
        let inFlight: number | undefined
        yield* guard(guard(Effect.map(budget.snapshot, (now) => {
          inFlight = now.inFlight
        })))
        assert.strictEqual(inFlight, "inFlight" in options ? 1 : undefined)
      }
    }))

  it.effect("are kept by key while calls are in flight", () =>
    Effect.gen(function*() {
      const budgets = yield* AttemptBudget.keyed({ inFlight: {}, capacity: 1 })
      const busy = budgets.get("busy")
      const call = enter(busy)
      for (const key of ["a", "b", "c"]) budgets.get(key)
      assert.strictEqual(budgets.get("busy"), busy)
      call.endUnsafe(ok)
      for (const key of ["a", "b", "c"]) budgets.get(key)
      assert.notStrictEqual(budgets.get("busy"), busy)
    }))

  it.effect("count exactly: ten tenths are one, after a year of fractions too", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ ratio: 0.1, minPerSecond: 0, burst: 10 })
      for (let i = 0; i < 10; i++) budget.withdrawUnsafe(0)
      for (let i = 0; i < 9; i++) budget.depositUnsafe(none)
      assert.isFalse(budget.withdrawUnsafe(0))
      budget.depositUnsafe(none)
      assert.isTrue(budget.withdrawUnsafe(0))
      // A third of a second for each of 3 processes, asked 1,000 times a second.
      const slow = yield* AttemptBudget.make({ ratio: 0, minPerSecond: 1, burst: 3, processes: 3 })
      let granted = 0
      for (let now = 0; now <= 300_000; now++) if (slow.withdrawUnsafe(now)) granted++
      assert.strictEqual(granted, 101)
    }))

  it.effect("are kept by key for as long as a new one would be another", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      yield* TestClock.adjust("3 seconds")
      const context = yield* Effect.context<never>()
      const kept = Effect.fnUntraced(function*(
        options: AttemptBudget.Options,
        use: (budget: AttemptBudget.AttemptBudget, now: number) => void,
        restore: (budget: AttemptBudget.AttemptBudget) => Effect.Effect<void>
      ) {
        const budgets = yield* AttemptBudget.keyed({ ...options, capacity: 1 })
        const others = Effect.sync(() => ["a", "b", "c"].forEach((key) => budgets.get(key)))
        const budget = budgets.get("used")
        use(budget, yield* Time.now)
        yield* others
        const isKept = budgets.get("used") === budget
        yield* restore(budget)
        yield* others
        return [isKept, budgets.get("used") === budget]
      })
      const later = (millis: number) => () => TestClock.adjust(millis)
      const deposit = (budget: AttemptBudget.AttemptBudget) => budget.depositUnsafe(context)
      assert.deepStrictEqual(yield* kept({ expiring: {} }, deposit, later(9000)), [true, true])
      assert.deepStrictEqual(yield* kept({ expiring: {} }, deposit, later(10_000)), [true, false])
      const succeed = (budget: AttemptBudget.AttemptBudget) => Effect.sync(() => enter(budget).endUnsafe(ok))
      const withdraw = (budget: AttemptBudget.AttemptBudget, now: number) => void budget.withdrawUnsafe(now)
      assert.deepStrictEqual(yield* kept({ quota: {} }, withdraw, () => Effect.void), [true, true])
      assert.deepStrictEqual(yield* kept({ quota: {} }, withdraw, succeed), [true, false])
      assert.deepStrictEqual(yield* kept({ quota: {} }, enter, () => Effect.void), [true, true])
      const fail = (budget: AttemptBudget.AttemptBudget) => enter(budget).failedUnsafe?.(false)
      const end = (budget: AttemptBudget.AttemptBudget) =>
        Effect.sync(() => {
          for (let call = 0; call < 10; call++) enter(budget).endUnsafe(ok)
        })
      assert.deepStrictEqual(yield* kept({ retryThrottling: {} }, fail, () => Effect.void), [true, true])
      assert.deepStrictEqual(yield* kept({ retryThrottling: {} }, fail, end), [true, false])
    }))

  it("count no attempt below none, and no failure of a call that never began", () => {
    const budget = Effect.runSync(AttemptBudget.make({ inFlight: {} }))
    const call = enter(budget)
    call.failedUnsafe?.(false)
    call.failedUnsafe?.(false)
    assert.strictEqual(Effect.runSync(budget.snapshot).inFlight, 0)
    const tokens = Effect.runSync(AttemptBudget.make({ retryThrottling: {} }))
    tokens.failedUnsafe?.(false, { [NotAsked.symbol]: true })
    tokens.failedUnsafe?.(false, new Unavailable(), true)
    assert.strictEqual(Effect.runSync(balance(tokens)), 5)
    tokens.failedUnsafe?.(false, new Unavailable())
    assert.strictEqual(Effect.runSync(balance(tokens)), 4)
  })

  it.effect("count a failure that a policy inside took for final, where the one around retries it", () =>
    Effect.gen(function*() {
      const budget = yield* AttemptBudget.make({ retryThrottling: {} })
      yield* Effect.fail(new Invalid()).pipe(
        RetryPolicy.retry(once),
        RetryPolicy.retry(once, { classify: () => Recovery.retry }),
        AttemptBudget.withAttemptBudget(budget),
        Effect.exit
      )
      assert.strictEqual(yield* balance(budget), 3)
    }))

  it("follow a call that goes on after its end as a new one", () => {
    const budget = Effect.runSync(AttemptBudget.make({ inFlight: {} }))
    const call = enter(budget)
    call.endUnsafe(ok)
    call.endUnsafe(ok)
    assert.isTrue(call.withdrawUnsafe(0))
    call.failedUnsafe?.(true)
    assert.strictEqual(Effect.runSync(budget.snapshot).inFlight, 0)
    const late = enter(call)
    assert.strictEqual(Effect.runSync(budget.snapshot).inFlight, 1)
    late.endUnsafe(failed)
    assert.strictEqual(Effect.runSync(budget.snapshot).inFlight, 0)
  })
})
