import { Recovery } from "@effect-resilience/errors"
import { PolicyEvent } from "@effect-resilience/kernel"
import { CircuitBreaker, Outcome } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as published from "./published/resilience4j.ts"

const names = {
  CLOSED: "Closed",
  OPEN: "Open",
  HALF_OPEN: "HalfOpen",
  FORCED_OPEN: "Isolated",
  DISABLED: "ForcedClosed",
  METRICS_ONLY: "MetricsOnly"
} as const satisfies { readonly [S in published.State]: CircuitBreaker.Snapshot["_tag"] }

const outcomes = {
  "+": Effect.void,
  "-": Effect.fail("no response"),
  i: Effect.interrupt
} as const

const stateOf = (breaker: CircuitBreaker.CircuitBreaker) => Effect.map(breaker.snapshot, ({ _tag }) => _tag)

const goTo = Effect.fnUntraced(function*(breaker: CircuitBreaker.LocalCircuitBreaker, state: published.State) {
  if (state === "FORCED_OPEN") {
    yield* breaker.isolate
    return
  }
  // An isolation gives way to those who began it only.
  if ((yield* stateOf(breaker)) === "Isolated") yield* breaker.reset
  yield* breaker.transitionTo(names[state])
})

const run = (breaker: CircuitBreaker.CircuitBreaker, sequence: published.Outcomes) =>
  Effect.forEach(sequence, (outcome) => Effect.exit(breaker.execute(outcomes[outcome])))

const make = (options?: CircuitBreaker.Options) =>
  Effect.andThen(
    TestClock.adjust("1 hour"),
    CircuitBreaker.make({
      tripPolicy: CircuitBreaker.rateWithin({ within: "20 seconds", minimumCalls: 5 }),
      openDuration: "5 seconds",
      probes: 4,
      probeThreshold: 0.5,
      ...options
    })
  )

describe("the state machine of resilience4j", () => {
  for (const [from, to] of published.transitions) {
    it.effect(`goes from ${from} to ${to}, and tells it once`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* goTo(breaker, from)
        assert.strictEqual(yield* stateOf(breaker), names[from])
        const events: Array<string> = []
        yield* goTo(breaker, to).pipe(
          PolicyEvent.observe((event) =>
            events.push(event._tag === "Transitioned" ? `${event.from} ${event.to}` : event._tag)
          )
        )
        assert.strictEqual(yield* stateOf(breaker), names[to])
        const toClosed = from === "FORCED_OPEN" && to !== "FORCED_OPEN" && to !== "CLOSED"
        const expected = toClosed
          ? ["Isolated Closed", `Closed ${names[to]}`]
          : from === to
          ? []
          : [`${names[from]} ${names[to]}`]
        assert.deepStrictEqual(events, expected)
      }))
  }

  it("is a part of ours: every other transition by hand is possible as well", () => {
    const all = Object.keys(names).length ** 2
    assert.strictEqual(published.transitions.length, all - 3)
  })

  for (
    const [from, to] of [["CLOSED", "HALF_OPEN"], ["METRICS_ONLY", "OPEN"], ["METRICS_ONLY", "HALF_OPEN"]] as const
  ) {
    it.effect(`goes from ${from} to ${to}, which resilience4j forbids`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* goTo(breaker, from)
        yield* goTo(breaker, to)
        assert.strictEqual(yield* stateOf(breaker), names[to])
      }))
  }

  for (const [state, { counts, permits }] of Object.entries(published.states)) {
    it.effect(`${permits ? "lets calls pass" : "rejects calls"} and ${counts ? "counts" : "counts nothing"} as ${state}`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* goTo(breaker, state as published.State)
        const [first] = yield* run(breaker, ["+"])
        assert.strictEqual(first !== undefined && Exit.isSuccess(first), permits)
        const { buffered, rejected } = yield* breaker.snapshot
        assert.deepStrictEqual({ buffered, rejected }, { buffered: counts ? 1 : 0, rejected: permits ? 0 : 1 })
      }))
  }

  for (const { failureRate, outcomes, test, to } of published.closed) {
    it.effect(`is ${to} after ${outcomes.join("")} (${test})`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* run(breaker, outcomes)
        assert.deepInclude(yield* breaker.snapshot, {
          _tag: names[to],
          failureRate,
          buffered: outcomes.length,
          slowRate: 0
        })
      }))
  }

  for (const { outcomes, test, to } of published.halfOpen) {
    it.effect(`is ${to} after the probes ${outcomes.join("")} (${test})`, () =>
      Effect.gen(function*() {
        const breaker = yield* make()
        yield* breaker.transitionTo("HalfOpen")
        yield* run(breaker, outcomes)
        assert.strictEqual(yield* stateOf(breaker), names[to])
      }))
  }
})

describe("probes judged by a rate", () => {
  it.effect("open the circuit as soon as the others cannot save it", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.transitionTo("HalfOpen")
      yield* run(breaker, ["-"])
      assert.deepInclude(yield* breaker.snapshot, { _tag: "HalfOpen", buffered: 1, failureRate: 1 })
      yield* run(breaker, ["+", "-"])
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Open", buffered: 3 })
    }))

  it.effect("close the circuit as soon as the others cannot change it", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      yield* breaker.transitionTo("HalfOpen")
      yield* run(breaker, ["-", "+", "+"])
      assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
      yield* run(breaker, ["+"])
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("close it with a threshold of 1 unless all fail", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ probeThreshold: 1, probes: 3 })
      yield* breaker.transitionTo("HalfOpen")
      yield* run(breaker, ["-", "-"])
      assert.strictEqual(yield* stateOf(breaker), "HalfOpen")
      yield* run(breaker, ["-"])
      assert.strictEqual(yield* stateOf(breaker), "Open")
      yield* breaker.transitionTo("HalfOpen")
      yield* run(breaker, ["-", "-", "+"])
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))
})

describe("a probe", () => {
  it.effect("has its place before others hear of it, who may call as well", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ probes: 1 })
      yield* breaker.transitionTo("Open")
      yield* TestClock.adjust("5 seconds")
      const context = yield* Effect.context<never>()
      const exits: Array<Exit.Exit<void, CircuitBreaker.CircuitOpen>> = []
      const call = breaker.execute(Effect.sleep("1 second"))
      const probe = yield* call.pipe(
        PolicyEvent.observe((event) => {
          if (event._tag !== "Transitioned" || event.to !== "HalfOpen") return
          Effect.runForkWith(context)(call).addObserver((exit) => exits.push(exit))
        }),
        Effect.forkChild({ startImmediately: true })
      )
      const { _tag, ...counts } = yield* breaker.snapshot
      assert.deepStrictEqual([_tag, "probing" in counts && counts.probing, exits.length], ["HalfOpen", 1, 1])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(probe)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))
})

describe("modes", () => {
  it.effect("metrics only logs once when the circuit would have opened", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ message }) => logged.push(message))
      const breaker = yield* make({ mode: "metricsOnly", tripPolicy: CircuitBreaker.consecutive(2) })
      yield* Effect.provide(run(breaker, ["-", "-", "-", "+", "-", "-"]), Logger.layer([logger]))
      const line = ["Circuit \"default\" would have opened, and is MetricsOnly"]
      assert.deepStrictEqual(logged, [line, line])
    }))

  it.effect("metrics only counts how often the circuit would have opened, and rejects nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ mode: "metricsOnly", tripPolicy: CircuitBreaker.consecutive(2) })
      yield* run(breaker, ["-", "-", "-", "-", "+", "-", "-", "i"])
      assert.deepInclude(yield* breaker.snapshot, { _tag: "MetricsOnly", tripped: 2, rejected: 0, buffered: 2 })
      yield* breaker.transitionTo("Closed")
      yield* run(breaker, ["-", "-"])
      assert.strictEqual(yield* stateOf(breaker), "Open")
      yield* breaker.reset
      assert.deepInclude(yield* breaker.snapshot, { _tag: "MetricsOnly", tripped: 0 })
    }))

  it.effect("forced closed lets calls pass however many fail", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ mode: "forcedClosed", tripPolicy: CircuitBreaker.consecutive(1) })
      yield* run(breaker, ["-", "-", "-"])
      assert.deepStrictEqual(yield* breaker.snapshot, {
        _tag: "ForcedClosed",
        rejected: 0,
        buffered: 0,
        failureRate: 0,
        slowRate: 0
      })
    }))

  it.effect("a call that began in another state changes nothing", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
      const call = yield* Effect.forkChild(breaker.execute(Effect.andThen(Effect.sleep("1 second"), outcomes["-"])), {
        startImmediately: true
      })
      yield* breaker.transitionTo("MetricsOnly")
      yield* TestClock.adjust("1 second")
      yield* Fiber.await(call)
      assert.deepInclude(yield* breaker.snapshot, { tripped: 0, buffered: 0 })
    }))

  it.effect("a keyed breaker does not forget a circuit whose state was set by hand", () =>
    Effect.gen(function*() {
      const breakers = yield* CircuitBreaker.keyed({ capacity: 5 })
      yield* breakers.get("acme").transitionTo("ForcedClosed")
      for (let i = 0; i < 100; i++) yield* breakers.get(`tenant ${i}`).execute(Effect.void)
      assert.strictEqual(yield* stateOf(breakers.get("acme")), "ForcedClosed")
      assert.isAtMost(breakers.size, 11)
    }))

  it.effect("new options count afresh and leave what was set by hand", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ tripPolicy: CircuitBreaker.consecutive(1) })
      yield* run(breaker, ["-"])
      yield* breaker.reload({ tripPolicy: CircuitBreaker.consecutive(2) })
      yield* run(breaker, ["-"])
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* breaker.transitionTo("ForcedClosed")
      yield* breaker.reload({ mode: "metricsOnly" })
      assert.strictEqual(yield* stateOf(breaker), "ForcedClosed")
      yield* breaker.reset
      assert.strictEqual(yield* stateOf(breaker), "MetricsOnly")
      assert.throws(() => breaker.reload({ probes: 0 }), RangeError)
      const isolation = yield* breaker.isolate
      yield* breaker.transitionTo("ForcedClosed")
      yield* breaker.reload({ mode: "automatic" })
      yield* isolation.release
      assert.strictEqual(yield* stateOf(breaker), "ForcedClosed")
    }))
})

describe("an isolation", () => {
  it.effect("ends when all who began it have released it", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const [alice, bob] = [yield* breaker.isolate, yield* breaker.isolate]
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Isolated", holders: 2 })
      yield* alice.release
      yield* alice.release
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Isolated", holders: 1 })
      yield* bob.release
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* alice.release
    }))

  it.effect("of a later time is not ended by an earlier handle, after a reset", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const early = yield* breaker.isolate
      yield* breaker.reset
      assert.strictEqual(yield* stateOf(breaker), "Closed")
      yield* breaker.isolate
      yield* early.release
      assert.strictEqual(yield* stateOf(breaker), "Isolated")
    }))

  it.effect("lasts as long as its scope, also when that is interrupted", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const maintenance = yield* CircuitBreaker.isolateScoped(breaker).pipe(
        Effect.andThen(Effect.never),
        Effect.scoped,
        Effect.forkChild({ startImmediately: true })
      )
      assert.strictEqual(yield* stateOf(breaker), "Isolated")
      yield* Fiber.interrupt(maintenance)
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))

  it.effect("is followed by the state that was chosen meanwhile", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      for (const state of ["Open", "HalfOpen", "MetricsOnly", "ForcedClosed", "Closed"] as const) {
        const isolation = yield* breaker.isolate
        yield* breaker.transitionTo(state)
        assert.strictEqual(yield* stateOf(breaker), "Isolated")
        yield* isolation.release
        assert.strictEqual(yield* stateOf(breaker), state)
      }
    }))

  it.effect("does not end when a probe that ran before it ends", () =>
    Effect.gen(function*() {
      const breaker = yield* make({ probes: 1 })
      yield* breaker.transitionTo("HalfOpen")
      const probe = yield* Effect.forkChild(breaker.execute(Effect.sleep("1 second")), { startImmediately: true })
      yield* breaker.isolate
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(probe)
      assert.strictEqual(yield* stateOf(breaker), "Isolated")
    }))
})

describe("the open time by a function", () => {
  it.effect("follows what opened the circuit, within the cap; without a say of its own the backoff grows", () =>
    Effect.gen(function*() {
      const seen: Array<CircuitBreaker.Opening> = []
      const breaker = yield* make({
        tripPolicy: CircuitBreaker.consecutive(2),
        openDuration: { base: "1 second", cap: "1 minute", jitter: "none" },
        maxOpenDuration: "10 minutes",
        probes: 1,
        classify: (exit) => Exit.isSuccess(exit) ? Outcome.success : Outcome.failure({ retryAfter: "7 seconds" }),
        openDurationOf: (opening) => {
          seen.push(opening)
          return opening.consecutiveOpenings === 2 ? undefined : opening.consecutiveOpenings === 3 ? "1 day" : 250
        }
      })
      const heldFor = Effect.map(
        breaker.snapshot,
        (now) => now._tag === "Open" ? Duration.toMillis(now.retryAfter) : now._tag
      )
      yield* run(breaker, ["-", "-"])
      assert.strictEqual(yield* heldFor, 250)
      yield* TestClock.adjust(250)
      yield* run(breaker, ["-"])
      assert.strictEqual(yield* heldFor, 7000)
      yield* TestClock.adjust(7000)
      yield* run(breaker, ["-"])
      assert.strictEqual(yield* heldFor, 600_000)
      yield* breaker.transitionTo("Open")
      const [first, second, third, byHand] = seen
      assert.deepStrictEqual(first, {
        exit: Exit.fail("no response"),
        retryAfter: Duration.seconds(7),
        consecutiveOpenings: 1,
        openDuration: Duration.seconds(1),
        buffered: 2,
        failureRate: 1,
        slowRate: 0
      })
      assert.deepStrictEqual([second?.openDuration, third?.openDuration], [Duration.seconds(2), Duration.seconds(4)])
      assert.deepInclude(byHand, { exit: undefined, consecutiveOpenings: 4 })
    }))

  it.effect("leaves the state alone where it throws", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDurationOf: () => {
          throw new Error("broken")
        }
      })
      const [exit] = yield* run(breaker, ["-"])
      assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Exit.hasDies(exit))
      assert.strictEqual(yield* stateOf(breaker), "Closed")
    }))
})

describe("counts", () => {
  it.effect("are those of the window that looks back furthest, with the share of slow calls", () =>
    Effect.gen(function*() {
      const breaker = yield* make({
        tripPolicy: [
          CircuitBreaker.consecutive(9),
          CircuitBreaker.rate({ size: 4 }),
          CircuitBreaker.slow({ slowerThan: "1 second", size: 8 })
        ]
      })
      for (const [outcome, took] of [["+", 0], ["-", 0], ["+", 2000], ["+", 0], ["+", 0]] as const) {
        const call = yield* Effect.forkChild(breaker.execute(Effect.andThen(Effect.sleep(took), outcomes[outcome])), {
          startImmediately: true
        })
        yield* TestClock.adjust(took)
        yield* Fiber.await(call)
      }
      assert.deepStrictEqual(yield* breaker.snapshot, {
        _tag: "Closed",
        rejected: 0,
        buffered: 5,
        failureRate: 0.2,
        slowRate: 0.2
      })
    }))

  it.effect("of a transition come with a stream of them", () =>
    Effect.gen(function*() {
      const breaker = yield* make()
      const seen = yield* CircuitBreaker.transitions(breaker).pipe(
        Stream.take(2),
        Stream.map(({ from, to }) => `${from} ${to}`),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* Effect.yieldNow
      yield* breaker.transitionTo("MetricsOnly")
      yield* breaker.transitionTo("ForcedClosed")
      assert.deepStrictEqual(yield* Fiber.join(seen), ["Closed MetricsOnly", "MetricsOnly ForcedClosed"])
    }))

  it("tell a rejection in part by its message", () => {
    const error = new CircuitBreaker.CircuitOpen({ policy: "ledger", state: "Partial", retryAfter: undefined })
    assert.strictEqual(
      error.message,
      "The circuit \"ledger\" lets a share of the calls through, and not this one. Try again later."
    )
    assert.deepStrictEqual(Recovery.of(error), Recovery.retry)
  })
})
