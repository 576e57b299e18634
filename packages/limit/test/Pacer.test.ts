import { Deadline } from "@effect-resilience/deadline"
import { ApiError, Recovery } from "@effect-resilience/errors"
import { RateLimitHeaders } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"

const memory = RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory))

/** Starts so many calls at once, and notes when each of them ran. */
const startCalls = Effect.fnUntraced(function*(pacer: Pacer.Pacer, count: number, cost?: number) {
  const ran: Array<number> = []
  const call = Effect.map(Clock.currentTimeMillis, (now) => ran.push(Math.round(now)))
  const fibers = yield* Effect.forEach(
    Array.from({ length: count }),
    () => Effect.forkChild(Effect.exit(pacer.execute(call, cost)), { startImmediately: true })
  )
  return { ran, fibers }
})

describe("Pacer", () => {
  it.effect("spreads calls evenly", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 4, window: "1 second" })
      const { ran } = yield* startCalls(pacer, 5)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [0, 250, 500, 750, 1000])
    }).pipe(Effect.provide(memory)))

  it.effect("lets a burst go at once, and then keeps the rate", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 4, window: "1 second", burst: 3 })
      const { ran } = yield* startCalls(pacer, 6)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [0, 0, 0, 250, 500, 750])
    }).pipe(Effect.provide(memory)))

  it.effect("lets a call of the usual cost go, though the burst is said to be lower", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 4, window: "1 second", burst: 1, cost: 2 })
      const { ran } = yield* startCalls(pacer, 3)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [0, 500, 1000])
    }).pipe(Effect.provide(memory)))

  it.effect("counts a call for its cost", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 10, window: "1 second", burst: 5 })
      const { ran } = yield* startCalls(pacer, 3, 4)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [0, 300, 700])
    }).pipe(Effect.provide(memory)))

  it.effect("rejects what costs more than the burst at once, as a request that has to be corrected", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ name: "ledger", limit: 10, window: "1 second", burst: 2 })
      const error = yield* Effect.flip(pacer.execute(Effect.void, 3))
      assert.strictEqual(error.reason, "Cost")
      assert.deepStrictEqual(Recovery.of(error), Recovery.correct)
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      const { ran } = yield* startCalls(pacer, 1, 2)
      assert.deepStrictEqual(ran, [0])
    }).pipe(Effect.provide(memory)))

  it.effect("rejects at once what would wait too long, and takes nothing from the others", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ name: "ledger", limit: 1, window: "1 second", maxWait: "2500 millis" })
      const { fibers, ran } = yield* startCalls(pacer, 10)
      const rejected = fibers.filter((fiber) => fiber.pollUnsafe() !== undefined).length
      // The first ran, two wait, seven are rejected.
      assert.strictEqual(rejected, 8)
      const error = yield* Effect.flip(pacer.execute(Effect.void))
      assert.deepStrictEqual(
        error,
        new Pacer.PaceExceeded({
          policy: "ledger",
          reason: "Wait",
          rate: undefined,
          retryAfter: Duration.seconds(3)
        })
      )
      assert.deepStrictEqual(Recovery.of(error), Recovery.retryAs("throttled", "3 seconds"))
      yield* TestClock.adjust("3 seconds")
      yield* pacer.execute(Effect.void)
      assert.deepStrictEqual(ran, [0, 1000, 2000])
    }).pipe(Effect.provide(memory)))

  it.effect("does not wait beyond the deadline", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 1, window: "1 second" })
      yield* pacer.execute(Effect.void)
      const exit = yield* Effect.exit(Deadline.withDeadline(pacer.execute(Effect.void), "500 millis"))
      assert.deepStrictEqual(
        Exit.findErrorOption(exit).pipe((error) => error._tag === "Some" && error.value._tag),
        "PaceExceeded"
      )
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    }).pipe(Effect.provide(memory)))

  it.effect("gives up the place of a call that is interrupted while it waits", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 1, window: "1 second" })
      const { fibers, ran } = yield* startCalls(pacer, 4)
      yield* Fiber.interruptAll(fibers.slice(2))
      const late = yield* startCalls(pacer, 1)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([...ran, ...late.ran], [0, 1000, 2000])
    }).pipe(Effect.provide(memory)))

  it.effect("pauses everyone after a 429 and lets them go one by one", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 10, window: "1 second", burst: 10 })
      // Many at once are told the same, and it counts once.
      const gate = yield* Deferred.make<never, ApiError.Reason>()
      const limited = yield* Effect.forEach(
        Array.from({ length: 5 }),
        () => Effect.forkChild(Effect.exit(pacer.execute(Deferred.await(gate))), { startImmediately: true })
      )
      yield* Deferred.fail(gate, ApiError.reasonFromStatus(429, { retryAfter: Duration.seconds(3) }))
      yield* Effect.forEach(limited, Fiber.await)
      const { ran } = yield* startCalls(pacer, 4)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [3100, 3200, 3300, 3400])
    }).pipe(Effect.provide(memory)))

  it.effect("fails as a call fails that names no time to wait, and holds no one for it", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const pacer = yield* Pacer.make({ limit: 10, window: "1 second", burst: 5 })
      for (const status of [429, 500, 503]) {
        const error = ApiError.reasonFromStatus(status, {})
        assert.deepStrictEqual(yield* Effect.exit(pacer.execute(Effect.fail(error))), Exit.fail(error))
        assert.deepStrictEqual((yield* pacer.snapshot).pausedFor, Duration.zero)
      }
      // What is left of the burst goes at once.
      const { ran } = yield* startCalls(pacer, 2)
      const now = yield* Clock.currentTimeMillis
      assert.deepStrictEqual(ran, [now, now])
    }).pipe(Effect.provide(memory)))

  it.effect("holds those who wait already when a pause begins", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 10, window: "1 second" })
      const { ran } = yield* startCalls(pacer, 3)
      yield* TestClock.adjust("50 millis")
      yield* pacer.pause("2 seconds")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [0, 2050, 2100])
    }).pipe(Effect.provide(memory)))

  it.effect("is not released early by a shorter pause", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 10, window: "1 second" })
      const { ran } = yield* startCalls(pacer, 2)
      yield* pacer.pause("2 seconds")
      yield* pacer.pause("1 second")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(ran, [0, 2000])
    }).pipe(Effect.provide(memory)))

  it.effect("gives back what it took when another pacer of the same key has taken the time", () =>
    Effect.gen(function*() {
      const one = yield* Pacer.make({ limit: 1, window: "1 second" })
      const other = yield* Pacer.make({ limit: 1, window: "1 second", maxWait: "500 millis" })
      const first = yield* startCalls(one, 2)
      for (let i = 0; i < 5; i++) assert.isTrue(Exit.isFailure(yield* Effect.exit(other.execute(Effect.void))))
      const second = yield* startCalls(one, 1)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([...first.ran, ...second.ran], [0, 1000, 2000])
    }).pipe(Effect.provide(memory)))

  it.effect("never pauses longer than the cap, whatever a server asks for", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 10, window: "1 second", maxPause: "5 seconds" })
      yield* Pacer.observe(pacer, { "retry-after": "9", "ratelimit": "\"day\";r=0;t=86400" })
      const { ran } = yield* startCalls(pacer, 1)
      yield* TestClock.adjust("1 minute")
      assert.isAtLeast(ran[0] ?? 0, 5000)
      assert.isAtMost(ran[0] ?? 0, 5200)
    }).pipe(Effect.provide(memory)))

  it.effect("is not paused by headers that say that something is left", () =>
    Effect.gen(function*() {
      const pacer = yield* Pacer.make({ limit: 10, window: "1 second" })
      yield* Pacer.observe(pacer, { "x-ratelimit-remaining": "1", "x-ratelimit-reset": "60" })
      yield* Pacer.observe(pacer, { "x-ratelimit-remaining": "soon", "x-ratelimit-reset": "60" })
      yield* pacer.execute(Effect.void)
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    }).pipe(Effect.provide(memory)))

  for (const onStoreError of ["allow", "fail"] as const) {
    it.effect(`${onStoreError === "allow" ? "lets calls pass" : "fails"} while the store does not respond, if told so`, () =>
      Effect.gen(function*() {
        const down = Effect.fail(
          new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "down" }) })
        )
        const limiter = Layer.mock(RateLimiter.RateLimiter)({
          [RateLimiter.TypeId]: RateLimiter.TypeId,
          consume: () => down
        })
        const exit = yield* Pacer.make({ limit: 1, window: "1 second", onStoreError }).pipe(
          Effect.flatMap((pacer) => Effect.exit(pacer.execute(Effect.succeed("ran")))),
          Effect.provide(limiter)
        )
        assert.strictEqual(Exit.isSuccess(exit), onStoreError === "allow")
      }))
  }

  it.effect("lets a call go whose turn it is, however long the store took to say so", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const pacer = yield* Effect.provideService(
        Pacer.make({ limit: 10, window: "1 second", maxWait: 0 }),
        RateLimiter.RateLimiter,
        { ...limiter, consume: (options) => Effect.delay(limiter.consume(options), "5 millis") }
      )
      const { fibers, ran } = yield* startCalls(pacer, 1)
      yield* TestClock.adjust("5 millis")
      assert.deepStrictEqual(ran, [5])
      yield* Fiber.joinAll(fibers)
    }).pipe(Effect.provide(memory)))

  it.effect("keeps a rate for each key, and by layer", () =>
    Effect.gen(function*() {
      const tenants = yield* Pacer.keyed({ name: "tenants", limit: 1, window: "1 second" })
      yield* tenants.get("acme").execute(Effect.void)
      yield* tenants.get("globex").execute(Effect.void)
      assert.strictEqual(tenants.get("acme").name, "acme")
      const program = Effect.flatMap(Pacer.Pacer, (pacer) => Pacer.withPacer(Effect.succeed("ran"), pacer))
      assert.strictEqual(yield* Effect.provide(program, Pacer.layerMemory({ limit: 1, window: "1 second" })), "ran")
      assert.strictEqual(yield* Effect.provide(program, Pacer.layerNoop), "ran")
    }).pipe(Effect.provide(memory)))

  it.effect("keeps its place in the limiter under its name, and that of a key after it", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const seen = new Set<string>()
      const watched: RateLimiter.RateLimiter = {
        ...limiter,
        consume: (options) => {
          seen.add(options.key)
          return limiter.consume(options)
        }
      }
      yield* Effect.gen(function*() {
        const pacer = yield* Pacer.make({ name: "ledger", limit: 1, window: "1 second" })
        const tenants = yield* Pacer.keyed({ name: "tenants", limit: 1, window: "1 second" })
        yield* pacer.execute(Effect.void)
        yield* tenants.get("acme").execute(Effect.void)
      }).pipe(Effect.provideService(RateLimiter.RateLimiter, watched))
      assert.deepStrictEqual([...seen], ["ledger", "tenants:acme"])
    }).pipe(Effect.provide(memory)))

  it("rejects options that make no sense where they are written", () => {
    assert.throws(() => Pacer.make({ limit: 0, window: "1 second" }), RangeError)
    assert.throws(() => Pacer.make({ limit: 1, window: 0 }), RangeError)
    assert.throws(() => Pacer.make({ limit: 1, window: "1 second", burst: 0 }), RangeError)
    assert.throws(() => Pacer.keyed({ limit: 1, window: "1 second", capacity: 0 }), RangeError)
    assert.throws(() => Pacer.withPacer(Effect.void, Pacer.noop, -1), RangeError)
  })

  it.effect.prop(
    "never lets more through in any time than the burst and the rate allow",
    {
      limit: Schema.Literals([1, 3, 7, 20]),
      burst: Schema.Literals([1, 2, 5]),
      steps: Schema.Array(Schema.Tuple([Schema.Literals([1, 2, 3]), Schema.Literals([0, 10, 100, 700, 3000])])).check(
        Schema.isMinLength(15),
        Schema.isMaxLength(25)
      )
    },
    ({ burst, limit, steps }) =>
      Effect.gen(function*() {
        const pacer = yield* Pacer.make({ limit, window: "1 second", burst })
        const ran: Array<number> = []
        const call = Effect.map(Clock.currentTimeMillis, (now) => ran.push(now))
        for (const [count, wait] of steps) {
          for (let i = 0; i < count; i++) yield* Effect.forkChild(pacer.execute(call), { startImmediately: true })
          yield* TestClock.adjust(wait)
        }
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(ran.length, steps.reduce((sum, [count]) => sum + count, 0))
        for (let from = 0; from < ran.length; from++) {
          for (let to = from; to < ran.length; to++) {
            const span = (ran[to] ?? 0) - (ran[from] ?? 0)
            assert.isAtMost(to - from + 1, burst + Math.floor(span * limit / 1000 + 0.02) + 1e-9)
          }
        }
      }).pipe(Effect.provide(memory), Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 100, seed: 6 } }
  )
})

describe("RateLimitHeaders", () => {
  const now = Date.UTC(2026, 0, 1)

  it("reads every dialect, the tightest of several policies, and no garbage", () => {
    const cases: ReadonlyArray<readonly [Record<string, string>, readonly [number, number] | undefined]> = [
      [{ ratelimit: "\"default\";r=50;t=30" }, [50, 30]],
      [{ ratelimit: "\"day\";r=100;t=3600, \"burst\";r=2;t=5" }, [2, 5]],
      [{ ratelimit: "limit=100, remaining=7, reset=60" }, [7, 60]],
      [{ "ratelimit-remaining": "3", "ratelimit-reset": "10" }, [3, 10]],
      [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now / 1000 + 60) }, [0, 60]],
      [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now + 5000) }, [0, 5]],
      [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now / 1000 - 60) }, [0, 0]],
      [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.5" }, [0, 1.5]],
      [{ "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "5" }, undefined],
      [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": "tomorrow" }, undefined],
      [{ ratelimit: "unlimited" }, undefined],
      [{}, undefined]
    ]
    for (const [headers, expected] of cases) {
      const read = RateLimitHeaders.parse(headers, now)
      assert.deepStrictEqual(
        read && [read.remaining, Duration.toSeconds(read.resetAfter)],
        expected && [...expected],
        JSON.stringify(headers)
      )
    }
  })
})
