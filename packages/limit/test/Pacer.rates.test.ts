import { NotAsked, Recovery } from "@effect-resilience/errors"
import { Bulkhead } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"

const memory = Pacer.layerLimiterMemory

/** A language model that allows 500 requests and 30,000 tokens a minute. */
const model: Pacer.Options = {
  name: "model",
  limit: 500,
  window: "1 minute",
  burst: 5,
  rates: { tokens: { limit: 30_000, window: "1 minute", burst: 8000, cost: 1000 } }
}

/** Nothing comes back within a test, so that nothing that is lost can hide. */
const frozen: Pacer.Options = {
  name: "frozen",
  limit: 10,
  window: "1000 days",
  burst: 10,
  rates: { tokens: { limit: 100, window: "1000 days", burst: 100 } }
}

const start = Effect.fnUntraced(function*<A, E>(self: Effect.Effect<A, E>) {
  return yield* Effect.forkChild(Effect.exit(self), { startImmediately: true })
})

describe("a pacer of several rates", () => {
  it.effect("waits for the rate that is scarce, and counts what says nothing at its usual cost", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      const began = yield* Clock.currentTimeMillis
      const pacer = yield* Pacer.make(model)
      const ran: Array<number> = []
      const call = Effect.map(Clock.currentTimeMillis, (now) => ran.push(now - began))
      // Tokens: 8,000 at once, then 500 a second.
      for (const cost of [{ tokens: 8000 }, { tokens: 500 }, undefined, { tokens: 0 }, 2]) {
        yield* start(pacer.execute(call, cost))
      }
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(ran, [0, 1000, 3000, 3000, 5000])
    }).pipe(Effect.provide(memory)))

  it.effect("rejects a call that one rate never lets go, and says which", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make(model)
      const error = yield* Effect.flip(pacer.execute(Effect.void, { tokens: 8001 }))
      assert.deepStrictEqual([error.reason, error.rate, error.policy], ["Cost", "tokens", "model"])
      assert.deepStrictEqual(Recovery.of(error), Recovery.correct)
      assert.isTrue(NotAsked.isNotAsked(error))
      assert.include(error.message, "\"model\" (tokens)")
      assert.strictEqual((yield* Effect.flip(pacer.execute(Effect.void, 6))).rate, "calls")
      assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 5, tokens: 8000 }, rejected: 2 })
    }).pipe(Effect.provide(memory)))

  it.effect("takes from all rates or from none", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ ...frozen, maxWait: "1 second" })
      yield* pacer.execute(Effect.void, { calls: 1, tokens: 90 })
      for (let i = 0; i < 20; i++) {
        const error = yield* Effect.flip(pacer.execute(Effect.void, { calls: 1, tokens: 11 }))
        assert.deepStrictEqual([error.reason, error.rate], ["Wait", "tokens"])
      }
      // Another pacer of the same key, which knows nothing yet, has to ask.
      const other = yield* Pacer.make({ ...frozen, maxWait: "1 second" })
      yield* Effect.flip(other.execute(Effect.void, { calls: 1, tokens: 11 }))
      yield* Effect.flip(other.execute(Effect.void, { calls: 10, tokens: 1 }))
      yield* other.execute(Effect.void, { calls: 9, tokens: 10 })
      assert.deepInclude(yield* other.snapshot, { balance: { calls: 0, tokens: 0 } })
    }).pipe(Effect.provide(memory)))

  it.effect("does not let a call that waited for tokens and a burst of requests go together", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({
        limit: 60,
        window: "1 minute",
        burst: 3,
        rates: { tokens: { limit: 60, window: "1 minute", burst: 10, cost: 1 } }
      })
      yield* pacer.execute(Effect.void, { calls: 3, tokens: 10 })
      const ran: Array<number> = []
      const call = Effect.map(Clock.currentTimeMillis, (now) => ran.push(now))
      yield* start(pacer.execute(call, { tokens: 10 }))
      for (let i = 0; i < 4; i++) yield* start(pacer.execute(call, { tokens: 0 }))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(ran.map((at) => at / 1000), [10, 10, 10, 11, 12])
    }).pipe(Effect.provide(memory)))

  it("rejects options and costs that make no sense where they are written", () => {
    const rate = { limit: 1, window: "1 second" } as const
    assert.throws(() => Pacer.make({ ...rate, rates: { tokens: { ...rate, limit: 0 } } }), RangeError, "tokens.limit")
    assert.throws(() => Pacer.make({ ...rate, rates: { calls: rate } }), RangeError, "calls")
    assert.throws(() => Pacer.make({ ...rate, cost: 0 }), RangeError)
    assert.throws(() => Pacer.withPacer(Effect.void, Pacer.noop, { tokens: -1 }), RangeError)
    assert.throws(() => Pacer.withCost(Effect.void, Number.NaN), RangeError)
    const pacer = Effect.runSync(Effect.provide(Pacer.make(model), memory))
    assert.throws(() => pacer.execute(Effect.void, { token: 1 }), RangeError, "calls, tokens")
  })
})

describe("a reservation", () => {
  it.effect("gives back what was not used, and owes what was used beyond it", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make(frozen)
      const balance = Effect.map(pacer.snapshot, ({ balance }) => balance)
      yield* pacer.execute(Pacer.settle({ tokens: 12 }), { tokens: 40 })
      assert.deepStrictEqual(yield* balance, { calls: 9, tokens: 88 })
      yield* pacer.execute(Effect.andThen(Pacer.settle({ tokens: 1 }), Pacer.settle({ tokens: 150 })), { tokens: 20 })
      assert.deepStrictEqual(yield* balance, { calls: 8, tokens: -62 })
      yield* pacer.execute(Pacer.settle({ calls: 0 }), { tokens: 0 })
      assert.deepStrictEqual(yield* balance, { calls: 8, tokens: -62 })
    }).pipe(Effect.provide(memory)))

  it.effect("can be settled after the call, for a response that is read later, and by a number", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ ...frozen, rates: undefined })
      const reservation = yield* pacer.execute(Effect.service(Pacer.CurrentReservation), 7)
      assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 3 } })
      yield* reservation?.settle(2) ?? Effect.void
      assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 8 } })
      // Outside of a call, and where no cost was stated, there is nothing to settle.
      yield* Pacer.settle(5)
      yield* pacer.execute(Pacer.settle(5))
      assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 7 } })
    }).pipe(Effect.provide(memory)))

  for (const how of ["fails", "dies", "is interrupted"] as const) {
    it.effect(`stands when a call ${how}, at what was settled last`, () =>
      Effect.gen(function*() {
        const ends = { fails: Effect.fail("503"), dies: Effect.die("503"), "is interrupted": Effect.interrupt }[how]
        const pacer = yield* Pacer.make(frozen)
        yield* Effect.exit(pacer.execute(ends, { tokens: 40 }))
        assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 9, tokens: 60 } })
        yield* Effect.exit(pacer.execute(Effect.andThen(Pacer.settle({ tokens: 3 }), ends), { tokens: 40 }))
        assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 8, tokens: 57 } })
        const free = Effect.onError(ends, () => Pacer.settle({ calls: 0, tokens: 0 }))
        yield* Effect.exit(pacer.execute(free, { tokens: 40 }))
        assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 8, tokens: 57 } })
      }).pipe(Effect.provide(memory)))
  }

  it.effect("is given back whole when nothing was asked", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make(frozen)
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      const blocked = bulkhead.execute(pacer.execute(bulkhead.execute(Effect.void), { tokens: 40 }))
      assert.strictEqual((yield* Effect.flip(blocked))._tag, "BulkheadFull")
      assert.deepInclude(yield* pacer.snapshot, { balance: { calls: 10, tokens: 100 } })
    }).pipe(Effect.provide(memory)))

  it.effect("lets a call that waits go sooner, when another one gives back", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make(model)
      const settle = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      const big = Effect.andThen(Deferred.await(settle), Pacer.settle({ tokens: 1000 })).pipe(
        Effect.andThen(Deferred.await(end))
      )
      yield* start(pacer.execute(big, { tokens: 8000 }))
      const ran: Array<number> = []
      const call = Effect.map(Clock.currentTimeMillis, (now) => ran.push(now))
      for (let i = 0; i < 3; i++) yield* start(pacer.execute(call, { tokens: 4000 }))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(ran, [])
      // 7,000 come back to the 1,000 that the time has given: two calls go, and the third waits for 4,000 tokens.
      yield* Deferred.succeed(settle, undefined)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(ran, [2000, 2000, 10_000])
    }).pipe(Effect.provide(memory)))

  it.effect("never gives back what the bucket has regained meanwhile", () =>
    Effect.gen(function*() {
      for (const limiter of [memory, RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory))]) {
        const ran: Array<number> = []
        yield* Effect.gen(function*() {
          const pacer = yield* Pacer.make(model)
          const later = Effect.andThen(Effect.sleep("1 hour"), Pacer.settle({ tokens: 0 }))
          for (let i = 0; i < 2; i++) yield* start(pacer.execute(later, { tokens: 4000 }))
          yield* TestClock.adjust("1 hour")
          const call = Effect.map(Clock.currentTimeMillis, (now) => ran.push(now % 3_600_000))
          for (let i = 0; i < 3; i++) yield* start(pacer.execute(call, { tokens: 4000 }))
          yield* TestClock.adjust("1 hour")
        }).pipe(Effect.provide(limiter, { local: true }))
        assert.deepStrictEqual(ran, [0, 0, 8000])
      }
    }))
})

describe("a call that is interrupted", () => {
  /** A limiter whose store takes 5 ms each way, and cannot be interrupted. */
  const slow = Effect.map(Effect.map(Layer.build(memory), Context.get(RateLimiter.RateLimiter)), (limiter) => ({
    limiter,
    slow: RateLimiter.RateLimiter.of({
      ...limiter,
      consume: (options) =>
        Effect.uninterruptible(
          Effect.sleep("5 millis").pipe(Effect.andThen(limiter.consume(options)), Effect.delay("5 millis"))
        )
    })
  })).pipe(Effect.scoped)

  for (let after = 0; after <= 45; after++) {
    it.effect(`after ${after} ms has taken nothing, or its estimate`, () =>
      Effect.gen(function*() {
        const stores = yield* slow
        const pacer = yield* Effect.provideService(Pacer.make(frozen), RateLimiter.RateLimiter, stores.slow)
        let began = false
        const call = Effect.suspend(() => {
          began = true
          return Effect.never
        })
        const caller = yield* start(pacer.execute(call, { calls: 2, tokens: 40 }))
        yield* TestClock.adjust(after)
        const interrupting = yield* start(Fiber.interrupt(caller))
        yield* TestClock.adjust("1 second")
        assert.isTrue(interrupting.pollUnsafe() !== undefined)
        assert.strictEqual(began, after >= 20)
        const left = yield* Effect.provideService(Pacer.make(frozen), RateLimiter.RateLimiter, stores.limiter)
        yield* left.execute(Effect.void, { calls: 0, tokens: 0 })
        const exits = [
          yield* Effect.exit(left.execute(Effect.void, { calls: began ? 8 : 10, tokens: began ? 60 : 100 })),
          yield* start(left.execute(Effect.void, { calls: 1, tokens: 0 }))
        ] as const
        assert.isTrue(Exit.isSuccess(exits[0]))
        assert.isUndefined(exits[1].pollUnsafe())
      }))
  }

  it.effect("while it waits for its turn gives its place to the next", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({
        limit: 60,
        window: "1 minute",
        rates: { tokens: { limit: 60, window: "1 minute" } }
      })
      yield* pacer.execute(Effect.void)
      const first = yield* start(pacer.execute(Effect.void))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(first)
      const next = yield* start(Effect.andThen(pacer.execute(Effect.void), Clock.currentTimeMillis))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(next), Exit.succeed(1000))
    }).pipe(Effect.provide(memory)))
})

/** A bucket as the books have it: it fills up evenly to the burst. */
class Bucket {
  level: number
  private at: number
  readonly burst: number
  private readonly interval: number

  constructor(burst: number, interval: number, at: number) {
    this.burst = burst
    this.level = burst
    this.interval = interval
    this.at = at
  }

  to(now: number) {
    this.level = Math.min(this.burst, this.level + (now - this.at) / this.interval)
    this.at = now
  }
}

interface Call {
  readonly costs: readonly [number, number]
  readonly gate: Deferred.Deferred<readonly [number, number] | undefined>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  state: "waiting" | "running" | "ended"
}

it.effect.prop(
  "at each rate no call goes before its tokens are there, nor waits when they are, whatever is settled and interrupted",
  {
    bursts: Schema.Tuple([Schema.Literals([1, 3, 8]), Schema.Literals([5, 20])]),
    limits: Schema.Tuple([Schema.Literals([1, 4, 7]), Schema.Literals([3, 10, 60])]),
    steps: Schema.Array(Schema.Tuple([
      Schema.Literals(["call", "call", "call", "settle", "settle", "end", "interrupt", "wait", "wait"]),
      Schema.Literals([0, 1, 2, 3, 5, 8, 13, 20])
    ])).check(Schema.isMinLength(40), Schema.isMaxLength(60))
  },
  ({ bursts, limits, steps }) =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const pacer = yield* Pacer.make({
        limit: limits[0],
        window: "1 second",
        burst: bursts[0],
        rates: { tokens: { limit: limits[1], window: "1 second", burst: bursts[1] } }
      })
      const now = Effect.map(Effect.service(Clock.Clock), (clock) => Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
      const began = yield* now
      const buckets = bursts.map((burst, index) => new Bucket(burst, 1000 / (limits[index] ?? 1), began))
      const calls: Array<Call> = []
      const early: Array<number> = []
      const spend = (costs: ReadonlyArray<number>, at: number) =>
        buckets.forEach((bucket, index) => {
          bucket.to(at)
          bucket.level = Math.min(bucket.burst, bucket.level - (costs[index] ?? 0))
        })
      const head = () => calls.find(({ state }) => state === "waiting")
      /** What is there at a rate for a call that waits, beyond its cost. */
      const spare = (call: Call, index: 0 | 1, at: number) => {
        const bucket = buckets[index]
        bucket?.to(at)
        return (bucket?.level ?? 0) - call.costs[index]
      }
      const run = (call: Call) =>
        Effect.gen(function*() {
          const at = yield* now
          for (const index of [0, 1] as const) {
            if (call.costs[index] > 0 && spare(call, index, at) < -0.02) early.push(spare(call, index, at))
          }
          call.state = "running"
          spend(call.costs, at)
          const real = yield* Deferred.await(call.gate)
          if (real === undefined) return
          const [used, tokens] = real
          const change = [used - call.costs[0], tokens - call.costs[1]] as const
          // What waits may go within this.
          spend(change, yield* now)
          yield* Pacer.settle({ calls: used, tokens })
        })
      for (const [what, which] of steps) {
        const running = calls.filter(({ state }) => state === "running")
        const present = calls.filter(({ state }) => state !== "ended")
        const other = running[which % Math.max(1, running.length)]
        switch (what) {
          case "call": {
            const costs = [Math.min(which % 4, bursts[0]), Math.min(which, bursts[1])] as const
            const call: Call = {
              costs,
              gate: yield* Deferred.make<readonly [number, number] | undefined>(),
              fiber: undefined,
              state: "waiting"
            }
            calls.push(call)
            const executed = pacer.execute(run(call), { calls: costs[0], tokens: costs[1] })
            call.fiber = yield* Effect.forkChild(
              Effect.onExit(executed, () =>
                Effect.sync(() => {
                  call.state = "ended"
                })),
              { startImmediately: true }
            )
            break
          }
          case "settle":
            if (other !== undefined) {
              yield* Deferred.succeed(
                other.gate,
                [other.costs[0], Math.floor(other.costs[1] * (which % 3) / 3)] as const
              )
            }
            break
          case "end":
            if (other !== undefined) yield* Deferred.succeed(other.gate, undefined)
            break
          case "interrupt": {
            const fiber = present[which % Math.max(1, present.length)]?.fiber
            if (fiber !== undefined) yield* Fiber.interrupt(fiber)
            break
          }
          case "wait":
            yield* TestClock.adjust(which * 130)
        }
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(early, [])
        const waiting = head()
        if (waiting === undefined) continue
        const at = yield* now
        const lacks = ([0, 1] as const).some((index) => waiting.costs[index] > 0 && spare(waiting, index, at) < 1.02)
        assert.isTrue(lacks, "a call waits although there are tokens")
      }
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(early, [])
      assert.isFalse(calls.some(({ state }) => state === "waiting"))
      for (const { fiber } of calls) if (fiber !== undefined) yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(memory, { local: true }), Effect.provide(TestClock.layer())),
  { timeout: 120_000, arbitrary: { runs: 300, seed: 16 } }
)
