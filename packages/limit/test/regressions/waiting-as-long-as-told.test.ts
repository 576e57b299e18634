import { CircuitBreaker } from "@effect-resilience/limit"
import * as Pacer from "@effect-resilience/limit/Pacer"
import { assert, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"

// How early a platform timer of whole milliseconds may be.
const early = Duration.micros(700n)

const waitAsTold = (retryAfter: Duration.Duration | undefined) =>
  TestClock.adjust(Duration.subtract(retryAfter ?? Duration.zero, early))

it.effect("a call that waited as long as a circuit told it is not rejected again for a part of a millisecond", () =>
  Effect.gen(function*() {
    yield* TestClock.adjust("1 hour")
    const breaker = yield* CircuitBreaker.make({ tripPolicy: { consecutive: 1 }, openDuration: "10 seconds" })
    yield* Effect.exit(breaker.execute(Effect.fail("503")))
    yield* TestClock.adjust("9 seconds")
    const { retryAfter } = yield* Effect.flip(breaker.execute(Effect.void))
    assert.deepStrictEqual(retryAfter, Duration.seconds(1))
    yield* waitAsTold(retryAfter)
    yield* breaker.execute(Effect.void)
    assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
  }))

it.effect("nor does a pacer reject it that lets no call wait", () =>
  Effect.gen(function*() {
    yield* TestClock.adjust("1 hour")
    const pacer = yield* Pacer.make({ limit: 1, window: "1 second", maxWait: 0 })
    yield* pacer.execute(Effect.void)
    const { retryAfter } = yield* Effect.flip(pacer.execute(Effect.void))
    assert.deepStrictEqual(retryAfter, Duration.seconds(1))
    yield* waitAsTold(retryAfter)
    const next = yield* Effect.forkChild(pacer.execute(Effect.void), { startImmediately: true })
    yield* TestClock.adjust(1)
    assert.strictEqual(next.pollUnsafe()?._tag, "Success")
  }).pipe(Effect.provide(Pacer.layerLimiterMemory)))
