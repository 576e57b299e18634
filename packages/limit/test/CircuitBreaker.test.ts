import { ApiError, Recovery } from "@effect-resilience/errors"
import { Bulkhead, CircuitBreaker, Outcome } from "@effect-resilience/limit"
import { Backoff } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Data,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Random,
  Scheduler,
  Schema,
  Stream
} from "effect"
import { TestClock } from "effect/testing"

class Failure extends Data.TaggedError("Failure")<{ readonly recovery: Recovery.Recovery }> {
  [Recovery.symbol]() {
    return this.recovery
  }
}

const transient = Effect.fail(new Failure({ recovery: Recovery.retry }))

const fail = (breaker: CircuitBreaker.CircuitBreaker) => Effect.exit(breaker.execute(transient))

const succeed = (breaker: CircuitBreaker.CircuitBreaker) => Effect.exit(breaker.execute(Effect.void))

const stateOf = (breaker: CircuitBreaker.CircuitBreaker) => Effect.map(breaker.snapshot, (state) => state._tag)

const tripped = Effect.fnUntraced(function*(options?: CircuitBreaker.Options) {
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(1),
    openDuration: "1 second",
    ...options
  })
  yield* fail(breaker)
  return breaker
})

/** Starts a call that ends when told to. */
const start = Effect.fnUntraced(function*(breaker: CircuitBreaker.CircuitBreaker) {
  const gate = yield* Deferred.make<void, Failure>()
  const fiber = yield* Effect.forkChild(breaker.execute(Deferred.await(gate)), { startImmediately: true })
  return { fiber, gate }
})

describe("CircuitBreaker", () => {
  it.effect("rejects with the rest of the open time, and says so in its recovery", () =>
    Effect.gen(function*() {
      const breaker = yield* tripped({ name: "ledger", openDuration: "10 seconds" })
      yield* TestClock.adjust("4 seconds")
      const rejected = yield* Effect.flip(breaker.execute(Effect.void))
      assert.deepStrictEqual(
        rejected,
        new CircuitBreaker.CircuitOpen({
          policy: "ledger",
          state: "Open",
          retryAfter: Duration.seconds(6)
        })
      )
      assert.deepStrictEqual(Recovery.of(rejected), Recovery.retryAfter("6 seconds"))
    }))

  it.effect("does not take a 404, a missing permission or a full bulkhead for a failure of the server", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      const full = Effect.succeed(1).pipe(Bulkhead.withBulkhead(bulkhead), breaker.execute.bind(breaker))
      yield* Effect.exit(breaker.execute(Effect.fail(ApiError.reasonFromStatus(404, {}))))
      yield* Effect.exit(breaker.execute(Effect.fail(ApiError.reasonFromStatus(403, {}))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(bulkhead.execute(full))))
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* Effect.exit(breaker.execute(Effect.fail(ApiError.reasonFromStatus(503, {}))))
      assert.strictEqual(yield* stateOf(breaker), "Open")
    }))

  it.effect("takes errors without a recovery and defects for failures, an interruption for nothing", () =>
    Effect.gen(function*() {
      for (const bad of [Effect.fail("no"), Effect.die("no")]) {
        const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
        yield* Effect.exit(breaker.execute(bad))
        assert.strictEqual(yield* stateOf(breaker), "Open")
      }
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      yield* Effect.exit(breaker.execute(Effect.interrupt))
      const { fiber } = yield* start(breaker)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("stays open as long as the server asked for, within the cap", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second",
        maxOpenDuration: "1 minute"
      })
      for (const [asked, held] of [["20 seconds", 20_000], ["1 hour", 60_000], ["1 millis", 1000]] as const) {
        yield* breaker.reset
        yield* Effect.exit(breaker.execute(Effect.fail(new Failure({ recovery: Recovery.retryAfter(asked) }))))
        const state = yield* breaker.snapshot
        assert.strictEqual(state._tag === "Open" && Duration.toMillis(state.retryAfter), held)
      }
    }))

  it.effect("opens longer each time in a row, and starts over after a stable time", () =>
    Effect.gen(function*() {
      const breaker = yield* tripped({
        openDuration: Backoff.exponential({ base: "1 second", cap: "1 minute", jitter: "none" })
      })
      yield* TestClock.adjust("1 second")
      yield* fail(breaker)
      const second = yield* breaker.snapshot
      assert.strictEqual(second._tag === "Open" && Duration.toMillis(second.retryAfter), 2000)
      yield* TestClock.adjust("2 seconds")
      yield* succeed(breaker)
      yield* TestClock.adjust("1 second")
      yield* fail(breaker)
      const third = yield* breaker.snapshot
      assert.strictEqual(third._tag === "Open" && third.consecutiveOpenings, 3)
      assert.strictEqual(third._tag === "Open" && Duration.toMillis(third.retryAfter), 4000)
      yield* TestClock.adjust("4 seconds")
      yield* succeed(breaker)
      yield* TestClock.adjust("4 seconds")
      yield* fail(breaker)
      const fourth = yield* breaker.snapshot
      assert.strictEqual(fourth._tag === "Open" && fourth.consecutiveOpenings, 1)
    }))

  it.effect("draws its jitter from the seed", () =>
    Effect.gen(function*() {
      const openings = Effect.gen(function*() {
        const breaker = yield* tripped({
          openDuration: Backoff.exponential({ base: "1 second", cap: "1 hour", jitter: "full" })
        })
        const state = yield* breaker.snapshot
        return state._tag === "Open" ? Duration.toMillis(state.retryAfter) : -1
      })
      const one = yield* Random.withSeed(openings, "one")
      assert.strictEqual(yield* Random.withSeed(openings, "one"), one)
      assert.notStrictEqual(yield* Random.withSeed(openings, "two"), one)
    }))

  it.effect("closes only when all its probes have succeeded", () =>
    Effect.gen(function*() {
      const breaker = yield* tripped({ probes: 2 })
      yield* TestClock.adjust("1 second")
      const one = yield* start(breaker)
      const two = yield* start(breaker)
      const rejected = yield* Effect.flip(breaker.execute(Effect.void))
      assert.strictEqual(rejected.state, "HalfOpen")
      yield* Deferred.succeed(one.gate, undefined)
      yield* Fiber.join(one.fiber)
      assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
      yield* Deferred.succeed(two.gate, undefined)
      yield* Fiber.join(two.fiber)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("gives the place of an interrupted probe to another", () =>
    Effect.gen(function*() {
      const breaker = yield* tripped()
      yield* TestClock.adjust("1 second")
      const probe = yield* start(breaker)
      assert.isTrue(Exit.isFailure(yield* succeed(breaker)))
      yield* Fiber.interrupt(probe.fiber)
      assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
      yield* succeed(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("is not kept half-open by a probe that never ends", () =>
    Effect.gen(function*() {
      const breaker = yield* tripped({ probeLease: "30 seconds" })
      yield* TestClock.adjust("1 second")
      const hanging = yield* start(breaker)
      yield* TestClock.adjust("29 seconds")
      assert.isTrue(Exit.isFailure(yield* succeed(breaker)))
      yield* TestClock.adjust("1 second")
      yield* succeed(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* Deferred.fail(hanging.gate, new Failure({ recovery: Recovery.retry }))
      yield* Fiber.await(hanging.fiber)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("ignores what a call reports that an earlier generation admitted", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second"
      })
      const late = yield* start(breaker)
      const lateSuccess = yield* start(breaker)
      yield* fail(breaker)
      yield* TestClock.adjust("1 second")
      const probe = yield* start(breaker)
      yield* Deferred.succeed(lateSuccess.gate, undefined)
      yield* Fiber.join(lateSuccess.fiber)
      assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
      yield* Deferred.succeed(probe.gate, undefined)
      yield* Fiber.join(probe.fiber)
      yield* Deferred.fail(late.gate, new Failure({ recovery: Recovery.retry }))
      yield* Fiber.await(late.fiber)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("does not count a failure towards the next opening that an earlier generation admitted", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(2),
        openDuration: "1 second"
      })
      const late = yield* start(breaker)
      yield* fail(breaker)
      yield* fail(breaker)
      yield* TestClock.adjust("1 second")
      yield* succeed(breaker)
      yield* Deferred.fail(late.gate, new Failure({ recovery: Recovery.retry }))
      yield* Fiber.await(late.fiber)
      yield* fail(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("opens when too many calls are slow, though they succeed", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.slow({ slowerThan: "1 second", size: 4, minimumCalls: 2 })
      })
      for (const took of ["1 second", "2 seconds"] as const) {
        const call = yield* Effect.forkChild(breaker.execute(Effect.sleep(took)), { startImmediately: true })
        assert.strictEqual(yield* stateOf(breaker), "Closed")
        yield* TestClock.adjust(took)
        yield* Fiber.join(call)
      }
      assert.strictEqual(yield* stateOf(breaker), "Open")
    }))

  it.effect("opens on whichever of several policies is met first", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: [CircuitBreaker.consecutive(3), CircuitBreaker.rate({ size: 4, threshold: 0.5 })]
      })
      yield* fail(breaker)
      yield* succeed(breaker)
      yield* fail(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* succeed(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Open")
    }))

  it.effect("is isolated by hand until its reset", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make()
      yield* breaker.isolate
      yield* TestClock.adjust("1 day")
      const rejected = yield* Effect.flip(breaker.execute(Effect.void))
      assert.strictEqual(rejected.state, "Isolated")
      assert.deepStrictEqual(Recovery.of(rejected), Recovery.giveUp)
      yield* breaker.reset
      assert.isTrue(Exit.isSuccess(yield* succeed(breaker)))
    }))

  it.effect("asks a classifier of its own, for successes too", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        classify: (exit) => Exit.isSuccess(exit) && exit.value === "degraded" ? Outcome.failure() : Outcome.success
      })
      yield* fail(breaker)
      yield* breaker.execute(Effect.succeed("fine"))
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      assert.strictEqual(yield* breaker.execute(Effect.succeed("degraded")), "degraded")
      assert.strictEqual(yield* stateOf(breaker), "Open")
    }))

  it.effect("frees the place of a probe whose classifier dies", () =>
    Effect.gen(function*() {
      let broken = false
      const breaker = yield* tripped({
        classify: (exit) => {
          if (broken) throw new Error("broken classifier")
          return Outcome.of(exit)
        }
      })
      yield* TestClock.adjust("1 second")
      broken = true
      const exit = yield* Effect.exit(breaker.execute(Effect.void))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      broken = false
      yield* succeed(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("streams its transitions and counts them", () =>
    Effect.gen(function*() {
      const breakers = yield* CircuitBreaker.keyed({
        name: "tenants",
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second"
      })
      const watch = (self: CircuitBreaker.CircuitBreaker | CircuitBreaker.KeyedCircuitBreaker, count: number) =>
        CircuitBreaker.transitions(self).pipe(
          Stream.take(count),
          Stream.map(({ from, policy, to }) => `${policy}: ${from} ${to}`),
          Stream.runCollect,
          Effect.forkChild({ startImmediately: true })
        )
      const all = yield* watch(breakers, 4)
      const acme = yield* watch(breakers.get("acme"), 3)
      yield* Effect.yieldNow
      yield* fail(breakers.get("acme"))
      yield* fail(breakers.get("globex"))
      yield* TestClock.adjust("1 second")
      yield* succeed(breakers.get("acme"))
      const expected = ["acme: Closed Open", "acme: Open HalfOpen", "acme: HalfOpen Closed"]
      assert.deepStrictEqual(yield* Fiber.join(acme), expected)
      assert.deepStrictEqual(yield* Fiber.join(all), [expected[0], "globex: Closed Open", ...expected.slice(1)])
      const opened = Metric.withAttributes(
        CircuitBreaker.transitionsTotal,
        { "resilience.policy": "tenants", "resilience.from": "Closed", "resilience.to": "Open" }
      )
      assert.strictEqual((yield* Metric.value(opened)).count, 2)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("keeps one circuit for each key among those used last, open or not", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breakers = yield* CircuitBreaker.keyed({ tripPolicy: CircuitBreaker.consecutive(1), capacity: 10 })
      yield* fail(breakers.get("bad"))
      for (let i = 0; i < 9; i++) yield* succeed(breakers.get(`good ${i}`))
      assert.strictEqual(yield* stateOf(breakers.get("bad")), "Open")
      for (let i = 0; i < 1000; i++) {
        yield* fail(breakers.get(`bad ${i}`))
        assert.isAtMost(breakers.size, 20)
      }
      assert.strictEqual(yield* stateOf(breakers.get("bad")), "Closed")
    }))

  it.effect("never forgets a circuit that is isolated or that a probe is testing", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breakers = yield* CircuitBreaker.keyed({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second",
        capacity: 10
      })
      yield* breakers.get("isolated").isolate
      yield* fail(breakers.get("probing"))
      yield* TestClock.adjust("1 second")
      const probe = yield* Effect.forkChild(breakers.get("probing").execute(Effect.never), { startImmediately: true })
      for (let i = 0; i < 1000; i++) yield* fail(breakers.get(`bad ${i}`))
      assert.strictEqual(yield* stateOf(breakers.get("isolated")), "Isolated")
      assert.strictEqual(yield* stateOf(breakers.get("probing")), "HalfOpen")
      assert.isAtMost(breakers.size, 22)
      yield* Fiber.interrupt(probe)
    }))

  it.effect("probes again at once after a probe that tells nothing", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: "1 second",
        probes: 2
      })
      yield* fail(breaker)
      yield* TestClock.adjust("1 second")
      const notAsked = new Bulkhead.BulkheadFull({
        policy: "ledger",
        reason: "QueueFull",
        permits: 1,
        queue: 0,
        queueTimeout: undefined
      })
      for (let i = 0; i < 5; i++) {
        assert.deepStrictEqual(yield* Effect.exit(breaker.execute(Effect.fail(notAsked))), Exit.fail(notAsked))
        assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
      }
      yield* succeed(breaker)
      yield* Effect.exit(breaker.execute(Effect.fail(notAsked)))
      yield* succeed(breaker)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("is provided by a layer, or by one that never opens", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const breaker = yield* CircuitBreaker.CircuitBreaker
        yield* fail(breaker)
        return yield* stateOf(breaker)
      })
      const layer = CircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(1) })
      assert.strictEqual(yield* Effect.provide(program, layer), "Open")
      assert.strictEqual(yield* Effect.provide(program, CircuitBreaker.layerNoop), "Closed")
      assert.isTrue(Layer.isLayer(layer))
    }))

  it("rejects options that make no sense where they are written", () => {
    assert.throws(() => CircuitBreaker.consecutive(0), RangeError)
    assert.throws(() => CircuitBreaker.rate({ threshold: 1.1 }), RangeError)
    assert.throws(() => CircuitBreaker.rate({ size: 2, minimumCalls: 3 }), RangeError)
    assert.throws(() => CircuitBreaker.rateWithin({ within: "1 millis" }), RangeError)
    assert.throws(() => CircuitBreaker.slow({ slowerThan: Infinity }), RangeError)
    assert.throws(() => CircuitBreaker.make({ probes: 0 }), RangeError)
    assert.throws(() => CircuitBreaker.keyed({ capacity: 0 }), RangeError)
  })

  it.effect.prop(
    "never lets more probes run than allowed, however the callers interleave",
    {
      probes: Schema.Literals([1, 2, 5]),
      probeThreshold: Schema.Literals([0, 0.5]),
      ramp: Schema.Boolean,
      seed: Schema.Int,
      operations: Schema.Literals([4, 5, 7, 2048])
    },
    ({ operations, probeThreshold, probes, ramp, seed }) =>
      Effect.gen(function*() {
        const breaker = yield* tripped({
          probes,
          probeThreshold,
          probeLease: "1 hour",
          ramp: ramp ? { over: "1 second" } : undefined
        })
        yield* TestClock.adjust("1 second")
        let running = 0
        const linger = Effect.flatMap(Random.nextIntBetween(0, 4), (times) =>
          times === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times }))
        const work = Effect.gen(function*() {
          running++
          const { _tag: state } = yield* breaker.snapshot
          if (state === "HalfOpen") {
            assert.isAtMost(running, probes)
          }
          yield* linger
          if ((yield* Random.next) < 0.2) {
            return yield* Effect.interrupt
          }
          return yield* (yield* Random.next) < 0.7 ? Effect.void : transient
        }).pipe(Effect.ensuring(Effect.sync(() =>
          running--
        )))
        const byHand = Effect.scoped(
          Effect.flatMap(CircuitBreaker.acquireScoped(breaker), ({ record }) => Effect.onExit(work, record))
        )
        const call = Effect.flatMap(Random.nextBoolean, (execute) => execute ? breaker.execute(work) : byHand)
        const caller = Effect.andThen(linger, Effect.exit(call))
        for (let round = 0; round < 5; round++) {
          yield* Effect.all(Array.from({ length: 30 }, () => Effect.forkChild(caller))).pipe(
            Effect.flatMap(Fiber.awaitAll)
          )
          assert.strictEqual(running, 0)
          const state = yield* breaker.snapshot
          // No place is lost, however a call ended.
          if (state._tag === "HalfOpen") assert.strictEqual(state.probing, 0)
          yield* TestClock.adjust("1 second")
          if (state._tag === "Closed") yield* fail(breaker)
          yield* TestClock.adjust("1 second")
        }
        yield* breaker.reset
        yield* breaker.execute(Effect.void)
      }).pipe(
        Effect.provideService(Scheduler.MaxOpsBeforeYield, operations),
        Random.withSeed(seed),
        Effect.provide(TestClock.layer())
      ),
    { arbitrary: { runs: 60, seed: 6 } }
  )
})
