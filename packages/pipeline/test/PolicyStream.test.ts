import { Timeout } from "@effect-resilience/deadline"
import { PartsDelivered, Recovery, Repetition } from "@effect-resilience/errors"
import type { Policy } from "@effect-resilience/kernel"
import { Bulkhead, CircuitBreaker } from "@effect-resilience/limit"
import { Pipeline, PolicyStream } from "@effect-resilience/pipeline"
import { Backoff, Hedge, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Fiber, Option, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as FastCheck from "fast-check"

class Broken extends Data.TaggedError("Broken")<{ readonly attempt: number }> {
  [Recovery.symbol]() {
    return Recovery.retry
  }
}

/** What each attempt delivers before it breaks or, where `ends`, is whole. */
interface Script {
  readonly delivers: number
  readonly ends: boolean
}

/** Elements say which attempt they come from. The last script is that of all further attempts. */
const scripted = (...scripts: ReadonlyArray<Script>) => {
  const source = { opened: 0, open: 0 }
  const stream = Stream.suspend(() => {
    const attempt = source.opened++
    source.open++
    const { delivers, ends } = scripts[attempt] ?? scripts[scripts.length - 1] ?? { delivers: 0, ends: true }
    const elements = Stream.fromIterable(Array.from({ length: delivers }, (_, i) => `${attempt}:${i}`))
    const end = ends ? Stream.empty : Stream.fail(new Broken({ attempt }))
    return elements.pipe(Stream.rechunk(1), Stream.concat(end), Stream.ensuring(Effect.sync(() => source.open--)))
  })
  return { source, stream }
}

const retries = (times: number) => RetryPolicy.make({ times, backoff: Backoff.immediate })

const seen = <A, E>(stream: Stream.Stream<A, E>) =>
  Effect.gen(function*() {
    const elements: Array<A> = []
    const exit = yield* Effect.exit(Stream.runForEach(stream, (a) => Effect.sync(() => elements.push(a))))
    return { elements, exit }
  })

describe("PolicyStream", () => {
  it.effect("holds a permit until the end of the stream", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      const queue = yield* Queue.unbounded<number, Cause.Done>()
      const stream = PolicyStream.withPolicy(Stream.fromQueue(queue), bulkhead)
      const first = yield* Effect.forkChild(Stream.runCollect(stream))
      yield* Queue.offer(queue, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* bulkhead.snapshot).running, 1)
      assert.strictEqual((yield* Effect.flip(Stream.runCollect(stream)))._tag, "BulkheadFull")
      yield* Queue.end(queue)
      assert.deepStrictEqual(yield* Fiber.join(first), [1])
      assert.strictEqual((yield* bulkhead.snapshot).running, 0)
    }))

  it.effect("gives the permit back to the next, whether the consumer leaves or is interrupted", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      const { source, stream } = scripted({ delivers: 9, ends: false })
      const limited = stream.pipe(PolicyStream.withPolicy(breaker), PolicyStream.withPolicy(bulkhead))
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(limited, 2)), ["0:0", "0:1"])
      assert.strictEqual((yield* bulkhead.snapshot).running, 0)
      const fiber = yield* Effect.forkChild(Stream.runForEach(limited, () => Effect.never))
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* bulkhead.snapshot).running, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* bulkhead.snapshot).running, 0)
      assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
      assert.deepStrictEqual(source, { opened: 2, open: 0 })
    }))

  it.effect("lets a breaker judge the end", () =>
    Effect.gen(function*() {
      const breaker = yield* CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1) })
      const { stream } = scripted({ delivers: 3, ends: true }, { delivers: 3, ends: false })
      const judged = PolicyStream.withPolicy(stream, breaker)
      yield* Stream.runDrain(judged)
      assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(judged)))._tag, "PartsDelivered")
      assert.strictEqual((yield* breaker.snapshot)._tag, "Open")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(judged)))._tag, "CircuitOpen")
    }))

  it.effect("retries while nothing was delivered, and not after that", () =>
    Effect.gen(function*() {
      const { source, stream } = scripted(
        { delivers: 0, ends: false },
        { delivers: 2, ends: false },
        { delivers: 3, ends: true }
      )
      const { elements, exit } = yield* seen(PolicyStream.withPolicy(stream, retries(5)))
      assert.deepStrictEqual(elements, ["1:0", "1:1"])
      const failure = new Broken({ attempt: 1 })
      assert.deepStrictEqual(exit, Exit.fail(new PartsDelivered.PartsDelivered({ failure, delivered: 2 })))
      assert.deepStrictEqual(source, { opened: 2, open: 0 })
    }))

  it.effect("fails as the stream did where nothing was delivered", () =>
    Effect.gen(function*() {
      const { source, stream } = scripted({ delivers: 0, ends: false })
      const { exit } = yield* seen(PolicyStream.withPolicy(stream, retries(2)))
      assert.deepStrictEqual(exit, Exit.fail(new Broken({ attempt: 2 })))
      assert.deepStrictEqual(source, { opened: 3, open: 0 })
    }))

  it.effect("delivers from one attempt only, under a policy that repeats whatever comes", () =>
    Effect.gen(function*() {
      const again: Policy.Policy = {
        name: "again",
        execute: (self) => Effect.andThen(Effect.exit(self), self),
        admitUnsafe: undefined,
        snapshot: Effect.void
      }
      const whole = scripted({ delivers: 2, ends: true })
      assert.deepStrictEqual(yield* Stream.runCollect(PolicyStream.withPolicy(whole.stream, again)), ["0:0", "0:1"])
      assert.strictEqual(whole.source.opened, 1)
      const broken = scripted({ delivers: 2, ends: false })
      const { elements, exit } = yield* seen(PolicyStream.withPolicy(broken.stream, again))
      assert.deepStrictEqual(elements, ["0:0", "0:1"])
      const failure = new Broken({ attempt: 0 })
      assert.deepStrictEqual(exit, Exit.fail(new PartsDelivered.PartsDelivered({ failure, delivered: 2 })))
    }))

  it.effect("delivers from the faster attempt of a hedge, and ends as that one does", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "1 second" })
      let opened = 0
      const source = Stream.suspend(() => {
        const attempt = opened++
        const delay = attempt === 0 ? "5 seconds" : "1 second"
        return Stream.range(0, 9).pipe(
          Stream.mapEffect((i) => Effect.delay(Effect.succeed(`${attempt}:${i}`), delay)),
          Stream.concat(Stream.fail(new Broken({ attempt })))
        )
      })
      const fiber = yield* seen(PolicyStream.withPolicy(source, hedge)).pipe(
        Repetition.allow("always"),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 minute")
      const { elements, exit } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(elements, Array.from({ length: 10 }, (_, i) => `1:${i}`))
      const failure = new Broken({ attempt: 1 })
      assert.deepStrictEqual(exit, Exit.fail(new PartsDelivered.PartsDelivered({ failure, delivered: 10 })))
      assert.strictEqual(opened, 2)
    }))

  it.effect("needs no further attempt of a hedge once one delivers, however long it lasts", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "1 second", times: 3, idempotent: true })
      const source = Stream.mapEffect(Stream.range(1, 60), (i) => Effect.as(Effect.sleep("500 millis"), i))
      const fiber = yield* Effect.forkChild(Stream.runCount(PolicyStream.withPolicy(source, hedge)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 60)
      assert.strictEqual((yield* hedge.snapshot).hedges, 0)
    }))

  it.effect("goes on with the attempt that delivers where another one of its hedge fails", () =>
    Effect.gen(function*() {
      const hedge = yield* Hedge.make({ after: "1 second" })
      let opened = 0
      const source = Stream.suspend(() => {
        const attempt = opened++
        return attempt === 0
          ? Stream.fromEffect(Effect.delay(Effect.fail(new Broken({ attempt })), "5 seconds"))
          : Stream.mapEffect(Stream.range(0, 9), (i) => Effect.delay(Effect.succeed(i), "1 second"))
      })
      const fiber = yield* seen(PolicyStream.withPolicy(source, hedge)).pipe(
        Repetition.allow("always"),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 minute")
      const { elements, exit } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([elements.length, exit], [10, Exit.void])
    }))

  it.effect("says that parts were delivered where a time limit of the policy ends the stream, retried or not", () =>
    Effect.gen(function*() {
      const stream = Stream.concat(Stream.make("first"), Stream.never)
      for (const times of [0, 2]) {
        const policy = RetryPolicy.make({ times, backoff: Backoff.immediate, attemptTimeout: "1 second" })
        const fiber = yield* Effect.forkChild(seen(PolicyStream.withPolicy(stream, policy)))
        yield* TestClock.adjust("1 minute")
        const { elements, exit } = yield* Fiber.join(fiber)
        assert.deepStrictEqual(elements, ["first"])
        const error = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
        assert.instanceOf(error, PartsDelivered.PartsDelivered)
        if (times === 0) assert.instanceOf(error?.failure, Timeout.TimedOut)
        else assert.deepStrictEqual(error?.failure, new Cause.TimeoutError("the policy interrupted the attempt"))
      }
    }))

  it.effect("runs a stream through a whole pipeline", () =>
    Effect.gen(function*() {
      const pipeline = yield* Pipeline.make({
        name: "ledger",
        bulkhead: { permits: 1 },
        retry: { times: 2, backoff: { base: 0 } },
        circuitBreaker: { tripPolicy: { consecutive: 5 } }
      })
      const { stream } = scripted({ delivers: 0, ends: false }, { delivers: 3, ends: true })
      const through = stream.pipe(PolicyStream.withPolicy(pipeline))
      assert.deepStrictEqual(yield* Stream.runCollect(through), ["1:0", "1:1", "1:2"])
      // Runs again, from its beginning.
      assert.deepStrictEqual(yield* Stream.runCollect(through), ["2:0", "2:1", "2:2"])
      assert.strictEqual((yield* pipeline.snapshot).bulkhead?.running, 0)
    }))

  it.effect("pulls when its consumer asks, and not ahead", () =>
    Effect.gen(function*() {
      let pulled = 0
      const counting = Stream.rechunk(Stream.tap(Stream.range(1, 5), () => Effect.sync(() => pulled++)), 1)
      const ahead: Array<number> = []
      yield* counting.pipe(
        PolicyStream.withPolicy(retries(0)),
        Stream.runForEach((n) => Effect.andThen(Effect.yieldNow, Effect.sync(() => ahead.push(pulled - n))))
      )
      assert.deepStrictEqual(ahead, [0, 0, 0, 0, 0])
    }))

  it.effect("keeps what comes after its consumer has stopped waiting, for when it asks again", () =>
    Effect.gen(function*() {
      const source = Stream.fromEffect(Effect.delay(Effect.succeed("late"), "2 seconds"))
      const pull = yield* Stream.toPull(PolicyStream.withPolicy(source, retries(0)))
      const impatient = yield* Effect.forkChild(Effect.timeoutOption(pull, "1 second"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(impatient), Option.none())
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* pull, ["late"])
    }).pipe(Effect.scoped))

  it.effect("passes on defects", () =>
    Effect.gen(function*() {
      const { elements, exit } = yield* seen(
        PolicyStream.withPolicy(Stream.concat(Stream.make(1), Stream.die("bug")), retries(2))
      )
      assert.deepStrictEqual(elements, [1])
      assert.deepStrictEqual(exit, Exit.die("bug"))
    }))

  it("delivers the beginning of one attempt, and succeeds only if that is whole", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.array(FastCheck.record({ delivers: FastCheck.nat(3), ends: FastCheck.boolean() }), {
          minLength: 1,
          maxLength: 5
        }),
        FastCheck.nat(4),
        FastCheck.nat(5),
        (scripts, times, take) =>
          Effect.runPromise(Effect.gen(function*() {
            const { source, stream } = scripted(...scripts)
            const { elements, exit } = yield* seen(Stream.take(PolicyStream.withPolicy(stream, retries(times)), take))
            const attempts = new Set(elements.map((element) => element.split(":")[0]))
            assert.isAtMost(attempts.size, 1)
            assert.deepStrictEqual(elements.map((element) => element.split(":")[1]), elements.map((_, i) => `${i}`))
            assert.strictEqual(source.open, 0)
            const last = scripts[Math.min(source.opened, scripts.length) - 1]
            if (take === 0 || elements.length === take) return
            assert.strictEqual(Exit.isSuccess(exit), last?.ends)
            if (Exit.isSuccess(exit)) assert.strictEqual(elements.length, last?.delivers)
          }))
      ),
      { seed: 1729, numRuns: 300, endOnFailure: true }
    ))
})
