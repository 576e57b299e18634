import { Recovery } from "@effect-resilience/errors"
import { PolicyEvent } from "@effect-resilience/kernel"
import { Pipeline, Shadow, Status } from "@effect-resilience/pipeline"
import { AttemptBudget, PolicyMetrics, RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Exit, Fiber, Layer, Metric, Random, Schema } from "effect"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"

class Down extends Data.TaggedError("Down") {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
}

const down = Effect.suspend(() => Effect.fail(new Down()))

const counts = (agreed: number, wouldHaveRejected: number, wouldHaveAdmitted: number, unknown = 0) => ({
  agreed,
  wouldHaveRejected,
  wouldHaveAdmitted,
  unknown
})

const shadowed = (shadow: Shadow.Shadow, description: Pipeline.Description) =>
  Pipeline.make<Pipeline.Description>(description, { around: Shadow.around(shadow) })

describe("Shadow", () => {
  it.effect("counts what a stricter breaker would have rejected, and tests its circuit by real calls", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      const shadow = yield* Shadow.make({
        name: "stricter",
        circuitBreaker: { tripPolicy: { consecutive: 2 }, openDuration: "10 seconds" }
      })
      const ledger = yield* shadowed(shadow, { name: "ledger", circuitBreaker: { tripPolicy: { consecutive: 50 } } })
      for (let n = 0; n < 5; n++) yield* Effect.exit(ledger.execute(down))
      assert.deepStrictEqual(yield* shadow.snapshot, {
        ...counts(2, 3, 0),
        parts: { circuitBreaker: counts(2, 3, 0) }
      })
      const [own] = shadow.pipelines
      assert.deepInclude((yield* own?.snapshot ?? Effect.succeed({ circuitBreaker: undefined })).circuitBreaker, {
        _tag: "Open"
      })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* ledger.execute(Effect.succeed("stored")), "stored")
      yield* ledger.execute(Effect.void)
      assert.deepInclude(yield* shadow.snapshot, counts(4, 3, 0))
    }))

  it.effect("counts what a larger bulkhead would have admitted, and one that is as full as agreed", () =>
    Effect.gen(function*() {
      const larger = yield* Shadow.make({ name: "larger", bulkhead: { permits: 2 } })
      const same = yield* Shadow.make({ name: "same", bulkhead: { permits: 1 } })
      const ledger = yield* Pipeline.make<Pipeline.Description>(
        { name: "ledger", bulkhead: { permits: 1 } },
        { around: [...Shadow.around(larger), ...Shadow.around(same)] }
      )
      const fiber = yield* Effect.forkChild(ledger.execute(Effect.never), { startImmediately: true })
      const error = yield* Effect.flip(ledger.execute(Effect.void))
      assert.deepInclude(error, { _tag: "BulkheadFull", policy: "ledger" })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual((yield* larger.snapshot).parts, { bulkhead: counts(1, 0, 1) })
      assert.deepStrictEqual((yield* same.snapshot).parts, { bulkhead: counts(2, 0, 0) })
      // The permit of the call that was rejected in fact came back.
      assert.deepInclude((yield* larger.pipelines[0]?.snapshot ?? Effect.succeed({ bulkhead: undefined })).bulkhead, {
        running: 0
      })
    }))

  it.effect("has what a call held back before others hear of it, who may call as well", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "larger", bulkhead: { permits: 2 } })
      const ledger = yield* shadowed(shadow, { name: "ledger", bulkhead: { permits: 1 } })
      const context = yield* Effect.context<never>()
      const fiber = yield* Effect.forkChild(ledger.execute(Effect.never), { startImmediately: true })
      const again = Effect.ignore(ledger.execute(Effect.void))
      yield* ledger.execute(Effect.void).pipe(
        PolicyEvent.observe((event) => {
          if (event._tag === "Disagreed") Effect.runForkWith(context)(again)
        }),
        Effect.flip
      )
      assert.deepInclude(yield* shadow.snapshot, counts(0, 0, 2))
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("does not know how long a call would have waited", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "smaller", bulkhead: { permits: 1, queue: 5 } })
      const ledger = yield* shadowed(shadow, { name: "ledger", bulkhead: { permits: 2 } })
      const first = yield* Effect.forkChild(ledger.execute(Effect.never), { startImmediately: true })
      yield* ledger.execute(Effect.void)
      assert.deepInclude(yield* shadow.snapshot, counts(0, 0, 0, 1))
      yield* Fiber.interrupt(first)
      assert.deepInclude(yield* shadow.snapshot, counts(1, 0, 0, 1))
    }))

  it.effect("compares each decision on another attempt, and asks a budget of its own", () =>
    Effect.gen(function*() {
      const fewer = yield* Shadow.make({ name: "fewer", retry: { times: 1 } })
      const more = yield* Shadow.make({ name: "more", retry: { times: 5 } })
      const poor = yield* Shadow.make({
        name: "poor",
        budget: { burst: 1, ratio: 0, minPerSecond: 0 },
        retry: { times: 5 }
      })
      const ledger = yield* Pipeline.make<Pipeline.Description>(
        { name: "ledger", retry: { times: 2, backoff: { base: 0 } } },
        { around: [fewer, more, poor].flatMap(Shadow.around) }
      )
      const budget = yield* AttemptBudget.make({ burst: 10, ratio: 0, minPerSecond: 0 })
      yield* Effect.exit(AttemptBudget.withAttemptBudget(ledger.execute(down), budget))
      assert.strictEqual((yield* budget.snapshot).balance, 8)
      assert.deepStrictEqual((yield* fewer.snapshot).parts, { retry: counts(1, 1, 0) })
      assert.deepStrictEqual((yield* more.snapshot).parts, { retry: counts(2, 0, 1) })
      assert.deepStrictEqual((yield* poor.snapshot).parts, { budget: counts(1, 1, 0), retry: counts(1, 0, 0) })
    }))

  it.effect("judges a call without a retry as one that stops", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "patient", retry: { times: 1 } })
      yield* Effect.exit(Shadow.withShadow(down, shadow))
      yield* Effect.exit(Shadow.withShadow(Effect.die("bug"), shadow))
      yield* Shadow.withShadow(Effect.void, shadow)
      assert.deepStrictEqual((yield* shadow.snapshot).parts, { retry: counts(0, 0, 1) })
    }))

  it.effect("judges errors as it is told, beside what the real retry takes them for", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "wary", retry: { times: 1 } }, { classify: () => Recovery.giveUp })
      const ledger = yield* shadowed(shadow, { name: "ledger", retry: { times: 1, backoff: { base: 0 } } })
      yield* Effect.exit(ledger.execute(down))
      assert.deepStrictEqual((yield* shadow.snapshot).parts, { retry: counts(0, 1, 0) })
    }))

  it.effect("has its own deadline from the beginning of the call", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      const shadow = yield* Shadow.make({ name: "timely", deadline: "1 minute", retry: { times: 1 } })
      const ledger = yield* shadowed(shadow, { name: "ledger", retry: { times: 1, backoff: { base: 0 } } })
      yield* Effect.exit(ledger.execute(down))
      assert.deepStrictEqual((yield* shadow.snapshot).parts, { deadline: counts(1, 0, 0), retry: counts(2, 0, 0) })
    }))

  it.effect("finds the time limit of an attempt that the half-open circuit let through", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({
        name: "strict",
        circuitBreaker: { tripPolicy: { consecutive: 1 }, openDuration: "1 second" },
        attemptTimeout: "1 second"
      })
      yield* Effect.exit(Shadow.withShadow(down, shadow))
      yield* TestClock.adjust("2 seconds")
      const slow = yield* Effect.forkChild(Shadow.withShadow(Effect.sleep("3 seconds"), shadow), {
        startImmediately: true
      })
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(slow)
      assert.deepStrictEqual((yield* shadow.snapshot).parts, {
        circuitBreaker: counts(1, 0, 0),
        attemptTimeout: counts(1, 1, 0)
      })
    }))

  it.effect("counts in its total what a part that it does not have rejected", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "timely", deadline: "1 minute" })
      const ledger = yield* shadowed(shadow, { name: "ledger", bulkhead: { permits: 1 } })
      const held = yield* Effect.forkChild(ledger.execute(Effect.never), { startImmediately: true })
      assert.deepInclude(yield* Effect.flip(ledger.execute(Effect.void)), { _tag: "BulkheadFull" })
      yield* Fiber.interrupt(held)
      assert.deepStrictEqual(yield* shadow.snapshot, { ...counts(1, 0, 1), parts: { deadline: counts(1, 0, 0) } })
    }))

  it.effect("takes no notice of retries inside an attempt", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "fewer", retry: { times: 0 } })
      const ledger = yield* shadowed(shadow, { name: "ledger", retry: { times: 0 } })
      const inner = RetryPolicy.retry(down, RetryPolicy.make({ times: 3, backoff: { base: 0 } }))
      yield* Effect.exit(ledger.execute(inner))
      assert.deepStrictEqual((yield* shadow.snapshot).parts, { retry: counts(1, 0, 0) })
    }))

  it.effect("ends a call whose time is up earlier, in its own eyes only", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      const shadow = yield* Shadow.make({ name: "hasty", deadline: "3 seconds", attemptTimeout: "1 second" })
      const ledger = yield* shadowed(shadow, { name: "ledger", attemptTimeout: "10 seconds" })
      const fiber = yield* Effect.forkChild(ledger.execute(Effect.delay(Effect.succeed("stored"), "5 seconds")))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "stored")
      assert.deepStrictEqual((yield* shadow.snapshot).parts, {
        deadline: counts(0, 1, 0),
        attemptTimeout: counts(0, 1, 0)
      })
    }))

  it.effect("keeps the history that a retry gives to an error", () =>
    Effect.gen(function*() {
      const backoff = { base: "10 seconds", jitter: "none" } as const
      const shadow = yield* Shadow.make({ name: "slower", retry: { times: 2, backoff } })
      const ledger = yield* shadowed(shadow, { name: "ledger", retry: { times: 2, backoff: { base: 0 } } })
      const error = yield* Effect.flip(ledger.execute(down))
      const delays = RetryPolicy.history(error)?.attempts.map((event) =>
        event._tag === "Retrying" ? event.delay : undefined
      )
      assert.deepStrictEqual(delays, [Duration.zero, Duration.zero, undefined])
      assert.deepInclude(yield* shadow.snapshot, counts(3, 0, 0))
    }))

  it.effect("never asks the store of a pacer, and takes none of its turns", () =>
    Effect.gen(function*() {
      let asked = 0
      const store = Layer.mock(RateLimiter.RateLimiter)({
        [RateLimiter.TypeId]: RateLimiter.TypeId,
        consume: () => Effect.andThen(Effect.sync(() => asked++), Effect.never)
      })
      const shadow = yield* Effect.provide(
        Shadow.make({ name: "paced", pacer: { limit: 1, window: "1 second", maxWait: 0 } }),
        store
      )
      yield* Effect.provide(Shadow.withShadow(Effect.void, shadow), store)
      yield* Effect.provide(Shadow.withShadow(Effect.void, shadow), store)
      assert.strictEqual(asked, 0)
      assert.deepStrictEqual((yield* shadow.snapshot).parts, { pacer: counts(1, 1, 0) })
    }))

  it.effect("names the part that would have rejected", () =>
    Effect.gen(function*() {
      const parts: ReadonlyArray<Omit<Shadow.Description, "name">> = [
        { throttle: { minimumCalls: 0, multiplier: 1 } },
        { concurrencyLimit: { algorithm: { fixed: 1 } } },
        { bulkhead: { permits: 1 } }
      ]
      for (const part of parts) {
        const shadow = yield* Shadow.make({ name: "stricter", ...part })
        const running = yield* Effect.forkChild(Shadow.withShadow(Effect.never, shadow), { startImmediately: true })
        for (let n = 0; n < 20; n++) yield* Effect.exit(Shadow.withShadow(down, shadow))
        yield* Fiber.interrupt(running)
        const snapshot = yield* shadow.snapshot
        assert.isAbove(snapshot.wouldHaveRejected, 0)
        assert.deepStrictEqual(
          Object.entries(snapshot.parts).map(([key, { wouldHaveRejected }]) => [key, wouldHaveRejected]),
          Object.keys(part).map((key) => [key, snapshot.wouldHaveRejected])
        )
      }
    }))

  it.effect("leaves the retries of a call to those who listen to them", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "fewer", retry: { times: 0 } })
      const ledger = yield* shadowed(shadow, { name: "ledger", retry: { times: 2, backoff: { base: 0 } } })
      const heard: Array<string> = []
      const listen: RetryEvent.Observer = ({ _tag }) => Effect.sync(() => heard.push(_tag))
      yield* Effect.exit(Effect.provideService(ledger.execute(down), RetryEvent.CurrentObserver, listen))
      assert.deepStrictEqual(heard, ["Retrying", "Retrying", "Stopped"])
    }))

  it.effect("is known to the attempts that another copy of this package makes", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "fewer", retry: { times: 0 } })
      const keys = yield* shadow.execute(Effect.map(Effect.context<never>(), ({ mapUnsafe }) => [...mapUnsafe.keys()]))
      assert.include(keys, "@effect-resilience/pipeline/Shadow/Current")
    }))

  it.effect("judges no attempt that is of no call", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "hasty", circuitBreaker: { tripPolicy: { consecutive: 1 } } })
      assert.strictEqual(yield* shadow.attempt(Effect.succeed("stored")), "stored")
      yield* Effect.exit(shadow.attempt(down))
      assert.deepInclude(yield* shadow.snapshot, counts(0, 0, 0))
    }))

  it.effect("tells where it disagrees, in events and in metrics, and counts in no metric of others", () =>
    Effect.gen(function*() {
      const shadow = yield* Shadow.make({ name: "stricter", circuitBreaker: { tripPolicy: { consecutive: 1 } } })
      const events: Array<string> = []
      const calls = Effect.repeat(Effect.ignore(Shadow.withShadow(down, shadow)), { times: 1 })
      yield* PolicyEvent.observe(calls, (event) => events.push(PolicyEvent.describe(event)))
      assert.deepStrictEqual(events, ["Shadow \"stricter\" would have rejected a call: circuitBreaker"])
      yield* PolicyMetrics.sample([shadow])
      const series = (yield* Metric.snapshot).filter(({ id }) => id.startsWith("resilience"))
      assert.deepStrictEqual(
        series.map(({ attributes, id, state }) => [
          id,
          attributes?.["resilience.policy"],
          attributes?.["resilience.kind"],
          attributes?.["resilience.decision"],
          "count" in state ? state.count : undefined
        ]),
        [
          ["resilience.shadow.decisions", "stricter", "circuitBreaker", "agreed", 1],
          ["resilience.shadow.decisions", "stricter", "circuitBreaker", "wouldHaveRejected", 1],
          ["resilience.shadow.decisions", "stricter", "circuitBreaker", "wouldHaveAdmitted", 0]
        ]
      )
      assert.include(Status.format(yield* Status.report({ pipelines: shadow.pipelines })), "state Open")
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it("has no parts that it cannot judge, and no options that make no sense", () => {
    assert.throws(() => Shadow.make(JSON.parse(`{ "name": "x", "hedge": { "after": 1 } }`)), RangeError, "hedge")
    assert.throws(() => Shadow.make({ name: "x", bulkhead: { permits: 0 } }), RangeError)
    assert.throws(() => Shadow.make({ name: "x", budget: {} }), RangeError, "Shadow.budget must be beside a retry")
  })

  it.effect("decides nothing where it is switched off", () =>
    Effect.gen(function*() {
      const ledger = yield* shadowed(Shadow.noop, { name: "ledger", bulkhead: { permits: 1 } })
      assert.strictEqual(yield* ledger.execute(Effect.succeed("stored")), "stored")
      assert.deepStrictEqual(yield* Shadow.noop.snapshot, { ...counts(0, 0, 0), parts: {} })
      assert.deepStrictEqual(Shadow.noop.pipelines, [])
    }))

  const Outcome = Schema.Literals(["succeeds", "fails", "dies", "hangs", "is slow"])

  it.effect.prop(
    "changes neither the results nor the calls nor the draws of chance",
    {
      plan: Schema.Array(Schema.Struct({ outcome: Outcome, after: Schema.Literals([0, 1, 40, 700]) })).check(
        Schema.isMinLength(1),
        Schema.isMaxLength(25)
      ),
      strict: Schema.Boolean,
      seed: Schema.Int
    },
    ({ plan, seed, strict }) =>
      Effect.gen(function*() {
        const shadow = yield* Shadow.make({
          name: "shadow",
          deadline: "900 millis",
          budget: { burst: 2, ratio: 0, minPerSecond: 0 },
          bulkhead: { permits: strict ? 1 : 9, queue: 1, queueTimeout: 50 },
          retry: { times: strict ? 0 : 5 },
          circuitBreaker: { tripPolicy: { consecutive: strict ? 1 : 20 }, openDuration: 20 },
          throttle: { minimumCalls: 0, multiplier: 1 },
          pacer: { limit: 50, window: "1 second", maxWait: strict ? 0 : 100 },
          concurrencyLimit: {},
          attemptTimeout: strict ? 10 : "10 seconds"
        })
        const plain = yield* story(plan, seed, [])
        const watched = yield* story(plan, seed, Shadow.around(shadow))
        assert.deepStrictEqual(watched, plain)
        const { agreed, unknown, wouldHaveAdmitted, wouldHaveRejected } = yield* shadow.snapshot
        assert.isAtLeast(agreed + unknown + wouldHaveAdmitted + wouldHaveRejected, plan.length)
        // All permits and places came back.
        for (const pipeline of shadow.pipelines) {
          const { bulkhead, concurrencyLimit, pacer } = yield* pipeline.snapshot
          assert.strictEqual(bulkhead?.running ?? 0, 0)
          assert.strictEqual(bulkhead?.waiting ?? 0, 0)
          assert.strictEqual(concurrencyLimit?.running ?? 0, 0)
          assert.strictEqual(pacer?.waiting ?? 0, 0)
        }
      }),
    { arbitrary: { runs: 60, seed: 16 } }
  )
})

interface Step {
  readonly outcome: "succeeds" | "fails" | "dies" | "hangs" | "is slow"
  readonly after: 0 | 1 | 40 | 700
}

/** What happens to calls that come one after the other, and when. */
const story = (
  plan: ReadonlyArray<Step>,
  seed: number,
  around: ReturnType<typeof Shadow.around>
) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("1 day")
    const log: Array<string> = []
    const now = Effect.clockWith((clock) => clock.currentTimeMillis)
    const pipeline = yield* Pipeline.make<Pipeline.Description>({
      name: "ledger",
      deadline: "2 seconds",
      bulkhead: { permits: 3, queue: 2, queueTimeout: 100 },
      retry: { times: 2, backoff: { base: 10 } },
      circuitBreaker: { tripPolicy: { consecutive: 3 }, openDuration: 60 },
      throttle: { minimumCalls: 5 },
      concurrencyLimit: {},
      attemptTimeout: "500 millis"
    }, { around })
    const call = (n: number, { outcome }: Step) =>
      Effect.gen(function*() {
        log.push(`call ${n} at ${yield* now}`)
        switch (outcome) {
          case "succeeds":
            return yield* Random.nextInt
          case "fails":
            return yield* down
          case "dies":
            return yield* Effect.die("bug")
          case "hangs":
            return yield* Effect.never
          case "is slow":
            return yield* Effect.delay(Effect.succeed("late"), "300 millis")
        }
      })
    const fibers = []
    for (const [n, step] of plan.entries()) {
      yield* TestClock.adjust(step.after)
      const told = Effect.exit(pipeline.execute(call(n, step))).pipe(
        Effect.tap((exit) => Effect.map(now, (at) => log.push(`result ${n} at ${at}: ${shown(exit)}`)))
      )
      fibers.push(yield* Effect.forkChild(told, { startImmediately: true }))
      if (n % 6 === 5) {
        const fiber = fibers[n - 2]
        if (fiber !== undefined) yield* Fiber.interrupt(fiber)
      }
    }
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.awaitAll(fibers)
    return { log, next: yield* Random.nextInt, snapshot: yield* pipeline.snapshot }
  }).pipe(Random.withSeed(seed), Effect.provide(TestClock.layer()))

const shown = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit) ?
    String(exit.value) :
    exit.cause.reasons.map((reason) => reason._tag === "Fail" ? `${reason.error}` : reason._tag).join()
