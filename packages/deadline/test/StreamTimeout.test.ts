import { StreamTimeout } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"

/** Elements after the given waits, in milliseconds, then the end or silence. */
const timed = (waits: ReadonlyArray<number>, end: Stream.Stream<number> = Stream.empty) =>
  Stream.concat(Stream.mapEffect(Stream.fromIterable(waits), (wait) => Effect.delay(Effect.succeed(wait), wait)), end)

const run = <A, E>(stream: Stream.Stream<A, E>, options: StreamTimeout.Options) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("3 hours")
    const began = yield* Clock.currentTimeMillis
    const seen: Array<A> = []
    const running = stream.pipe(
      StreamTimeout.withTimeouts(options),
      Stream.runForEach((a) => Effect.sync(() => seen.push(a))),
      Effect.result,
      Effect.flatMap((result) => Effect.map(Clock.currentTimeMillis, (now) => ({ result, seen, after: now - began })))
    )
    const fiber = yield* Effect.forkChild(running)
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

const reached =
  (limit: "first" | "idle" | "total", timeout: Duration.Input) => (outcome: Effect.Success<ReturnType<typeof run>>) => {
    const { result } = outcome
    assert.strictEqual(result._tag, "Failure")
    if (result._tag !== "Failure") return
    assert.instanceOf(result.failure, StreamTimeout.StreamTimedOut)
    assert.deepInclude(result.failure, { limit, timeout: Duration.fromInputUnsafe(timeout) })
    assert.deepStrictEqual(Recovery.of(result.failure), Recovery.retry)
  }

describe("StreamTimeout", () => {
  it.effect("says that the first element did not come", () =>
    Effect.gen(function*() {
      const outcome = yield* run(Stream.never, { first: "2 seconds", idle: "1 second" })
      reached("first", "2 seconds")(outcome)
      assert.strictEqual(outcome.after, 2000)
    }))

  it.effect("says that a stream fell silent, counted from its last element", () =>
    Effect.gen(function*() {
      const outcome = yield* run(timed([900, 900, 999, 10], Stream.never), { idle: "1 second" })
      reached("idle", "1 second")(outcome)
      assert.strictEqual(outcome.after, 900 + 900 + 999 + 10 + 1000)
      assert.strictEqual(outcome.seen.length, 4)
    }))

  it.effect("limits a stream that never falls silent", () =>
    Effect.gen(function*() {
      const outcome = yield* run(Stream.forever(timed([400])), { idle: "1 second", total: "1 minute" })
      reached("total", "1 minute")(outcome)
      assert.strictEqual(outcome.after, 60_000)
      assert.strictEqual(outcome.seen.length, 149)
    }))

  it.effect("limits the first element by `idle`, unless told otherwise", () =>
    Effect.gen(function*() {
      reached("first", "1 second")(yield* run(Stream.never, { idle: "1 second" }))
      const slow = yield* run(timed([5000, 10]), { first: Duration.infinity, idle: "1 second" })
      assert.deepStrictEqual(slow.seen, [5000, 10])
      assert.strictEqual(slow.result._tag, "Success")
    }))

  it.effect("takes a shorter limit over from a longer one", () =>
    Effect.gen(function*() {
      const outcome = yield* run(timed([10], Stream.never), { first: "1 minute", idle: "1 second" })
      reached("idle", "1 second")(outcome)
      assert.strictEqual(outcome.after, 1010)
    }))

  it.effect("has each limit for itself", () =>
    Effect.gen(function*() {
      reached("first", "2 seconds")(yield* run(Stream.never, { first: "2 seconds" }))
      reached("total", "2 seconds")(yield* run(Stream.never, { total: "2 seconds" }))
      for (const first of ["1 minute", "Infinity"] as const) {
        const silent = yield* run(Stream.concat(Stream.make(1), Stream.never), { first, idle: "1 second" })
        reached("idle", "1 second")(silent)
        assert.strictEqual(silent.after, 1000)
      }
    }))

  it.effect("does not take a limit for another that is a millisecond away", () =>
    Effect.gen(function*() {
      reached("first", "1 second")(yield* run(Stream.never, { idle: 1000, total: 1001 }))
      const outcome = yield* run(timed([1], Stream.never), { idle: 1000 })
      reached("idle", "1 second")(outcome)
      assert.strictEqual(outcome.after, 1001)
    }))

  it.effect("does not count what a slow consumer takes", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const fiber = yield* timed([100, 100, 100]).pipe(
        StreamTimeout.withTimeouts({ idle: "1 second" }),
        Stream.runForEach((a) => Effect.delay(Effect.sync(() => seen.push(a)), "1 minute")),
        Effect.forkChild
      )
      yield* TestClock.adjust("4 minutes")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [100, 100, 100])
    }))

  it.effect("tells a busy consumer of the total when it asks for more", () =>
    Effect.gen(function*() {
      let pulled = 0
      const counting = Stream.tap(Stream.range(1, 10), () => Effect.sync(() => pulled++)).pipe(Stream.rechunk(1))
      const fiber = yield* counting.pipe(
        StreamTimeout.withTimeouts({ total: "1 second" }),
        Stream.runForEach(() => Effect.sleep("1 minute")),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(fiber), { _tag: "StreamTimedOut", limit: "total" })
      assert.strictEqual(pulled, 1)
    }))

  it.effect("passes on failures and defects, and the end", () =>
    Effect.gen(function*() {
      const limits = StreamTimeout.withTimeouts({ idle: "1 second", total: "1 minute" })
      const exits = (stream: Stream.Stream<number, string>) => Effect.exit(Stream.runCollect(limits(stream)))
      assert.deepStrictEqual(yield* exits(Stream.concat(Stream.make(1), Stream.fail("no"))), Exit.fail("no"))
      assert.deepStrictEqual(yield* exits(Stream.die("bug")), Exit.die("bug"))
      assert.deepStrictEqual(yield* exits(Stream.empty), Exit.succeed([]))
      const late = yield* Effect.forkChild(exits(Stream.fromEffect(Effect.delay(Effect.fail("late"), 500))))
      yield* TestClock.adjust(500)
      assert.deepStrictEqual(yield* Fiber.join(late), Exit.fail("late"))
    }))

  it.effect("runs the finalizers of a stream that reached a limit, and of one that its consumer leaves", () =>
    Effect.gen(function*() {
      let released = 0
      const held = Stream.ensuring(timed([1], Stream.never), Effect.sync(() => released++))
      yield* run(held, { idle: "1 second" })
      assert.strictEqual(released, 1)
      const left = yield* run(Stream.take(held, 1), { idle: "1 second" })
      assert.strictEqual(left.result._tag, "Success")
      assert.strictEqual(released, 2)
      const fiber = yield* Effect.forkChild(Stream.runDrain(StreamTimeout.withTimeouts(held, { idle: "1 hour" })))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(released, 3)
    }))

  it.effect("starts no timer for elements, only when one elapses", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let sleeps = 0
      const counting: Clock.Clock = {
        ...clock,
        sleep: (duration) => Effect.andThen(Effect.sync(() => sleeps++), clock.sleep(duration))
      }
      const queue = yield* Queue.unbounded<number>()
      const fiber = yield* Stream.fromQueue(queue).pipe(
        StreamTimeout.withTimeouts({ idle: "1 second" }),
        Stream.runDrain,
        Effect.flip,
        Effect.provideService(Clock.Clock, counting),
        Effect.forkChild
      )
      for (let i = 0; i < 1000; i++) {
        yield* Queue.offer(queue, i)
        yield* TestClock.adjust(4)
      }
      assert.isAtMost(sleeps, 8)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).limit, "idle")
    }))

  it("rejects limits that make no sense, and leaves a stream without limits alone", () => {
    assert.throws(() => StreamTimeout.withTimeouts(Stream.empty, { idle: 0 }), RangeError)
    const stream = Stream.make(1)
    assert.strictEqual(StreamTimeout.withTimeouts(stream, {}), stream)
  })
})
