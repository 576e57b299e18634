import { Deadline, Timeout } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

const policy = RetryPolicy.make({ times: 5, backoff: Backoff.constant("1 second") })

// Succeeds at the third attempt, after 2 s.
const release: Effect.Effect<string, string> = Effect.gen(function*() {
  let attempts = 0
  return yield* Effect.suspend(() => ++attempts < 3 ? Effect.fail("locked") : Effect.succeed("released")).pipe(
    RetryPolicy.retry(policy, { classify: () => Recovery.retry })
  )
})

const cleanUps: Record<string, Effect.Effect<string, unknown>> = {
  "with a retry": release,
  "with a deadline of its own": release.pipe(Deadline.withDeadline("1 minute")),
  "with a timeout around a retry": release.pipe(Timeout.withTimeout("1 minute"))
}

for (const [name, cleanUp] of Object.entries(cleanUps)) {
  it.effect(`runs a clean-up ${name} after the deadline of the work, however many deadlines are nested`, () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      for (
        const limits of [["1 second"], ["1 second", "1 minute"], ["1 minute", "1 second"], [
          "1 second",
          "1 second"
        ]] as const
      ) {
        const done: Array<string> = []
        let work: Effect.Effect<never, Deadline.DeadlineExceeded> = Effect.ensuring(
          Effect.never,
          Effect.ignore(Effect.tap(cleanUp, (text) => Effect.sync(() => done.push(text))))
        )
        for (const limit of limits) work = work.pipe(Deadline.withDeadline(limit))
        const fiber = yield* Effect.forkChild(Effect.flip(work), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "DeadlineExceeded")
        assert.deepStrictEqual(done, ["released"])
      }
    }))
}

it.effect("has no deadline left for a clean-up, unless it sets one", () =>
  Effect.gen(function*() {
    yield* TestClock.adjust("1 hour")
    const left: Array<number> = []
    const look = Effect.map(Deadline.remaining, (remaining) => left.push(Duration.toMillis(remaining)))
    const cleanUp = Effect.andThen(look, look.pipe(Deadline.withDeadline("5 seconds"), Effect.ignore))
    const fiber = yield* Effect.forkChild(
      Effect.exit(Effect.ensuring(Effect.never, cleanUp).pipe(Deadline.withDeadline(10))),
      {
        startImmediately: true
      }
    )
    yield* TestClock.adjust(10)
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(left, [Infinity, 5000])
  }))

it.effect("still rejects what begins after the deadline outside its work", () =>
  Effect.gen(function*() {
    yield* TestClock.adjust("1 hour")
    const late = Effect.provideService(Effect.void.pipe(Deadline.withDeadline("1 minute")), Deadline.Current, {
      atMillis: 1
    })
    assert.strictEqual((yield* Effect.flip(late)).begun, false)
  }))
