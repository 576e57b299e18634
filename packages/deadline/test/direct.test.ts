import { Deadline, Timeout } from "@effect-resilience/deadline"
import { Direct } from "@effect-resilience/kernel"
import { assert, it } from "@effect/vitest"
import { Cause, Clock, Context, Deferred, Effect, Effectable, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** An effect that begins without a fiber, and ends as it is told. */
class Call extends Effectable.Class<string, string> implements Direct.Direct<string, string> {
  readonly log: Array<string> = []
  end: (exit: Exit.Exit<string, string>) => void = () => {};

  [Direct.direct](): Direct.Running<string, string> {
    this.log.push(`began in ${Fiber.getCurrent()?.id}`)
    let ended: Exit.Exit<string, string> | undefined
    return {
      pollUnsafe: () => ended,
      addObserver: (observer) => {
        this.end = (exit) => {
          ended = exit
          observer(exit)
        }
      },
      interruptUnsafe: () => {
        this.log.push("interrupted")
        this.end(Exit.interrupt())
      }
    }
  }

  override asEffect(): Effect.Effect<string, string> {
    return Effect.die("had a fiber")
  }
}

const started = Effect.gen(function*() {
  const call = new Call()
  const fiber = yield* Effect.forkChild(Timeout.withTimeout(call, "1 second"), { startImmediately: true })
  assert.deepStrictEqual(call.log, [`began in ${fiber.id}`])
  return { call, fiber }
})

it.effect("an effect that can do without a fiber begins in the caller's, and ends as it does", () =>
  Effect.gen(function*() {
    const good = yield* started
    good.call.end(Exit.succeed("stored"))
    assert.strictEqual(yield* Fiber.join(good.fiber), "stored")
    const bad = yield* started
    bad.call.end(Exit.fail("full"))
    assert.strictEqual(yield* Effect.flip(Fiber.join(bad.fiber)), "full")
  }))

it.effect("it is interrupted where its time is up, and the limit is what it fails with", () =>
  Effect.gen(function*() {
    const { call, fiber } = yield* started
    yield* TestClock.adjust("999 millis")
    assert.strictEqual(call.log.length, 1)
    yield* TestClock.adjust("1 millis")
    const error = yield* Effect.flip(Fiber.join(fiber))
    assert.deepStrictEqual([typeof error === "string" ? error : error._tag, call.log.at(-1)], [
      "TimedOut",
      "interrupted"
    ])
  }))

it.effect("it is interrupted with its caller, whose timer is gone then", () =>
  Effect.gen(function*() {
    const { call, fiber } = yield* started
    yield* Fiber.interrupt(fiber)
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(call.log.slice(1), ["interrupted"])
  }))

it.effect("one that ends at once starts no timer", () =>
  Effect.gen(function*() {
    const done = Deferred.makeUnsafe<void>()
    const call = Object.assign(new Call(), {
      [Direct.direct]: (): Direct.Running<string, string> => ({
        pollUnsafe: () => Exit.succeed("at once"),
        addObserver: () => Deferred.doneUnsafe(done, Exit.void),
        interruptUnsafe: () => {}
      })
    })
    assert.strictEqual(yield* Timeout.withTimeout(call, "1 second"), "at once")
    assert.strictEqual(yield* Deadline.withDeadline(call, "1 second"), "at once")
    assert.isFalse(Deferred.isDoneUnsafe(done))
    assert.strictEqual(Timeout.withTimeout(call, Infinity), call)
  }))

it.effect("one without a deadline starts no timer, however long it takes", () =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    let timers = 0
    const counting: Clock.Clock = {
      ...clock,
      sleep: (duration) => Effect.andThen(Effect.sync(() => timers++), clock.sleep(duration))
    }
    const call = new Call()
    const unlimited = Deadline.withDeadline(call, Infinity)
    const running = Direct.startUnsafe(unlimited, Context.add(yield* Effect.context(), Clock.Clock, counting))
    const ended: Array<Exit.Exit<string, unknown>> = []
    running.addObserver((exit) => ended.push(exit))
    yield* TestClock.adjust("1 hour")
    call.end(Exit.succeed("stored"))
    assert.deepStrictEqual(ended, [Exit.succeed("stored")])
    assert.strictEqual(timers, 0)
  }))

it.effect("a deadline begins without a fiber around it, in the context that it is given", () =>
  Effect.gen(function*() {
    const seen: Array<number | undefined> = []
    const look = Effect.andThen(
      Effect.withFiber((fiber) => Effect.sync(() => void seen.push(Deadline.remainingMillisUnsafe(fiber)))),
      Effect.never
    )
    const context = yield* Effect.context()
    const running = Direct.startUnsafe(Deadline.withDeadline(look, "2 seconds"), context)
    assert.isFalse(Fiber.isFiber(running))
    assert.deepStrictEqual(seen, [2_000])
    yield* TestClock.adjust("1999 millis")
    assert.isUndefined(running.pollUnsafe())
    yield* TestClock.adjust("1 millis")
    const exit = running.pollUnsafe()
    assert.isTrue(
      exit !== undefined && Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof Deadline.DeadlineExceeded
    )
  }))

it.effect("a deadline that has passed lets nothing begin, and none is no limit, without a fiber too", () =>
  Effect.gen(function*() {
    const context = yield* Effect.context()
    const late = Context.add(context, Deadline.Current, { atMillis: -1 })
    const none = Direct.startUnsafe(Deadline.withDeadline(Effect.die("began"), "2 seconds"), late).pollUnsafe()
    const error = none !== undefined && Exit.isFailure(none) ? Cause.squash(none.cause) : undefined
    assert.isTrue(error instanceof Deadline.DeadlineExceeded && !error.begun)
    const unlimited = Direct.startUnsafe(Deadline.withDeadline(Effect.succeed(1), Infinity), context)
    assert.deepStrictEqual(unlimited.pollUnsafe(), Exit.succeed(1))
  }))
