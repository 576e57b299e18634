import { ApiError } from "@effect-resilience/errors"
import { Bulkhead } from "@effect-resilience/limit"
import { Pipeline } from "@effect-resilience/pipeline"
import { Attempt, AttemptBudget } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Metric, Random, Schema } from "effect"
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

/** The same bulkhead, but a stranger: the pipeline then puts its parts around each other one by one. */
const stranger = (own: Bulkhead.Bulkhead): Bulkhead.Bulkhead => ({
  name: own.name,
  snapshot: own.snapshot,
  execute: (self) => own.execute(self),
  admitUnsafe: undefined,
  resize: (permits) => own.resize(permits),
  reload: (options) => own.reload(options)
})

const outcomes = ["refused", "interrupted", "failure", "success"]

const counts = (pipeline: string) =>
  Effect.forEach(outcomes, (outcome) =>
    Effect.map(
      Metric.value(
        Metric.withAttributes(Pipeline.callsTotal, { "resilience.policy": pipeline, "resilience.outcome": outcome })
      ),
      ({ count }) => [outcome, count]
    ))

/** What many callers see and leave behind, who come and are interrupted at random moments. */
const history = (name: string, inParts: boolean, seed: number) =>
  Effect.gen(function*() {
    const own = yield* Bulkhead.make({ name, ...description.bulkhead })
    const bulkhead = inParts ? stranger(own) : own
    const pipeline = yield* Pipeline.make({ name, ...description }, { policies: { bulkhead } })
    const events: Array<string> = []
    const note = (text: string) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        events.push(`${String(now).padStart(5, "0")} ${text}`)
      })
    const callers = yield* Effect.forEach(Array.from({ length: 24 }, (_, caller) => caller), (caller) =>
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
            yield* Effect.onInterrupt(Effect.sleep(millis), () =>
              note(`${caller} stops ${attempt}`))
          } else if (kind === 1) yield* Effect.yieldNow
          if (luck < 0.45) return caller
          if (luck < 0.55) return yield* Effect.fail(notFound)
          if (luck < 0.6) return yield* Effect.die("broken")
          if (luck < 0.65) return yield* Effect.interrupt
          return yield* Effect.fail(unavailable)
        })
        const call = Effect.onExit(pipeline.execute(work), (exit) =>
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
      }))
    yield* TestClock.adjust("1 minute")
    yield* Fiber.awaitAll(callers)
    assert.deepStrictEqual(yield* own.snapshot, { permits: 2, running: 0, waiting: 0 })
    const { circuitBreaker } = yield* pipeline.policies
    // What happens within one millisecond happens at once.
    events.sort()
    return { events, state: yield* circuitBreaker?.snapshot ?? Effect.undefined, counts: yield* counts(name) }
  }).pipe(
    Random.withSeed(seed),
    Effect.provideService(Metric.MetricRegistry, new Map()),
    Effect.provide(TestClock.layer())
  )

describe("a pipeline that meets its parts in one step", () => {
  it.effect.prop(
    "does what the same parts do one by one",
    { seed: Schema.Int, operations: Schema.Literals([4, 5, 7, 2048]) },
    ({ operations, seed }) =>
      Effect.gen(function*() {
        const atOnce = yield* history("ledger", false, seed)
        assert.deepStrictEqual(atOnce, yield* history("ledger", true, seed))
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations)),
    { timeout: 60_000, arbitrary: { runs: 100, seed: 6 } }
  )

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
      assert.deepStrictEqual(yield* bulkhead?.snapshot ?? Effect.undefined, { permits: 2, running: 0, waiting: 0 })
    }))

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

  it.effect("counts attempts anew inside another retry", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({ name: "ledger", ...description })
      const seen = yield* pipeline.execute(Effect.service(Attempt.Current)).pipe(
        Effect.provideService(Attempt.Current, { attempt: 3, previous: undefined })
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
      assert.deepStrictEqual(yield* bulkhead?.snapshot ?? Effect.undefined, { permits: 2, running: 0, waiting: 0 })
    }))
})
