import { NotAsked, Recovery } from "@effect-resilience/errors"
import { Attempt, AttemptBudget, Hedge } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Data, Effect, Exit, Fiber, Random, Schema } from "effect"
import * as Scheduler from "effect/Scheduler"
import { TestClock } from "effect/testing"

const ends = ["success", "success", "retry", "retry", "pushback", "giveUp", "notAsked", "correct", "throttled"] as const

type End = typeof ends[number]

interface Plan {
  readonly millis: number
  readonly end: End
  readonly stubborn: boolean
  readonly cleanup: number
}

const pushback = 333

class Failed extends Data.TaggedError("Failed")<{ readonly index: number; readonly end: End }> {
  get [NotAsked.symbol](): boolean {
    return this.end === "notAsked"
  }
  [Recovery.symbol](): Recovery.Recovery {
    switch (this.end) {
      case "retry":
        return Recovery.retry
      case "pushback":
        return Recovery.retryAfter(pushback)
      case "throttled":
        return Recovery.retryAs("throttled")
      case "correct":
        return Recovery.correct
      default:
        return Recovery.giveUp
    }
  }
}

interface Course {
  readonly starts: ReadonlyArray<number>
  readonly at: number
  readonly result: number
  readonly succeeds: boolean
}

/** What a hedge does, as its documentation says it. `undefined` where two things happen at once. */
const model = (after: number, times: number, budget: number, plans: ReadonlyArray<Plan>): Course | undefined => {
  const starts = [0]
  const running = new Map([[0, plans[0]?.millis ?? 0]])
  const failures: Array<number> = []
  let left = budget
  let most = 1 + times
  let timer = most > 1 ? after : Infinity
  const launch = (now: number) => {
    timer = Infinity
    if (starts.length >= most || left === 0) {
      most = starts.length
      return
    }
    left--
    running.set(starts.length, now + (plans[starts.length]?.millis ?? 0))
    starts.push(now)
    if (starts.length < most) timer = now + after
  }
  for (;;) {
    const next = [...running].toSorted(([, a], [, b]) => a - b)[0]
    if (next === undefined && timer === Infinity) {
      const asked = failures.findLast((index) => plans[index]?.end !== "notAsked")
      const result = asked ?? failures.at(-1) ?? 0
      const last = failures.at(-1) ?? 0
      return { starts, at: (starts[last] ?? 0) + (plans[last]?.millis ?? 0), result, succeeds: false }
    }
    const [index, at] = next ?? [-1, Infinity]
    if (at === timer || [...running.values()].filter((end) => end === at).length > 1) return undefined
    if (timer < at) {
      const now = timer
      launch(now)
      if (running.size === 0) return { starts, at: now, result: lastAsked(failures, plans), succeeds: false }
      continue
    }
    running.delete(index)
    const end = plans[index]?.end ?? "success"
    if (end === "success" || end === "correct") return { starts, at, result: index, succeeds: end === "success" }
    failures.push(index)
    if (end === "retry") launch(at)
    else if (end === "pushback" && starts.length < most) timer = at + pushback
    else {
      timer = Infinity
      if (end !== "pushback") most = starts.length
    }
  }
}

const lastAsked = (failures: ReadonlyArray<number>, plans: ReadonlyArray<Plan>): number =>
  failures.findLast((index) => plans[index]?.end !== "notAsked") ?? failures.at(-1) ?? 0

/** A call with random attempts, and what is left of it once all of them have ended. */
const observe = (seed: number, interruptAt: number | undefined) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("7 seconds")
    const began = yield* Clock.currentTimeMillis
    const now = Effect.map(Clock.currentTimeMillis, (millis) => millis - began)
    const after = yield* Random.nextIntBetween(1, 400)
    const times = yield* Random.nextIntBetween(0, 4)
    const budget = yield* Random.nextIntBetween(0, 4)
    const plans: Array<Plan> = []
    for (let index = 0; index <= times; index++) {
      plans.push({
        millis: yield* Random.nextIntBetween(1, 1000),
        end: ends[yield* Random.nextIntBetween(0, ends.length - 1)] ?? "success",
        stubborn: (yield* Random.next) < 0.3,
        cleanup: yield* Random.nextIntBetween(0, 300)
      })
    }
    const starts: Array<number> = []
    const held = new Set<number>()
    let ended = 0
    let withdrawn = 0
    const counting: AttemptBudget.AttemptBudget = {
      ...AttemptBudget.noop,
      withdrawUnsafe: () => withdrawn < budget && ++withdrawn > 0
    }
    const attempt = Effect.gen(function*() {
      const { hedge: index } = yield* Attempt.Current
      starts.push(yield* now)
      const { cleanup, end, millis, stubborn } = plans[index] ?? assert.fail("more attempts than there may be")
      const work = Effect.gen(function*() {
        yield* Effect.acquireRelease(Effect.sync(() => held.add(index)), () => Effect.sync(() => held.delete(index)))
        yield* Effect.sleep(millis)
        assert.isTrue(held.has(index), "an attempt has what it acquired until it ends")
        return end === "success" ? index : yield* new Failed({ index, end })
      })
      return yield* (stubborn ? Effect.uninterruptible(work) : Effect.onInterrupt(work, () => Effect.sleep(cleanup)))
        .pipe(
          Effect.ensuring(Effect.sync(() => ended++))
        )
    })
    const hedge = yield* Hedge.make({ after, times })
    let heldInside: ReadonlyArray<number> = []
    const call = Effect.scoped(Effect.tap(Hedge.withHedge(Hedge.idempotent(attempt), hedge), () =>
      Effect.sync(() => {
        heldInside = [...held]
      }))).pipe(Effect.provideService(AttemptBudget.Current, counting))
    const fiber = yield* Effect.forkChild(Effect.all([Effect.exit(call), now]), { startImmediately: true })
    let runningAtTheEnd = 0
    if (interruptAt !== undefined) {
      yield* TestClock.adjust(interruptAt)
      const pending = fiber.pollUnsafe() === undefined
      const interrupting = yield* Effect.forkChild(
        Effect.andThen(Fiber.interrupt(fiber), Effect.sync(() => starts.length - ended)),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 minute")
      const left = yield* Fiber.join(interrupting)
      if (pending) runningAtTheEnd = left
    }
    yield* TestClock.adjust("1 minute")
    const exit = yield* Fiber.await(fiber)
    assert.strictEqual(ended, starts.length, "every attempt ends")
    assert.deepStrictEqual([...held], [], "nothing is held")
    // One that was interrupted before its first step began all the same.
    const unseen = interruptAt === undefined ? 0 : withdrawn - starts.filter((start) => start > 0).length
    assert.oneOf(unseen, [0, 1])
    assert.strictEqual(
      withdrawn - unseen,
      Math.max(0, starts.length - 1),
      "every further attempt is paid for, and no other"
    )
    assert.strictEqual(runningAtTheEnd, 0, "the interruption of a call waits for its attempts")
    return { course: model(after, times, budget, plans), exit, starts, heldInside }
  }).pipe(Random.withSeed(seed))

const options = { arbitrary: { runs: 300, seed: 16 } }

describe("a hedge", () => {
  it.effect.prop(
    "does what its model does, and leaves nothing behind",
    { seed: Schema.Int },
    ({ seed }) =>
      Effect.gen(function*() {
        const { course, exit, heldInside, starts } = yield* observe(seed, undefined)
        if (course === undefined) return
        const [result, at] = yield* exit
        assert.deepStrictEqual(starts, course.starts)
        assert.strictEqual(at, course.at)
        if (course.succeeds) {
          assert.deepStrictEqual(result, Exit.succeed(course.result))
          assert.include(heldInside, course.result)
        } else assert.strictEqual((yield* Effect.flip(result)).index, course.result)
      }).pipe(Effect.provide(TestClock.layer())),
    options
  )

  it.effect.prop(
    "starts nothing after its call was interrupted, and leaves nothing behind",
    {
      seed: Schema.Int,
      at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1500 })),
      operations: Schema.Literals([3, 4, 7, 2048])
    },
    ({ at, operations, seed }) =>
      Effect.gen(function*() {
        const { course, starts } = yield* observe(seed, at)
        assert.isTrue(starts.every((start) => start <= at))
        const before = (start: number) => start < at
        // Fibers that yield often are behind their clock.
        if (course !== undefined && operations === 2048) {
          assert.deepStrictEqual(starts.filter(before), course.starts.filter(before))
        }
      }).pipe(Effect.provide(TestClock.layer()), Effect.provideService(Scheduler.MaxOpsBeforeYield, operations)),
    options
  )
})
