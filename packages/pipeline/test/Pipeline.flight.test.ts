import { ApiError } from "@effect-resilience/errors"
import * as Direct from "@effect-resilience/kernel/Direct"
import { Pipeline } from "@effect-resilience/pipeline"
import { Attempt, AttemptBudget, Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Deferred, Effect, Exit, Fiber, Metric, Random, Schema } from "effect"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"

const unavailable = ApiError.reasonFromStatus(503, {})
const notFound = ApiError.reasonFromStatus(404, {})

const description = {
  bulkhead: { permits: 2, queue: 2 },
  retry: { times: 2, backoff: { base: "1 second", jitter: "none" } },
  circuitBreaker: { tripPolicy: { consecutive: 4 }, openDuration: "5 seconds" },
  attemptTimeout: "2 seconds",
  metrics: true
} as const

const admitting = {
  ...description,
  throttle: { minimumCalls: 2, multiplier: 1.2, window: "4 seconds" },
  concurrencyLimit: { algorithm: { aimd: { initial: 2, min: 1, max: 3, timeout: "1 second" } } }
} as const

// No queue: a call does not wait for the loser of its hedge, so whether the next one finds that loser's place free in the same
// millisecond is chance.
const hedged = {
  ...admitting,
  bulkhead: { permits: 2 },
  hedge: { after: "700 millis", times: 2, share: 1, idempotent: true }
} as const

/** Stands innermost and does nothing, so that the pipeline puts its parts around each other one by one. */
const plain = Pipeline.around("attempt", "plain", (self) => self)

const outcomes = ["refused", "interrupted", "failure", "success"]

const counts = (pipeline: string) =>
  Effect.forEach(outcomes, (outcome) =>
    Effect.map(
      Metric.value(
        Metric.withAttributes(Pipeline.callsTotal, { "resilience.policy": pipeline, "resilience.outcome": outcome })
      ),
      ({ count }) => [outcome, count]
    ))

/** Puts parts around each other one by one, lets a call take one step, or begins it on its own. */
type How = "one by one" | "in one step" | "on its own"

/** A call that begins without the fiber that waits for it. */
const onItsOwn = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const running = Direct.startUnsafe(call, Fiber.getCurrent()?.context ?? Context.empty())
    running.addObserver(resume)
    return Direct.interrupt(running)
  })

/** What many callers see and leave behind, who come and are interrupted at random moments. */
const history = (parts: typeof description | typeof admitting | typeof hedged, how: How, seed: number) =>
  Effect.gen(function*() {
    const oneByOne = how === "one by one"
    const name = "ledger"
    const pipeline = yield* Pipeline.make<Pipeline.Description>({ name, ...parts }, { around: oneByOne ? [plain] : [] })
    const events: Array<string> = []
    const note = (text: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        events.push(`${String(now).padStart(5, "0")} ${text}`)
      })
    const callers = yield* Effect.forEach(
      Array.from({ length: 24 }, (_, caller) => caller),
      (caller) =>
        Effect.gen(function*() {
          const came = yield* Random.nextIntBetween(0, 20_000)
          const gone = yield* Random.nextIntBetween(100, 15_000)
          const attempts = yield* Effect.all(Array.from({ length: 3 }, () =>
            Effect.all([
              Random.nextIntBetween(0, 4),
              Random.nextIntBetween(1, 3000),
              Random.next
            ])))
          const work = Effect.gen(function*() {
            const { attempt } = yield* Effect.service(Attempt.Current)
            yield* note(`${caller} tries ${attempt}`)
            const [kind, millis, luck] = attempts[attempt - 1] ?? [0, 0, 0]
            if (kind > 1) {
              yield* Effect.onInterrupt(Effect.sleep(millis), () => note(`${caller} stops ${attempt}`))
            } else if (kind === 1) yield* Effect.yieldNow
            if (luck < 0.45) return caller
            if (luck < 0.55) return yield* Effect.fail(notFound)
            if (luck < 0.6) return yield* Effect.die("broken")
            if (luck < 0.65) return yield* Effect.interrupt
            return yield* Effect.fail(unavailable)
          })
          // Chance has the same opinion at each moment, in whatever order it is asked.
          const begun = how === "on its own" ? onItsOwn(pipeline.execute(work)) : pipeline.execute(work)
          const chance = Effect.provideService(begun, Random.Random, {
            nextDoubleUnsafe: () => 0.4,
            nextIntUnsafe: () => 0
          })
          const call = Effect.onExit(chance, (exit) =>
            note(`${caller} ends: ${
              Exit.isSuccess(exit) ?
                exit.value :
                exit.cause.reasons.map((reason) => Cause.isFailReason(reason) ? reason.error._tag : reason._tag).join()
            }`))
          return yield* Effect.forkChild(Effect.gen(function*() {
            yield* Effect.sleep(came)
            const fiber = yield* Effect.forkChild(call)
            if (caller % 3 > 0) yield* Fiber.await(fiber)
            else yield* Effect.andThen(Effect.sleep(gone), Fiber.interrupt(fiber))
          }))
        })
    )
    yield* TestClock.adjust("1 minute")
    yield* Fiber.awaitAll(callers)
    const snapshot = yield* pipeline.snapshot
    assert.deepInclude(snapshot.bulkhead, { permits: 2, running: 0, waiting: 0 })
    assert.strictEqual(snapshot.concurrencyLimit?.running ?? 0, 0)
    // What happens within one millisecond happens at once.
    events.sort()
    return { events, snapshot, counts: yield* counts(name) }
  }).pipe(
    Random.withSeed(seed),
    Effect.provideService(Metric.MetricRegistry, new Map()),
    Effect.provide(TestClock.layer())
  )

describe("a pipeline that meets its parts in one step", () => {
  for (
    const [which, parts] of [
      ["some parts", description],
      ["all parts that admit", admitting],
      ["all parts inside a hedge", hedged]
    ] as const
  ) {
    it.effect.prop(
      `does what ${which} do one by one`,
      { seed: Schema.Int, operations: Schema.Literals([4, 5, 7, 2048]) },
      ({ operations, seed }) =>
        Effect.gen(function*() {
          const expected = yield* history(parts, "one by one", seed)
          assert.deepStrictEqual(yield* history(parts, "in one step", seed), expected)
          assert.deepStrictEqual(yield* history(parts, "on its own", seed), expected)
        }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations)),
      { arbitrary: { runs: 60, seed: 6 } }
    )
  }

  it.effect("gives the permit back and stops the attempt when its caller is interrupted by that very attempt", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", ...description })
      const stopped = yield* Deferred.make<void>()
      const caller: Fiber.Fiber<unknown, unknown> = yield* Effect.forkChild(
        Effect.suspend(() =>
          pipeline.execute(Effect.andThen(
            Effect.sync(() => caller.interruptUnsafe()),
            Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, undefined))
          ))
        )
      )
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(caller)))
      yield* Deferred.await(stopped)
      const { bulkhead } = yield* pipeline.policies
      assert.deepStrictEqual(yield* bulkhead?.snapshot ?? Effect.undefined, {
        permits: 2,
        running: 0,
        waiting: 0,
        rejected: 0
      })
    }))

  it.effect("gives the permit back when its caller is interrupted by an attempt that fails", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", ...description })
      for (const before of [Effect.void, Effect.yieldNow]) {
        const caller: Fiber.Fiber<unknown, unknown> = yield* Effect.forkChild(
          Effect.suspend(() =>
            pipeline.execute(before.pipe(
              Effect.andThen(Effect.sync(() => caller.interruptUnsafe())),
              Effect.andThen(Effect.fail(unavailable))
            ))
          )
        )
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(caller)))
        // The test awaited the caller before the pipeline did, and hears of its end first.
        yield* Effect.yieldNow
        assert.strictEqual((yield* pipeline.snapshot).bulkhead?.running, 0)
      }
    }))

  it.effect.each([false, true])(
    "gives every permit back where a classifier throws (one by one: %s)",
    (oneByOne) =>
      Effect.gen(function*() {
        const classify = () => {
          throw new Error("broken classifier")
        }
        for (const [name, parts] of [["once", {}], ["again", { retry: { times: 1 } }]] as const) {
          const pipeline = yield* Pipeline.make<Pipeline.Description>({
            name,
            ...parts,
            metrics: true,
            bulkhead: { permits: 1 },
            circuitBreaker: { tripPolicy: { consecutive: 5 }, classify },
            concurrencyLimit: { algorithm: { fixed: 1 } },
            attemptTimeout: "2 seconds"
          }, { around: oneByOne ? [plain] : [] })
          for (const work of [Effect.void, Effect.yieldNow, Effect.fail(notFound), Effect.fail(unavailable)]) {
            const exit = yield* Effect.exit(pipeline.execute(work))
            assert.isTrue(Exit.hasDies(exit))
            const { bulkhead, concurrencyLimit } = yield* pipeline.snapshot
            assert.deepStrictEqual([bulkhead?.running, concurrencyLimit?.running], [0, 0])
          }
          assert.deepStrictEqual(yield* counts(name), [["refused", 0], ["interrupted", 0], ["failure", 4], [
            "success",
            0
          ]])
        }
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("holds the permit until an attempt that was interrupted has cleaned up", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", ...description, bulkhead: { permits: 1 } })
      const gate = yield* Deferred.make<void>()
      const work = Effect.onInterrupt(Effect.never, () => Deferred.await(gate))
      const caller = yield* Effect.forkChild(pipeline.execute(work), { startImmediately: true })
      const leaving = yield* Effect.forkChild(Fiber.interrupt(caller), { startImmediately: true })
      assert.strictEqual((yield* Effect.flip(pipeline.execute(Effect.void)))._tag, "BulkheadFull")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(leaving)
      yield* pipeline.execute(Effect.void)
    }))

  it.effect("deposits once for each call, whether it is retried or not", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", ...description })
      let deposits = 0
      const budget: AttemptBudget.AttemptBudget = {
        ...AttemptBudget.noop,
        depositUnsafe: () => {
          deposits++
        }
      }
      const call = (work: Effect.Effect<void, unknown>) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.exit(pipeline.execute(work)))
          yield* TestClock.adjust("1 minute")
          yield* Fiber.await(fiber)
          return deposits
        }).pipe(Effect.provideService(AttemptBudget.Current, budget))
      assert.strictEqual(yield* call(Effect.void), 1)
      assert.strictEqual(yield* call(Effect.sleep(10)), 2)
      assert.strictEqual(yield* call(Effect.fail(unavailable)), 3)
      assert.strictEqual(yield* call(Effect.andThen(Effect.sleep(10), Effect.fail(notFound))), 4)
    }))

  it.effect("tells its budget of each failure once, whether a retry inside the call has or not", () =>
    Effect.gen(function*() {
      const once = RetryPolicy.make({ times: 1, backoff: Backoff.immediate })
      const left = Effect.fnUntraced(function*(around: Array<typeof plain>, call: Effect.Effect<void, unknown>) {
        const budget = { retryThrottling: { maxTokens: 100 } }
        const retry = { times: 1, backoff: Backoff.immediate }
        const pipeline = yield* Pipeline.make({ name: "ledger", budget, retry, attemptTimeout: "1 second" }, { around })
        yield* Effect.exit(pipeline.execute(call))
        return (yield* pipeline.snapshot).budget?.balance
      })
      const down = Effect.fail(unavailable)
      for (const around of [[], [plain]]) {
        assert.strictEqual(yield* left(around, down), 50 - 2)
        assert.strictEqual(yield* left(around, RetryPolicy.retry(down, once)), 50 - 4)
      }
    }))

  it.effect("counts attempts anew inside another retry", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", ...description })
      const seen = yield* pipeline.execute(Effect.service(Attempt.Current)).pipe(
        Effect.provideService(Attempt.Current, { attempt: 3, previous: undefined, hedge: 0 })
      )
      assert.strictEqual(seen.attempt, 1)
    }))

  it.effect("is cut by the deadline around it", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", ...description, deadline: "1 second" })
      const fiber = yield* Effect.forkChild(Effect.flip(pipeline.execute(Effect.never)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
      const { bulkhead } = yield* pipeline.policies
      assert.deepStrictEqual(yield* bulkhead?.snapshot ?? Effect.undefined, {
        permits: 2,
        running: 0,
        waiting: 0,
        rejected: 0
      })
    }))
})
