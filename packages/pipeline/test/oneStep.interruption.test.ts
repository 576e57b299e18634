import { Recovery } from "@effect-resilience/errors"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import { Part, Pipeline } from "@effect-resilience/pipeline"
import { RetryEvent } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

const description = {
  name: "ledger",
  bulkhead: { permits: 1 },
  retry: { times: 3, backoff: { base: 0, jitter: "none" } },
  circuitBreaker: { tripPolicy: { consecutive: 100 } },
  concurrencyLimit: { algorithm: { fixed: 1 } },
  attemptTimeout: "1 minute"
} as const

/** Stands innermost and does nothing, so that the pipeline puts its parts around each other one by one. */
const plain = Pipeline.around("attempt", "plain", (self) => self)

const make = (oneByOne: boolean) =>
  Pipeline.make(description, { classify: () => Recovery.retry, around: oneByOne ? [plain] : [] })

/** A caller that its own attempt number `at` interrupts, which then does as `then` says. */
const interruptedBy = (at: number, oneByOne: boolean, then: Effect.Effect<void, string>) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("3 days")
    const pipeline = yield* make(oneByOne)
    let attempts = 0
    const attempt = Effect.suspend(() => {
      if (++attempts < at) return Effect.fail("unwell")
      caller.interruptUnsafe()
      return then
    })
    const caller: Fiber.Fiber<unknown, unknown> = yield* Effect.forkChild(
      Effect.onExit(pipeline.execute(attempt), () => Effect.orDie(pipeline.execute(Effect.void)))
    )
    return { caller, pipeline, attempts: () => attempts }
  })

describe("a call whose caller is interrupted by an attempt of it", () => {
  for (const oneByOne of [false, true]) {
    const how = oneByOne ? "one by one" : "in one step"
    for (const at of [1, 2, 3]) {
      it.effect(`has given its permits back before finalizers of the caller run (attempt ${at}, ${how})`, () =>
        Effect.gen(function*() {
          const { attempts, caller } = yield* interruptedBy(at, oneByOne, Effect.fail("unwell"))
          const exit = yield* Fiber.await(caller)
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
          assert.strictEqual(attempts(), at)
        }))

      it.effect(`ends when that attempt has cleaned up (attempt ${at}, ${how})`, () =>
        Effect.gen(function*() {
          const cleaning = Effect.onInterrupt(Effect.never, () => Effect.sleep("1 second"))
          const { caller, pipeline } = yield* interruptedBy(at, oneByOne, cleaning)
          yield* TestClock.adjust("999 millis")
          assert.isUndefined(caller.pollUnsafe())
          assert.strictEqual((yield* pipeline.snapshot).bulkhead?.running, 1)
          yield* TestClock.adjust("1 millis")
          const exit = yield* Fiber.await(caller)
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        }))
    }
  }
})

/** What a call runs between its first attempt and the end of its second one. */
const places = [
  "a part that hears of the first attempt",
  "the news of that part",
  "the classifier",
  "the observer of retries",
  "the clock that is to wait",
  "a part that admits the second attempt",
  "a part that does not admit it",
  "the clock that is to limit it",
  "the second attempt"
] as const

const backoffMillis = 1_000

describe("a call that is interrupted by what it runs between two attempts", () => {
  for (const how of ["in a fiber", "on its own"]) {
    for (const place of places) {
      it.effect(`ends at once, with its permits, and leaves no wait: ${place}, ${how}`, () =>
        Effect.gen(function*() {
          yield* TestClock.adjust("3 days")
          let attempts = 0
          const waits = new Set<number>()
          const at = (here: typeof place) => {
            if (here === place) running.interruptUnsafe()
          }
          const part = Part.make<boolean, Policy.Policy>({
            slot: "throttle",
            field: Field.boolean,
            make: () =>
              Effect.succeed({
                name: "throttle",
                execute: (self) => self,
                admitUnsafe: () => {
                  if (attempts === 1) at("a part that admits the second attempt")
                  if (attempts === 1) at("a part that does not admit it")
                  if (attempts === 1 && place === "a part that does not admit it") return undefined
                  return () => {
                    if (attempts === 1) at("a part that hears of the first attempt")
                    return attempts === 1 ? Effect.sync(() => at("the news of that part")) : undefined
                  }
                },
                snapshot: Effect.void
              })
          })
          const { attemptTimeout, bulkhead, concurrencyLimit, retry } = Pipeline.parts
          const pipeline = yield* Pipeline.makeWith(
            {
              name: "ledger",
              part: true,
              bulkhead: { permits: 1 },
              concurrencyLimit: { algorithm: { fixed: 1 } },
              retry: { times: 1, backoff: { base: backoffMillis, jitter: "none" } },
              attemptTimeout: "1 minute"
            },
            {
              parts: { part, bulkhead, concurrencyLimit, retry, attemptTimeout },
              classify: () => (at("the classifier"), Recovery.retry)
            }
          )
          const attempt = Effect.suspend(() => {
            if (++attempts === 2) at("the second attempt")
            return attempts === 1 ? Effect.delay(Effect.fail("unwell"), 10) : Effect.never
          })
          const testClock = yield* Clock.Clock
          const clock: Clock.Clock = Object.assign(Object.create(testClock), {
            sleep: (duration: Duration.Duration) =>
              Effect.suspend(() => {
                const millis = Duration.toMillis(duration)
                waits.add(millis)
                if (millis === backoffMillis) at("the clock that is to wait")
                if (millis > backoffMillis && attempts === 2) at("the clock that is to limit it")
                return Effect.ensuring(testClock.sleep(duration), Effect.sync(() => waits.delete(millis)))
              })
          })
          const observer: RetryEvent.Observer = () => Effect.sync(() => at("the observer of retries"))
          const context = (yield* Effect.context<never>()).pipe(
            Context.add(Clock.Clock, clock),
            Context.add(RetryEvent.CurrentObserver, observer)
          )
          const call = pipeline.execute(attempt)
          const running: Direct.Running<unknown> = how === "in a fiber"
            ? Effect.runForkWith(context)(call)
            : Direct.startUnsafe(call, context)
          const isOfSecond = places.indexOf(place) > places.indexOf("the clock that is to wait")
          yield* TestClock.adjust(isOfSecond ? 10 + backoffMillis : 10)
          const exit = running.pollUnsafe()
          assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
          const snapshot = yield* pipeline.snapshot
          assert.deepStrictEqual([snapshot.bulkhead?.running, snapshot.concurrencyLimit?.running], [0, 0])
          assert.deepStrictEqual([...waits], [])
          yield* TestClock.adjust("1 hour")
          // An interruption reaches a fiber when its present step has ended.
          const isBegun = places.indexOf(place) > places.indexOf("a part that does not admit it")
          if (how === "on its own") assert.strictEqual(attempts, isBegun ? 2 : 1)
        }))
    }
  }
})
