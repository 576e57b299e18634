import { Timeout } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber, References } from "effect"
import { TestClock } from "effect/testing"

describe("Timeout", () => {
  it.effect("returns the result of an effect that is fast enough", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.succeed(1).pipe(Timeout.withTimeout("1 second")), 1)
      const slow = yield* Effect.forkChild(
        Effect.as(Effect.sleep("999 millis"), 2).pipe(Timeout.withTimeout("1 second"))
      )
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(yield* Fiber.join(slow), 2)
    }))

  it.effect("fails exactly when the time is up, with the timeout in the error", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flip(Timeout.withTimeout(Effect.never, "1 second")))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual(error.timeout, Duration.seconds(1))
      assert.deepStrictEqual(Recovery.of(error), Recovery.retry)
    }))

  it.live("keeps time without a test clock", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Timeout.withTimeout(Effect.never, "5 millis"))
      assert.strictEqual(error._tag, "TimedOut")
    }))

  it.effect("passes on failures and defects unchanged", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.exit(Timeout.withTimeout(Effect.fail("no"), "1 second")), Exit.fail("no"))
      const dying = yield* Effect.forkChild(
        Effect.exit(Timeout.withTimeout(Effect.die("bug").pipe(Effect.delay(10)), 1000))
      )
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* Fiber.join(dying), Exit.die("bug"))
    }))

  it.effect("awaits the finalizers of the effect that it interrupts", () =>
    Effect.gen(function*() {
      let released = false
      const release = Effect.sleep("1 second").pipe(Effect.andThen(Effect.sync(() => released = true)))
      const fiber = yield* Effect.forkChild(
        Effect.exit(Timeout.withTimeout(Effect.onInterrupt(Effect.never, () => release), "1 second"))
      )
      yield* TestClock.adjust("1500 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("500 millis")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
      assert.isTrue(released)
    }))

  it.effect("waits for an effect that cannot be interrupted, and times out then", () =>
    Effect.gen(function*() {
      const commit = Effect.uninterruptible(Effect.sleep("3 seconds"))
      const fiber = yield* Effect.forkChild(Effect.flip(Timeout.withTimeout(commit, "1 second")))
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "TimedOut")
    }))

  it.effect("keeps a defect of a finalizer that ran because the time was up", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Effect.exit(Timeout.withTimeout(Effect.onInterrupt(Effect.never, () => Effect.die("bug")), "1 second"))
      )
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }))

  it.effect("interrupts the effect when it is interrupted itself", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Timeout.withTimeout(Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, void 0)), "1 hour"),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(interrupted)
    }))

  it.effect("runs the effect with the current services and references", () =>
    Effect.gen(function*() {
      const Name = Context.Reference("test/Name", { defaultValue: () => "default" })
      const seen = yield* Effect.all([Name, References.MinimumLogLevel]).pipe(
        Timeout.withTimeout("1 second"),
        Effect.provideService(Name, "provided"),
        Effect.provideService(References.MinimumLogLevel, "Fatal")
      )
      assert.deepStrictEqual(seen, ["provided", "Fatal"])
    }))

  it.effect("leaves no fiber behind if the effect interrupts the fiber that waits for it", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const fiber: Fiber.Fiber<void, Timeout.TimedOut> = yield* Effect.forkChild(
        Effect.yieldNow.pipe(
          Effect.andThen(
            Timeout.withTimeout(
              Effect.suspend(() => {
                fiber.interruptUnsafe()
                return Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, void 0))
              }),
              "1 hour"
            )
          )
        )
      )
      yield* Fiber.await(fiber)
      yield* Deferred.await(interrupted)
    }))

  it.live("keeps no timer of a hundred thousand effects that were fast enough", () =>
    Effect.gen(function*() {
      const pending = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
      const before = pending()
      const fast = Effect.promise(() => Promise.resolve(1)).pipe(Timeout.withTimeout("1 hour"))
      yield* Effect.forEach(Array.from({ length: 100_000 }), () => fast, { discard: true })
      assert.isAtMost(pending(), before)
    }))

  it.effect("does not limit with an infinite duration", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Timeout.withTimeout(Effect.sleep("365 days"), Duration.infinity))
      yield* TestClock.adjust("365 days")
      yield* Fiber.join(fiber)
    }))

  describe("withWatchdog", () => {
    const watched = Effect.fnUntraced(function*(looks: ReadonlyArray<number>, work: Effect.Effect<unknown>) {
      let look = 0
      const fiber = yield* Effect.forkChild(
        work.pipe(
          Timeout.withWatchdog({ remaining: () => looks[look++] ?? 0, orElse: () => Effect.succeed("stalled") }),
          Effect.flatMap((result) => Effect.map(Clock.currentTimeMillis, (at) => ({ result, at })))
        )
      )
      yield* TestClock.adjust("1 hour")
      return { fiber, looks: () => look }
    })

    it.effect("checks again when the remaining time has passed, and interrupts when none is left", () =>
      Effect.gen(function*() {
        const { fiber, looks } = yield* watched([1_000, 500, 2_000, 0], Effect.never)
        assert.deepStrictEqual(yield* Fiber.join(fiber), { result: "stalled", at: 3_500 })
        assert.strictEqual(looks(), 4)
      }))

    it.effect("does not interrupt an effect that ends before, and checks no more", () =>
      Effect.gen(function*() {
        const { fiber, looks } = yield* watched([1_000, 500, 2_000], Effect.as(Effect.sleep("2 seconds"), "done"))
        assert.deepStrictEqual(yield* Fiber.join(fiber), { result: "done", at: 2_000 })
        assert.strictEqual(looks(), 3)
      }))

    it.effect("checks no more after an infinite remaining time", () =>
      Effect.gen(function*() {
        const { fiber } = yield* watched([1_000, Infinity], Effect.as(Effect.sleep("50 minutes"), "done"))
        assert.deepStrictEqual(yield* Fiber.join(fiber), { result: "done", at: 3_000_000 })
      }))
  })
})
