import { ApiError } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Metric, Predicate, Random, Schema } from "effect"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"

const unavailable = ApiError.reasonFromStatus(503, {})
const notFound = ApiError.reasonFromStatus(404, {})

/** What a description may name; each part has what makes it reject, wait and change its mind. */
const options = {
  deadline: ["3 seconds"],
  budget: [
    { ratio: 0.5, minPerSecond: 0, burst: 2 },
    { inFlight: { ratio: 0.5, min: 1 } },
    { expiring: {} },
    { retryThrottling: {} }
  ],
  bulkhead: [{ permits: 2 }, { permits: 2, queue: 2, queueTimeout: "500 millis" }],
  retry: [
    { times: 2, backoff: { base: "200 millis" } },
    { times: 2, backoff: { base: "100 millis" }, retryWhen: (result: unknown) => result === "stored" },
    { times: 1, backoff: { base: 1 }, maxDuration: "1 second" }
  ],
  hedge: [{ after: "100 millis", times: 2, share: 1, idempotent: true }, {
    after: { percentile: 0.5 },
    idempotent: true
  }],
  circuitBreaker: [
    { tripPolicy: { consecutive: 2 }, openDuration: "300 millis" },
    { tripPolicy: { rate: { size: 4, minimumCalls: 2, threshold: 0.5 } }, openDuration: "300 millis", probes: 2 }
  ],
  throttle: [{ window: "1 second", minimumCalls: 1 }],
  pacer: [{ limit: 4, window: "1 second", maxWait: "400 millis" }],
  concurrencyLimit: [{ algorithm: { fixed: 2 } }, { algorithm: { aimd: { initial: 3, min: 2 } } }],
  attemptTimeout: ["600 millis"],
  spans: [true],
  metrics: [true]
} as const

const describeAny = Effect.gen(function*() {
  const description: { [key: string]: unknown } & Pipeline.Description = { name: "ledger" }
  for (const [key, choices] of Object.entries(options)) {
    if ((yield* Random.next) < 0.5) description[key] = choices[yield* Random.nextIntBetween(0, choices.length - 1)]
  }
  return description
})

/** Counts the steps of all fibers, and does something before one of them. */
class CountingScheduler extends Scheduler.MixedScheduler {
  steps = 0
  readonly at: number
  readonly yields: boolean
  happen: () => void = () => {}

  constructor(at: number, yields: boolean) {
    super()
    this.at = at
    this.yields = yields
  }

  override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    if (++this.steps !== this.at) return super.shouldYield(fiber)
    this.happen()
    return this.yields
  }
}

/** Some calls at once, of which the first is interrupted before step number `at`. */
const run = (seed: number, at: number, yields: boolean) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("5 seconds")
    const description = yield* describeAny
    const pipeline = yield* Pipeline.make<Pipeline.Description>(description)
    const scheduler = new CountingScheduler(at, yields)
    let held = 0
    let running = 0
    const attempt = Effect.gen(function*() {
      const [kind, millis] = [yield* Random.next, yield* Random.nextIntBetween(1, 700)]
      yield* Effect.acquireRelease(Effect.sync(() => held++), () =>
        Effect.andThen(Effect.sleep(5), Effect.sync(() => held--)))
      yield* kind < 0.1 ? Effect.uninterruptible(Effect.sleep(millis)) : kind < 0.8 ? Effect.sleep(millis) : Effect.void
      const luck = yield* Random.next
      if (luck < 0.5) {
        return "stored"
      }
      if (luck < 0.6) {
        return yield* Effect.fail(notFound)
      }
      if (luck < 0.65) {
        return yield* Effect.die("broken")
      }
      return yield* Effect.fail(unavailable)
    })
    const counted = Effect.acquireUseRelease(
      Effect.sync(() =>
        running++
      ),
      () => attempt,
      () => Effect.sync(() => running--)
    )
    const call = Effect.scoped(pipeline.execute(counted)).pipe(
      Effect.provideService(Scheduler.Scheduler, scheduler)
    )
    const callers: Array<Fiber.Fiber<unknown, unknown>> = []
    scheduler.happen = () => callers[0]?.interruptUnsafe()
    for (let caller = 0; caller < 4; caller++) {
      callers.push(yield* Effect.forkChild(call))
      yield* TestClock.adjust(40)
    }
    yield* TestClock.adjust("10 minutes")
    for (const caller of callers) yield* Fiber.await(caller)

    const left = JSON.stringify(yield* pipeline.description)
    assert.deepStrictEqual({ running, held }, { running: 0, held: 0 }, left)
    const snapshot = yield* pipeline.snapshot
    for (const [key, look] of Object.entries(snapshot)) {
      if (!Predicate.isObject(look)) continue
      for (const [name, value] of Object.entries(look)) {
        if (["running", "waiting", "inFlight"].includes(name)) assert.strictEqual(value, 0, `${key}.${name}: ${left}`)
      }
    }
    // All permits and probes are there again: calls pass, one after the other and beside each other.
    const next = yield* Effect.forkChild(
      Effect.gen(function*() {
        for (let call = 0; call < 3; call++) {
          yield* pipeline.execute(Effect.void)
          yield* Effect.sleep("1 minute")
        }
        yield* Effect.all([pipeline.execute(Effect.sleep(1)), pipeline.execute(Effect.sleep(1))], { concurrency: 2 })
      }),
      { startImmediately: true }
    )
    yield* TestClock.adjust("10 minutes")
    assert.isTrue(Exit.isSuccess(yield* Fiber.await(next)), left)
    return scheduler.steps
  }).pipe(
    Random.withSeed(seed),
    Effect.provideService(Metric.MetricRegistry, new Map()),
    Effect.provide(TestClock.layer())
  )

describe("the interruption of a call", () => {
  it("is tried in every part that a pipeline has", () => {
    assert.sameMembers(Object.keys(options), Object.keys(Pipeline.parts))
  })

  it.effect.prop(
    "leaves nothing behind in any pipeline, whichever step it comes before",
    {
      seed: Schema.Int,
      share: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9999 })),
      yields: Schema.Boolean
    },
    ({ seed, share, yields }) =>
      Effect.gen(function*() {
        const steps = yield* run(seed, Infinity, false)
        yield* run(seed, 1 + Math.floor(share / 10_000 * steps), yields)
      }),
    { timeout: 120_000, arbitrary: { runs: 150, seed: 16 } }
  )
})
