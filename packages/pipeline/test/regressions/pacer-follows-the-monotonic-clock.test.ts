import * as Pacer from "@effect-resilience/limit/Pacer"
import { Pipeline } from "@effect-resilience/pipeline"
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** The test's clock, whose wall clock is moved by hand. */
const wallClock = Effect.map(Effect.service(Clock.Clock), (clock) => {
  let offset = 0
  const wall = () => clock.currentTimeMillisUnsafe() + offset
  const moved: Clock.Clock = {
    currentTimeMillisUnsafe: wall,
    currentTimeMillis: Effect.sync(wall),
    currentTimeNanosUnsafe: () => BigInt(wall()) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(wall()) * 1_000_000n),
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
  return { moved, move: (millis: number) => offset += millis }
})

const paces = {
  "a pacer": Effect.map(Pacer.make({ limit: 10, window: "1 second" }), (pacer) => pacer.execute(Effect.void)),
  "a pacer of a key": Effect.map(
    Pacer.keyed({ limit: 10, window: "1 second" }),
    (pacers) => pacers.get("acme").execute(Effect.void)
  ),
  "a pipeline": Effect.map(
    Pipeline.make({ name: "ledger", pacer: { limit: 10, window: "1 second" } }),
    (pipeline) => pipeline.execute(Effect.void)
  )
}

for (const [name, pace] of Object.entries(paces)) {
  for (const jump of [-3_600_000, 3_600_000]) {
    it.effect(`keeps the rate of ${name} when the wall clock jumps by ${jump / 1000} s`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 day")
        const { move, moved } = yield* wallClock
        const starts: Array<number> = []
        const began = yield* Clock.currentTimeMillis
        const calls = Effect.gen(function*() {
          const call = yield* pace
          for (let i = 0; i < 20; i++) {
            yield* call
            starts.push(Number(moved.monotonicTimeNanosUnsafe() / 1_000_000n) - began)
            if (i === 5) move(jump)
            if (i === 12) move(-jump)
          }
        })
        const fiber = yield* calls.pipe(
          Effect.provide(Pacer.layerLimiterMemory),
          Effect.provideService(Clock.Clock, moved),
          Effect.forkChild({ startImmediately: true })
        )
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(starts, Array.from({ length: 20 }, (_, index) => index * 100))
      }))
  }
}
