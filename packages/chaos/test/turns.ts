import { Effect } from "effect"
import { TestClock } from "effect/testing"

/**
 * Moves the test's clock while `self` runs, 10 ms at a time, in turns of the event loop that serve real sockets and files too. So a
 * busy machine delays a time limit as much as what it limits.
 */
export const passingTime = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const turn = Effect.andThen(TestClock.withLive(Effect.sleep("10 millis")), TestClock.adjust("10 millis"))
    yield* Effect.forkScoped(Effect.forever(turn))
    return yield* self
  }))

/** The same for a whole test, from now on instead of from 1970. */
export const inTurns = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.andThen(Effect.suspend(() => TestClock.setTime(Date.now())), passingTime(self))
