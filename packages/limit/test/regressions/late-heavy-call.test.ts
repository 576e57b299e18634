import { Deadline } from "@effect-resilience/deadline"
import * as Time from "@effect-resilience/kernel/Time"
import { Bulkhead, ConcurrencyLimit } from "@effect-resilience/limit"
import { assert, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { TestClock } from "effect/testing"

const begin = <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.forkChild(Effect.exit(call), { startImmediately: true })

interface Permits {
  execute<A>(self: Effect.Effect<A>): Effect.Effect<A, unknown>
  withPermits(permits: number): <A>(self: Effect.Effect<A>) => Effect.Effect<A, unknown>
}

const policies: { readonly [name: string]: Effect.Effect<Permits> } = {
  Bulkhead: Bulkhead.make({ permits: 3, queue: 3 }),
  ConcurrencyLimit: ConcurrencyLimit.make({ algorithm: { fixed: 3 }, queue: 3 })
}

it.effect.each(Object.entries(policies))(
  "a heavy call that waits in a %s beyond its deadline is dropped when a light one comes for which there is room",
  ([, make]) =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const policy = yield* make
      yield* begin(policy.withPermits(2)(Effect.never))
      const now = yield* Time.now
      // A deadline from elsewhere, which interrupts nothing here.
      const heavy = yield* begin(
        Effect.provideService(policy.withPermits(3)(Effect.void), Deadline.Current, { atMillis: now + 50 })
      )
      yield* TestClock.adjust("49 millis")
      const light = yield* begin(policy.execute(Effect.void))
      yield* TestClock.adjust("0 millis")
      assert.isUndefined(light.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const second = yield* begin(policy.execute(Effect.void))
      yield* TestClock.adjust("1 millis")
      const ended = [heavy, light, second].map((fiber) => fiber.pollUnsafe()?.pipe(Exit.map(Exit.isSuccess)))
      assert.deepStrictEqual(ended, [Exit.succeed(false), Exit.succeed(true), Exit.succeed(true)])
    })
)
