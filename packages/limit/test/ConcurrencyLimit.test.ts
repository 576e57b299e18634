import { Deadline } from "@effect-resilience/deadline"
import { ApiError, Recovery } from "@effect-resilience/errors"
import { ConcurrencyLimit, LimitAlgorithm, Priority } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Metric, Random, Scheduler, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as HiddenServer from "./HiddenServer.ts"

const algorithms = {
  aimd: LimitAlgorithm.aimd(),
  vegas: LimitAlgorithm.vegas(),
  gradient2: LimitAlgorithm.gradient2(),
  gradient: LimitAlgorithm.gradient()
}

const constructors = {
  aimd: LimitAlgorithm.aimd,
  vegas: LimitAlgorithm.vegas,
  gradient2: LimitAlgorithm.gradient2,
  gradient: LimitAlgorithm.gradient
}

const nameOf = (algorithm: LimitAlgorithm.LimitAlgorithm) => Object.keys(algorithm).join()

/** `aimd` finds the limit of a server that rejects calls, the others that of a server that becomes slow. */
const observe = Effect.fnUntraced(function*(
  algorithm: LimitAlgorithm.LimitAlgorithm,
  options: { readonly seconds: number; readonly noise: number; readonly halveAt?: number }
) {
  const capacity = options.halveAt === undefined ? 50 : 100
  const server = yield* HiddenServer.make({
    capacity,
    base: 100,
    noise: options.noise,
    drops: nameOf(algorithm) === "aimd"
  })
  const limit = yield* ConcurrencyLimit.make({ algorithm })
  const limits: Array<number> = []
  const { took } = yield* HiddenServer.load({
    seconds: options.seconds,
    perSecond: 3 * capacity * 10,
    call: limit.execute(server.call),
    everySecond: (second) =>
      Effect.andThen(
        second === options.halveAt ? server.become(capacity / 2, 100) : Effect.void,
        Effect.map(limit.snapshot, ({ limit }) => limits.push(limit))
      )
  })
  return { limits, took }
})

const seeded = Random.withSeed("hidden server")

/** How many calls the algorithm lets wait at a server that works on 50. */
const queues: Record<string, number> = { vegas: 5, gradient: 2, gradient2: 2, aimd: 0 }

/** The capacity is 50, and the limit has room for the queue besides. */
const assertNear = (found: number, algorithm: string) => {
  const capacity = 50 + (queues[algorithm] ?? 0)
  assert.isAtLeast(found, capacity * 0.9)
  assert.isAtMost(found, capacity * 1.1)
}

/** The limits of the last `seconds`, without those lowered to measure the round trip without load. */
const settled = (limits: ReadonlyArray<number>, seconds: number) => HiddenServer.percentile(limits.slice(-seconds), 0.5)

const settle = Effect.repeat(Effect.yieldNow, { times: 4 })

describe("ConcurrencyLimit", () => {
  it.effect("rejects beyond the limit, at once, with what to do", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({ name: "search", algorithm: LimitAlgorithm.fixed(1) })
      const nested = yield* Effect.exit(limit.execute(limit.execute(Effect.void)))
      assert.deepStrictEqual(
        nested,
        Exit.fail(
          new ConcurrencyLimit.LimitReached({ policy: "search", limit: 1, priority: "default", reason: "LimitReached" })
        )
      )
      const error = yield* Effect.flip(limit.execute(limit.execute(Effect.void)))
      assert.deepStrictEqual(Recovery.of(error), Recovery.retryAs("overloaded"))
      assert.deepStrictEqual(yield* limit.snapshot, { limit: 1, running: 0, waiting: 0, rejected: 2 })
    }))

  it.effect("gives the place back whatever way a call ends", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make()
      for (const end of [Effect.void, Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        yield* Effect.exit(limit.execute(end))
      }
      const fiber = yield* Effect.forkChild(limit.execute(Effect.never), { startImmediately: true })
      assert.strictEqual((yield* limit.snapshot).running, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* limit.snapshot).running, 0)
    }))

  it.effect("learns nothing from errors that the server handled well, and from interruptions", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.aimd({ initial: 10 }) })
      for (let i = 0; i < 100; i++) {
        yield* Effect.exit(limit.execute(Effect.fail(ApiError.reasonFromStatus(404, {}))))
        yield* Effect.exit(limit.execute(Effect.interrupt))
        yield* TestClock.adjust("20 millis")
      }
      assert.strictEqual((yield* limit.snapshot).limit, 10)
      for (let i = 0; i < 10; i++) {
        yield* Effect.exit(limit.execute(Effect.fail(ApiError.reasonFromStatus(503, {}))))
        yield* TestClock.adjust("100 millis")
      }
      assert.isBelow((yield* limit.snapshot).limit, 8)
    }))

  it.effect("does not grow while it is hardly used", () =>
    Effect.gen(function*() {
      for (const algorithm of Object.values(algorithms)) {
        const limit = yield* ConcurrencyLimit.make({ algorithm })
        const call = limit.execute(Effect.sleep("10 millis"))
        for (let i = 0; i < 300; i++) {
          yield* Effect.forkChild(call, { startImmediately: true })
          yield* TestClock.adjust("10 millis")
        }
        assert.strictEqual((yield* limit.snapshot).limit, 20, nameOf(algorithm))
      }
    }))

  for (
    const algorithm of [
      LimitAlgorithm.vegas(),
      LimitAlgorithm.gradient(),
      LimitAlgorithm.gradient2(),
      LimitAlgorithm.aimd()
    ]
  ) {
    it.effect(
      `sends little to a server that only fails, from the first call on, with ${nameOf(algorithm)}`,
      () =>
        Effect.gen(function*() {
          yield* TestClock.adjust("1 hour")
          const limit = yield* ConcurrencyLimit.make({ algorithm })
          let sent = 0
          const call = limit.execute(Effect.suspend(() => {
            sent++
            return Effect.delay(Effect.fail(ApiError.reasonFromStatus(503, {})), 20)
          }))
          for (let turn = 0; turn < 1000; turn++) {
            for (let i = 0; i < 20; i++) yield* Effect.forkChild(Effect.ignore(call), { startImmediately: true })
            yield* TestClock.adjust(10)
          }
          // One at once, for 10 s, are 500. Without a limit 20,000 would come.
          assert.isBelow(sent, 1300)
          assert.strictEqual((yield* limit.snapshot).limit, 1)
        }).pipe(Random.withSeed("drops"))
    )
  }

  it.effect("shows its limit and what it rejected as metrics", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({ name: "search", algorithm: LimitAlgorithm.fixed(1) })
      yield* Effect.exit(limit.execute(limit.execute(Effect.void)))
      const gauge = Metric.withAttributes(ConcurrencyLimit.limitGauge, { "resilience.policy": "search" })
      const rejected = Metric.withAttributes(ConcurrencyLimit.rejectedTotal, {
        "resilience.policy": "search",
        "resilience.priority": "default"
      })
      assert.strictEqual((yield* Metric.value(gauge)).value, 1)
      assert.strictEqual((yield* Metric.value(rejected)).count, 1)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("makes no series for each key, and shows none in one", () =>
    Effect.gen(function*() {
      const limits = yield* ConcurrencyLimit.keyed({ name: "tenants", algorithm: LimitAlgorithm.fixed(1) })
      for (let tenant = 0; tenant < 100; tenant++) {
        const limit = limits.get(`tenant-${tenant}`)
        const { policy } = yield* Effect.flip(limit.execute(limit.execute(Effect.void)))
        assert.strictEqual(policy, `tenant-${tenant}`)
      }
      const series = yield* Metric.snapshot
      assert.deepStrictEqual(series.map(({ attributes, id }) => [id, attributes]), [
        ["resilience.limit.refusals", { "resilience.policy": "tenants", "resilience.priority": "default" }]
      ])
      assert.deepInclude(series[0]?.state, { count: 100 })
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  for (const [name, algorithm] of Object.entries(algorithms)) {
    for (const [kind, noise] of [["constant", 0], ["noisy", 0.2]] as const) {
      it.effect(`finds a hidden capacity within 10 % with ${name} under ${kind} latency`, () =>
        Effect.gen(function*() {
          const { limits } = yield* observe(algorithm, { seconds: 45, noise })
          assertNear(settled(limits, 20), name)
        }).pipe(seeded))
    }

    it.effect(`finds it again with ${name} when half of the server is gone`, () =>
      Effect.gen(function*() {
        const { limits } = yield* observe(algorithm, { seconds: 80, noise: 0.1, halveAt: 20 })
        assertNear(settled(limits, 15), name)
      }).pipe(seeded))
  }

  it.effect(
    "holds p99 within twice the unloaded one at three times the load, where a fixed limit does not",
    () =>
      Effect.gen(function*() {
        const noise = 0.2
        const p99 = (took: ReadonlyArray<{ readonly at: number; readonly millis: number }>) =>
          HiddenServer.percentile(took.filter(({ at }) => at > 15_000).map(({ millis }) => millis), 0.99)
        const unloaded = 100 * (1 + noise * 0.98)
        for (const algorithm of [algorithms.vegas, algorithms.gradient2, algorithms.gradient]) {
          const { took } = yield* observe(algorithm, { seconds: 40, noise })
          assert.isAtMost(p99(took), 2 * unloaded, nameOf(algorithm))
        }
        const { took } = yield* observe(LimitAlgorithm.fixed(200), { seconds: 40, noise })
        assert.isAbove(p99(took), 3 * unloaded)
      }).pipe(seeded)
  )

  it.effect("keeps a priority's share free at five times the load", () =>
    Effect.gen(function*() {
      const capacity = 50
      const server = yield* HiddenServer.make({ capacity, base: 100 })
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.vegas(),
        shares: { live: 0.3, batch: 0.1 }
      })
      const results = { live: { served: 0, rejected: 0 }, batch: { served: 0, rejected: 0 } }
      const send = (priority: "live" | "batch") =>
        Effect.matchCause(Priority.withPriority(limit.execute(server.call), priority), {
          onFailure: () => results[priority].rejected++,
          onSuccess: () => results[priority].served++
        })
      // Capacity is 10 calls in 20 ms. Live asks for 1, which is within its share; batch asks for 49.
      const step = Effect.gen(function*() {
        yield* Effect.forkChild(send("live"), { startImmediately: true })
        for (let i = 0; i < 49; i++) yield* Effect.forkChild(send("batch"), { startImmediately: true })
        yield* TestClock.adjust(20)
      })
      yield* Effect.repeat(step, { times: 1499 })
      assert.strictEqual(results.live.rejected, 0)
      assert.isAtLeast(results.batch.served, 0.7 * 500 * 30)
    }).pipe(seeded))

  it.effect("lets calls wait in a queue, the important ones first, and measures their round trips without the wait", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.aimd({ initial: 2, max: 2, timeout: "15 millis", window: "1 millis" }),
        queue: 3,
        priorities: ["live", "batch"]
      })
      const began: Array<string> = []
      const send = (name: string, priority: string) =>
        Effect.andThen(Effect.sync(() => began.push(name)), Effect.sleep("10 millis")).pipe(
          limit.execute.bind(limit),
          Priority.withPriority(priority),
          Effect.exit,
          Effect.forkChild({ startImmediately: true })
        )
      yield* send("first", "batch")
      yield* send("second", "batch")
      const waiting = []
      for (const name of ["a", "b", "c"]) waiting.push(yield* send(name, "batch"))
      yield* send("urgent", "live")
      const evicted = yield* Effect.flip(Effect.flatten(Fiber.join(waiting[2] ?? assert.fail("waits"))))
      assert.strictEqual(evicted.reason, "LimitReached")
      assert.deepStrictEqual(yield* limit.snapshot, { limit: 2, running: 2, waiting: 3, rejected: 1 })
      yield* TestClock.adjust("40 millis")
      assert.deepStrictEqual(began, ["first", "second", "urgent", "a", "b"])
      assert.deepStrictEqual(yield* limit.snapshot, { limit: 2, running: 0, waiting: 0, rejected: 1 })
    }))

  it.effect("rejects a call that waited too long, or would wait beyond its deadline", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.fixed(1),
        queue: 100,
        queueTimeout: "300 millis"
      })
      const call = limit.execute(Effect.sleep("10 millis"))
      const fibers = []
      for (let i = 0; i < 40; i++) {
        fibers.push(yield* Effect.forkChild(Effect.exit(call), { startImmediately: true }))
      }
      yield* TestClock.adjust("100 millis")
      const hurried = yield* Effect.flip(Deadline.withDeadline(call, "100 millis"))
      assert.isTrue(hurried._tag === "LimitReached" && hurried.reason === "Deadline")
      assert.deepStrictEqual(Recovery.of(hurried), Recovery.giveUp)
      assert.include(hurried.message, "has no room before the deadline of the call")
      yield* TestClock.adjust("400 millis")
      const late = yield* Effect.flip(Effect.flatten(Fiber.join(fibers[39] ?? assert.fail("waits"))))
      assert.strictEqual(late.reason, "QueueTimeout")
      assert.include(late.message, "had no room in time")
    }))

  it.effect.prop(
    "loses no permit and admits not one too many, wherever fibers that run, wait or hold for a scope yield and are interrupted",
    {
      seed: Schema.Int,
      operations: Schema.Literals([4, 5, 7, 8]),
      discipline: Schema.Literals(["fifo", "lifo", "codel"])
    },
    ({ discipline, operations, seed }) =>
      Effect.gen(function*() {
        const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.fixed(3), queue: 10, discipline })
        let running = 0
        const linger = Effect.flatMap(Random.nextIntBetween(0, 5), (times) =>
          times === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times }))
        const work = (weight: number) =>
          Effect.suspend(() => {
            running += weight
            assert.isAtMost(running, 3)
            return Effect.ensuring(
              linger,
              Effect.sync(() =>
                running -= weight
              )
            )
          })
        const caller = Effect.gen(function*() {
          const weight = yield* Random.nextIntBetween(1, 3)
          const calls = [
            limit.execute(work(1)),
            limit.withPermits(weight)(work(weight)),
            Effect.scoped(Effect.andThen(limit.acquire(weight), work(weight)))
          ]
          yield* linger
          return yield* Effect.exit(calls[yield* Random.nextIntBetween(0, 2)] ?? assert.fail("no such call"))
        })
        const fibers = yield* Effect.forEach(Array.from({ length: 40 }), () => Effect.forkChild(caller))
        for (const fiber of fibers) {
          yield* linger
          if ((yield* Random.next) < 0.5) yield* Effect.forkChild(Fiber.interrupt(fiber))
        }
        for (const exit of yield* Fiber.awaitAll(fibers)) {
          if (Exit.isSuccess(exit)) assert.isFalse(Exit.hasDies(exit.value))
        }
        yield* settle
        const { running: left, waiting } = yield* limit.snapshot
        assert.deepStrictEqual({ left, waiting }, { left: 0, waiting: 0 })
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations), Random.withSeed(seed)),
    { arbitrary: { runs: 100, seed: 16 } }
  )

  it.effect("rejects a call that is heavier than the limit, also one that waits while the limit goes down", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.aimd({ initial: 10, window: 0, backoffRatio: 0.5 }),
        queue: 10
      })
      const atOnce = yield* Effect.flip(limit.withPermits(11)(Effect.void))
      assert.deepStrictEqual([atOnce.reason, atOnce.limit], ["TooHeavy", 10])
      assert.include(atOnce.message, "is 10 calls at once, and the call takes more permits")
      assert.notDeepEqual(Recovery.of(atOnce), Recovery.giveUp)
      const gate = yield* Deferred.make<void>()
      const overloaded = Effect.andThen(Deferred.await(gate), Effect.fail(ApiError.reasonFromStatus(503, {})))
      for (let i = 0; i < 10; i++) {
        yield* Effect.forkChild(Effect.exit(limit.execute(overloaded)), { startImmediately: true })
      }
      const heavy = yield* Effect.forkChild(limit.withPermits(10)(Effect.void), { startImmediately: true })
      yield* Deferred.succeed(gate, undefined)
      const later = yield* Effect.flip(Fiber.join(heavy))
      assert.strictEqual(later.reason, "TooHeavy")
      assert.isBelow(later.limit, 10)
      assert.strictEqual(later.limit, (yield* limit.snapshot).limit)
      assert.throws(() => limit.withPermits(0), RangeError)
      assert.throws(() => limit.acquire(1.5), RangeError)
    }))

  it.effect("does not let light calls overtake a heavy one, but for those below their share", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.fixed(4),
        queue: 10,
        shares: { live: 0.25 }
      })
      const begun: Array<string> = []
      const held = yield* Scope.make()
      yield* Effect.provideService(limit.acquire(3), Scope.Scope, held)
      const note = (name: string) => Effect.andThen(Effect.sync(() => begun.push(name)), Effect.yieldNow)
      const heavy = yield* Effect.forkChild(limit.withPermits(4)(note("heavy")), { startImmediately: true })
      const light = yield* Effect.forkChild(limit.execute(note("light")), { startImmediately: true })
      yield* Priority.withPriority(limit.execute(note("live")), "live")
      yield* settle
      assert.deepStrictEqual(begun, ["live"])
      yield* Scope.close(held, Exit.void)
      yield* Fiber.join(heavy)
      yield* Fiber.join(light)
      assert.deepStrictEqual(begun, ["live", "heavy", "light"])
    }))

  it.effect("holds permits until a scope closes, also where the fiber that took them is interrupted", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.fixed(2) })
      const scope = yield* Scope.make()
      yield* Effect.provideService(limit.acquire(2), Scope.Scope, scope)
      assert.strictEqual((yield* limit.snapshot).running, 2)
      assert.strictEqual((yield* Effect.flip(Effect.scoped(limit.acquire()))).reason, "LimitReached")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* limit.snapshot).running, 0)
      const holder = yield* Effect.forkChild(Effect.scoped(Effect.andThen(limit.acquire(), Effect.never)), {
        startImmediately: true
      })
      assert.strictEqual((yield* limit.snapshot).running, 1)
      yield* Fiber.interrupt(holder)
      assert.strictEqual((yield* limit.snapshot).running, 0)
    }))

  it.effect("learns from calls of one permit, and nothing from several, or from those held for a scope", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.aimd({ initial: 10, window: 0, backoffRatio: 0.5 })
      })
      const overloaded = Effect.fail(ApiError.reasonFromStatus(503, {}))
      const limitNow = Effect.map(limit.snapshot, ({ limit }) => limit)
      for (let i = 0; i < 50; i++) {
        yield* Effect.exit(limit.withPermits(2)(overloaded))
        yield* Effect.exit(Effect.scoped(Effect.andThen(limit.acquire(), overloaded)))
      }
      assert.strictEqual(yield* limitNow, 10)
      for (let i = 0; i < 50; i++) yield* Effect.exit(limit.withPermits(1)(overloaded))
      assert.isBelow(yield* limitNow, 10)
    }))

  it.effect("goes on counting the calls that run and wait under other options", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.fixed(3),
        queue: 10,
        shares: { live: 0.5 }
      })
      const scope = yield* Scope.make()
      yield* Effect.provideService(limit.acquire(3), Scope.Scope, scope)
      const heavy = yield* Effect.forkChild(limit.withPermits(3)(Effect.void), { startImmediately: true })
      const light = yield* Effect.forkChild(limit.execute(Effect.void), { startImmediately: true })
      yield* limit.reload({ algorithm: LimitAlgorithm.fixed(2), queue: 1 })
      assert.strictEqual((yield* Effect.flip(Fiber.join(heavy))).reason, "TooHeavy")
      assert.deepStrictEqual(yield* limit.snapshot, { limit: 2, running: 3, waiting: 1, rejected: 1 })
      const live = Priority.withPriority(limit.execute(Effect.void), "live")
      assert.strictEqual((yield* Effect.flip(live)).reason, "LimitReached")
      yield* limit.reload({ algorithm: LimitAlgorithm.fixed(4) })
      yield* Fiber.join(light)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* limit.snapshot, { limit: 4, running: 0, waiting: 0, rejected: 2 })
      assert.throws(() => limit.reload({ queue: -1 }), RangeError)
    }))

  it.effect("lets a waiting call below its share begin, though there is no room for the first in the queue", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.fixed(10),
        queue: 10,
        shares: { live: 0.5, ops: 0.1 }
      })
      const begun: Array<string> = []
      const call = (priority: string, name: string, gate: Deferred.Deferred<void>) =>
        Effect.forkChild(
          limit.execute(Effect.andThen(Effect.sync(() => begun.push(name)), Deferred.await(gate))).pipe(
            Priority.withPriority(priority)
          ),
          { startImmediately: true }
        )
      const [first, others] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      yield* call("live", "live 1", first)
      for (let i = 2; i <= 5; i++) yield* call("live", `live ${i}`, others)
      for (let i = 1; i <= 5; i++) yield* call("batch", `batch ${i}`, others)
      yield* call("ops", "ops", others)
      yield* call("batch", "batch that waits", others)
      yield* call("live", "live that waits", others)
      assert.strictEqual((yield* limit.snapshot).running, 11)

      yield* Deferred.succeed(first, undefined)
      yield* Effect.yieldNow
      assert.strictEqual(begun.at(-1), "live that waits")
      const { running, waiting } = yield* limit.snapshot
      assert.deepStrictEqual({ running, waiting }, { running: 11, waiting: 1 })
      yield* Deferred.succeed(others, undefined)
    }))

  it.effect("serves the calls that wait where `classify` throws", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.fixed(1),
        queue: 1,
        classify: () => {
          throw new Error("no such status")
        }
      })
      const calls = yield* Effect.forkChild(
        Effect.all([limit.execute(Effect.sleep(10)), limit.execute(Effect.sleep(10))].map(Effect.exit), {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust(20)
      assert.deepStrictEqual((yield* Fiber.join(calls)).map(Exit.hasDies), [true, true])
      assert.strictEqual((yield* limit.snapshot).running, 0)
    }))

  it.effect("never lets more than the limit run, except for those below their share", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({ algorithm: LimitAlgorithm.fixed(10), shares: { live: 0.3 } })
      const gate = yield* Deferred.make<void>()
      const admitted = { live: 0, batch: 0 }
      const send = (priority: "live" | "batch") =>
        Effect.andThen(Effect.sync(() => admitted[priority]++), Deferred.await(gate)).pipe(
          limit.execute.bind(limit),
          Priority.withPriority(priority),
          Effect.exit,
          Effect.forkChild({ startImmediately: true })
        )
      for (let i = 0; i < 20; i++) yield* send("batch")
      for (let i = 0; i < 20; i++) yield* send("live")
      assert.deepStrictEqual(admitted, { live: 3, batch: 10 })
      yield* Deferred.succeed(gate, undefined)
    }))

  it.effect.prop(
    "stays between its bounds whatever the samples",
    {
      name: Schema.Literals(["aimd", "vegas", "gradient2", "gradient"]),
      samples: Schema.Array(Schema.Tuple([
        Schema.Literals([0, 1, 10, 500, 10_000]),
        Schema.Literals([0, 0.001, 5, 100, 60_000]),
        Schema.Literals([1, 20, 1000]),
        Schema.Boolean
      ])).check(Schema.isMaxLength(300))
    },
    ({ name, samples }) =>
      Effect.sync(() => {
        const estimator = LimitAlgorithm.start(constructors[name]({ min: 2, initial: 20, max: 40 }))
        let now = 0
        for (const [wait, rttMillis, inFlight, dropped] of samples) {
          now += wait
          estimator.record({ nowMillis: now, rttMillis, inFlight, dropped, random: () => 0.5 })
          assert.isTrue(Number.isInteger(estimator.limit))
          assert.isTrue(estimator.limit >= 2 && estimator.limit <= 40, String(estimator.limit))
        }
      }),
    { arbitrary: { runs: 200, seed: 6, size: 300 } }
  )

  it.effect("takes a round trip as long as the timeout of aimd for a good one, and a longer one for a drop", () =>
    Effect.gen(function*() {
      const limit = yield* ConcurrencyLimit.make({
        algorithm: LimitAlgorithm.aimd({ initial: 10, window: 0, backoffRatio: 0.5, timeout: "1 second" })
      })
      const call = (millis: number) =>
        Effect.gen(function*() {
          const running = yield* Effect.forkChild(limit.execute(Effect.sleep(millis)), { startImmediately: true })
          yield* TestClock.adjust(millis)
          yield* Fiber.join(running)
          return (yield* limit.snapshot).limit
        })
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* call(1_000), 10)
      assert.strictEqual(yield* call(1_001), 5)
    }))

  it("rejects options that make no sense where they are written", () => {
    assert.throws(() => ConcurrencyLimit.make({ shares: { live: 0.7, batch: 0.5 } }), RangeError)
    assert.throws(() => ConcurrencyLimit.make({ shares: { live: 0 } }), RangeError)
    assert.throws(() => LimitAlgorithm.fixed(0), RangeError)
    assert.throws(() => LimitAlgorithm.vegas({ min: 10, max: 5 }), RangeError)
    assert.throws(() => LimitAlgorithm.aimd({ backoffRatio: 1 }), RangeError)
  })
})
