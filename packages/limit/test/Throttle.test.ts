import { ApiError, Recovery } from "@effect-resilience/errors"
import { Priority, Rejection, Throttle } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import { probabilities } from "./published/throttle.ts"

const none = { requests: 0, accepts: 0, inFlight: 0, probability: 0, rejected: 0 }

const unavailable = Effect.fail(ApiError.reasonFromStatus(503, {}))

describe("Throttle", () => {
  for (const { options, source, vectors } of probabilities) {
    it.effect(`rejects with the probability of ${source}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 hour")
        for (const [requests, accepts, probability] of vectors) {
          const throttle = yield* Throttle.make({ ...options, minimumCalls: 0 })
          // The accepted ones first, since nothing is rejected before the first failure.
          const admitted = yield* Effect.forEach(
            Array.from({ length: requests }),
            () => Effect.withFiber((fiber) => Effect.succeed(throttle.admitUnsafe?.(fiber)))
          )
          admitted.forEach((admission, index) => admission?.(index < accepts ? Exit.void : Exit.fail("503")))
          const snapshot = yield* throttle.snapshot
          assert.strictEqual(snapshot.requests, requests)
          assert.strictEqual(snapshot.accepts, accepts)
          assert.approximately(snapshot.probability, probability, 1e-12)
        }
      }))
  }

  it.effect("counts what it rejects itself, so that it rejects nearly all while nothing is accepted", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make({ maxProbability: 1, minimumCalls: 0 })
      let sent = 0
      const call = Effect.andThen(Effect.sync(() => sent++), unavailable)
      for (let i = 0; i < 10_000; i++) yield* Effect.exit(throttle.execute(call))
      // The harmonic numbers: about ln 10,000 calls get through.
      assert.isBelow(sent, 30)
      assert.isAbove(sent, 3)
    }).pipe(Random.withSeed("throttle")))

  it.effect("sends about k times what the server takes", () =>
    Effect.gen(function*() {
      for (const k of [1.5, 2, 3]) {
        const throttle = yield* Throttle.make({ k, maxProbability: 1, window: "2 minutes" })
        let sent = 0
        let taken = 0
        for (let second = 0; second < 1000; second++) {
          // Twenty requests a second reach for a server that takes two.
          let room = 2
          const call = Effect.suspend(() => {
            sent++
            if (room-- <= 0) return unavailable
            taken++
            return Effect.void
          })
          for (let i = 0; i < 20; i++) yield* Effect.exit(throttle.execute(call))
          yield* TestClock.adjust("1 second")
        }
        assert.approximately(sent / taken, k, 0.2)
      }
    }).pipe(Random.withSeed("throttle")))

  it.effect("rejects as many as its probability says, to the last draw", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      for (const maxProbability of [0.25, 0.5, 0.875]) {
        const throttle = yield* Throttle.make({ maxProbability })
        for (let i = 0; i < 10; i++) yield* Effect.exit(throttle.execute(unavailable))
        let rejected = 0
        for (let i = 0; i < 8; i++) {
          const call = Effect.provideService(throttle.execute(unavailable), Random.Random, {
            nextDoubleUnsafe: () => i / 8,
            nextIntUnsafe: () => 0
          })
          if ((yield* Effect.flip(call))._tag === "Throttled") rejected++
        }
        assert.strictEqual(rejected, 8 * maxProbability)
      }
    }))

  it.effect("rejects nothing before the minimum of calls", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      for (let i = 0; i < 9; i++) yield* Effect.exit(throttle.execute(unavailable))
      assert.strictEqual((yield* throttle.snapshot).probability, 0)
      yield* Effect.exit(throttle.execute(unavailable))
      assert.strictEqual((yield* throttle.snapshot).probability, 0.8)
    }))

  for (const perSecond of [2, 10, 100]) {
    for (const down of [10, 120]) {
      it.effect(
        `lets ${perSecond} calls a second pass again within 20 s, after ${down} s without a server`,
        () =>
          Effect.gen(function*() {
            yield* TestClock.adjust("1 hour")
            const throttle = yield* Throttle.make()
            const second = (call: Effect.Effect<void, unknown>) =>
              Effect.gen(function*() {
                let passed = 0
                for (let i = 0; i < perSecond; i++) {
                  if (Exit.isSuccess(yield* Effect.exit(throttle.execute(call)))) passed++
                  yield* TestClock.adjust(1000 / perSecond)
                }
                return passed
              })
            for (let i = 0; i < down; i++) yield* second(unavailable)
            for (let i = 0; i < 20; i++) yield* second(Effect.void)
            let passed = 0
            for (let i = 0; i < 10; i++) passed += yield* second(Effect.void)
            assert.isAtLeast(passed, 0.95 * 10 * perSecond)
          }).pipe(Random.withSeed(perSecond * down))
      )
    }
  }

  it.effect("forgets what lies beyond its window", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      for (let i = 0; i < 100; i++) yield* Effect.exit(throttle.execute(unavailable))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* throttle.snapshot).probability, 0.8)
      const { rejected } = yield* throttle.snapshot
      assert.isAbove(rejected, 0)
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* throttle.snapshot, { requests: 0, accepts: 0, probability: 0 })
    }))

  it.effect("takes a 404 for accepted, and does not count an interruption", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make()
      yield* Effect.exit(throttle.execute(Effect.fail(ApiError.reasonFromStatus(404, {}))))
      yield* Effect.exit(throttle.execute(Effect.interrupt))
      assert.deepStrictEqual(yield* throttle.snapshot, { ...none, requests: 1, accepts: 1 })
    }))

  describe("with calls under way", () => {
    /** A server that takes 300 ms, and then falls silent. Its callers wait for 30 seconds. */
    const silent = (perSecond: number) =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 day")
        const throttle = yield* Throttle.make()
        const second = (call: Effect.Effect<void, unknown>) =>
          Effect.gen(function*() {
            for (let i = 0; i < perSecond; i++) {
              yield* Effect.forkChild(Effect.exit(throttle.execute(call)), { startImmediately: true })
              yield* TestClock.adjust(1000 / perSecond)
            }
            return yield* throttle.snapshot
          })
        for (let i = 0; i < 20; i++) assert.strictEqual((yield* second(Effect.sleep("300 millis"))).probability, 0)
        const seen: Array<number> = []
        const call = Effect.andThen(Effect.sleep("30 seconds"), unavailable)
        for (let i = 0; i < 12; i++) seen.push((yield* second(call)).probability)
        return seen
      }).pipe(Random.withSeed(perSecond))

    for (const perSecond of [5, 20, 100]) {
      it.effect(`notices a server that falls silent before its ${perSecond} calls a second time out`, () =>
        Effect.gen(function*() {
          const seen = yield* silent(perSecond)
          // Half of the window without a response are needed, for what it accepted before counts twice.
          assert.deepStrictEqual(seen.slice(0, 5), [0, 0, 0, 0, 0])
          assert.isAbove(seen[6] ?? 0, 0)
          assert.strictEqual(seen[11], 0.8)
        }))
    }

    it.effect("counts a call from its beginning", () =>
      Effect.gen(function*() {
        const throttle = yield* Throttle.make()
        const calls = yield* Effect.forEach(
          Array.from({ length: 3 }),
          () => Effect.forkChild(throttle.execute(Effect.never), { startImmediately: true })
        )
        assert.deepStrictEqual(yield* throttle.snapshot, { ...none, requests: 3, inFlight: 3 })
        yield* Fiber.interruptAll(calls)
        assert.deepStrictEqual(yield* throttle.snapshot, none)
      }))

    it.effect("rejects none of a thousand calls at once to a server that is well, however slow it is", () =>
      Effect.gen(function*() {
        for (const wait of ["20 millis", "5 seconds", "40 seconds"] as const) {
          const throttle = yield* Throttle.make()
          for (let round = 0; round < 3; round++) {
            const calls = yield* Effect.forEach(
              Array.from({ length: 1000 }),
              () => Effect.forkChild(Effect.exit(throttle.execute(Effect.sleep(wait))), { startImmediately: true })
            )
            yield* TestClock.adjust(wait)
            for (const call of calls) assert.deepStrictEqual(yield* Fiber.join(call), Exit.void)
            yield* TestClock.adjust("7 seconds")
          }
        }
      }))

    it.effect("rejects nothing where a server becomes slower within the time limit", () =>
      Effect.gen(function*() {
        const throttle = yield* Throttle.make()
        for (let i = 0; i < 600; i++) {
          yield* Effect.forkChild(throttle.execute(Effect.sleep(i < 300 ? "100 millis" : "3 seconds")), {
            startImmediately: true
          })
          yield* TestClock.adjust("50 millis")
          assert.strictEqual((yield* throttle.snapshot).probability, 0)
        }
      }))

    it.effect("counts neither the losers of a hedge nor calls that their callers give up", () =>
      Effect.gen(function*() {
        const throttle = yield* Throttle.make()
        for (let i = 0; i < 100; i++) {
          const hedged = Effect.race(throttle.execute(Effect.never), throttle.execute(Effect.sleep("10 millis")))
          const call = yield* Effect.forkChild(hedged, { startImmediately: true })
          yield* TestClock.adjust("10 millis")
          yield* Fiber.join(call)
        }
        assert.deepStrictEqual(yield* throttle.snapshot, { ...none, requests: 100, accepts: 100 })
      }))

    it.effect.prop(
      "counts as a list of all calls does, whatever ends and is interrupted when",
      {
        steps: Schema.Array(Schema.Tuple([
          Schema.Literals(["begin", "accept", "fail", "interrupt", "wait"]),
          Schema.Literals([0, 1, 2, 3, 5, 9, 14])
        ])).check(Schema.isMinLength(40), Schema.isMaxLength(80))
      },
      ({ steps }) =>
        Effect.gen(function*() {
          yield* TestClock.adjust("1 hour")
          const throttle = yield* Throttle.make({ minimumCalls: 3, window: "10 seconds" })
          const calls: Array<
            { began: number; ended: number; accepted: boolean; end: (exit: Exit.Exit<void, string>) => void }
          > = []
          let now = 0
          // The longest time that an accepted call of late took, second by second; where there are none, that of the last ones.
          let patience = Infinity
          let patienceAt = 0
          for (const [what, which] of steps) {
            const running = calls.filter((call) => call.ended === Infinity)
            const call = running[which % Math.max(1, running.length)]
            if (what === "wait") {
              now += which * 700
              yield* TestClock.adjust(which * 700)
            } else if (what === "begin") {
              const admission = yield* Effect.withFiber((fiber) => Effect.succeed(throttle.admitUnsafe?.(fiber)))
              if (admission !== undefined) calls.push({ began: now, ended: Infinity, accepted: false, end: admission })
            } else if (call !== undefined) {
              call.end(what === "accept" ? Exit.void : what === "fail" ? Exit.fail("503") : Exit.interrupt())
              if (what === "interrupt") calls.splice(calls.indexOf(call), 1)
              else Object.assign(call, { ended: now, accepted: what === "accept" })
              const took = now - call.began
              if (what === "accept") patience = patience === Infinity ? took : Math.max(patience, took)
            }
            // Slices of a second, the present one and nine before it.
            const recent = (at: number) => Math.floor(at / 1000) > Math.floor(now / 1000) - 10
            const ended = calls.filter(({ ended }) => ended <= now && recent(ended))
            const underWay = calls.filter(({ began, ended }) => ended === Infinity && recent(began))
            const inFlight = underWay.length
            const snapshot = yield* throttle.snapshot
            assert.deepStrictEqual({ ...snapshot, probability: 0, rejected: 0 }, {
              ...none,
              requests: ended.length + inFlight,
              accepts: ended.filter(({ accepted }) => accepted).length,
              inFlight
            })
            for (; patienceAt < Math.floor(now / 1000); patienceAt++) {
              const slowest = Math.max(
                0,
                ...calls.flatMap(({ accepted, began, ended }) =>
                  accepted && Math.floor(ended / 1000) > patienceAt + 1 - 10 ? [ended - began] : []
                )
              )
              if (slowest > 0) patience = slowest
            }
            const late = underWay.filter(({ began }) => Math.floor(began / 1000) < Math.floor((now - patience) / 1000))
            const requests = ended.length + late.length
            const share = requests < 3 ? 0 : (requests - 2 * snapshot.accepts) / (requests + 1)
            assert.strictEqual(snapshot.probability, Math.min(0.8, Math.max(0, share)))
          }
        }).pipe(Effect.provide(TestClock.layer())),
      { arbitrary: { runs: 200, seed: 16 } }
    )
  })

  describe("with priorities", () => {
    const priorities = ["live", "default", "batch"]

    /** Rejections by priority, where the server takes so many of ten calls. */
    const rejected = (accepts: number, mix: Readonly<Record<string, number>>) =>
      Effect.gen(function*() {
        const throttle = yield* Throttle.make({ priorities, window: "10 seconds" })
        const calls = Object.entries(mix).flatMap(([name, count]) => Array.from({ length: count }, () => name))
        const counts: Record<string, number> = {}
        let rejections = 0
        for (let second = 0; second < 120; second++) {
          let room = accepts * 10
          const call = Effect.suspend(() => room-- > 0 ? Effect.void : unavailable)
          for (let round = 0; round < 10; round++) {
            for (const name of calls) {
              const error = yield* Effect.flip(Priority.withPriority(throttle.execute(call), name)).pipe(
                Effect.catch(() => Effect.void)
              )
              if (second < 20 || !Rejection.isRejection(error)) continue
              counts[name] = (counts[name] ?? 0) + 1
              rejections++
            }
          }
          yield* TestClock.adjust("1 second")
        }
        const share = (name: string) => (counts[name] ?? 0) / (1000 * (mix[name] ?? 1))
        return { live: share("live"), default: share("default"), batch: share("batch"), all: rejections / 10_000 }
      }).pipe(Random.withSeed("priorities"))

    it.effect("rejects the least important calls first, and no more of all than without priorities", () =>
      Effect.gen(function*() {
        // Three of ten are taken: two times as many may be sent, four of ten are rejected.
        const shares = yield* rejected(3, { live: 2, default: 4, batch: 4 })
        assert.approximately(shares.all, 0.4, 0.03)
        assert.isAbove(shares.batch, 0.93)
        assert.isBelow(shares.default, 0.05)
        assert.strictEqual(shares.live, 0)
      }))

    it.effect("goes to the next class where the last one is spent", () =>
      Effect.gen(function*() {
        const shares = yield* rejected(2, { live: 4, default: 4, batch: 2 })
        assert.approximately(shares.all, 0.6, 0.04)
        assert.isAbove(shares.batch, 0.97)
        assert.isAbove(shares.default, 0.9)
        assert.isBelow(shares.live, 0.1)
      }))

    it.effect("rejects the most important class up to the cap, and none of it while the others suffice", () =>
      Effect.gen(function*() {
        const shares = yield* rejected(0, { live: 10 })
        assert.approximately(shares.live, 0.8, 0.02)
        const mixed = yield* rejected(0, { live: 1, batch: 9 })
        assert.isBelow(mixed.live, 0.02)
        assert.approximately(mixed.all, 0.8, 0.02)
      }))

    it.effect("takes a priority that is not listed for the last", () =>
      Effect.gen(function*() {
        const throttle = yield* Throttle.make({ priorities: ["live", "batch"] })
        for (let i = 0; i < 100; i++) {
          yield* Effect.exit(Priority.withPriority(throttle.execute(unavailable), "live"))
          yield* Effect.exit(throttle.execute(unavailable))
        }
        assert.strictEqual((yield* Effect.flip(throttle.execute(Effect.void)))._tag, "Throttled")
      }).pipe(Random.withSeed("unlisted")))
  })

  it.effect("rejects with an error that says to try again and that nothing was asked", () =>
    Effect.gen(function*() {
      const throttle = yield* Throttle.make({ name: "search" })
      for (let i = 0; i < 100; i++) yield* Effect.exit(throttle.execute(unavailable))
      const error = yield* Effect.flip(throttle.execute(Effect.void))
      assert.deepStrictEqual(error, new Throttle.Throttled({ policy: "search" }))
      assert.deepStrictEqual(Recovery.of(error), Recovery.retryAs("overloaded"))
      assert.isTrue(Rejection.isRejection(error))
    }).pipe(Random.withSeed("throttle")))

  it.effect("is provided by a layer, or by one that rejects nothing, and by key", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const throttle = yield* Throttle.Throttle
        for (let i = 0; i < 50; i++) yield* Effect.exit(Throttle.withThrottle(unavailable, throttle))
        return (yield* throttle.snapshot).probability > 0
      })
      assert.isTrue(yield* Effect.provide(program, Throttle.layer()))
      assert.isFalse(yield* Effect.provide(program, Throttle.layerNoop))
      const servers = yield* Throttle.keyed()
      for (let i = 0; i < 50; i++) yield* Effect.exit(servers.get("bad").execute(unavailable))
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(servers.get("good").execute(Effect.void))))
    }))

  it("rejects options that make no sense where they are written", () => {
    assert.throws(() => Throttle.make({ k: 0.5 }), RangeError)
    assert.throws(() => Throttle.make({ window: "1 millis" }), RangeError)
    assert.throws(() => Throttle.keyed({ capacity: 0 }), RangeError)
  })
})
