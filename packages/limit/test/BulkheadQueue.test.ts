import { Deadline } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import type { QueueDiscipline } from "@effect-resilience/limit"
import { Bulkhead, Priority } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Option, Random, Scheduler, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as failAtScale from "./published/failAtScale.ts"
import * as priorityShedding from "./published/priorityShedding.ts"

const settle = Effect.yieldNow.pipe(Effect.repeat({ times: 4 }))

const reasonOf = (exit: Exit.Exit<unknown, Bulkhead.BulkheadFull> | undefined) =>
  exit === undefined ? undefined : Option.getOrUndefined(Exit.findErrorOption(exit))?.reason

/** A call that runs until its gate opens, and notes when it began. */
const start = Effect.fnUntraced(
  function*(bulkhead: Bulkhead.Bulkhead, began: Array<number>, name: number, weight = 1, priority = "default") {
    const gate = yield* Deferred.make<void>()
    const work = Effect.andThen(Effect.sync(() => began.push(name)), Deferred.await(gate))
    const call = bulkhead.withPermits(weight)(work)
    const fiber = yield* Effect.forkChild(Effect.exit(Priority.withPriority(call, priority)), {
      startImmediately: true
    })
    return { fiber, gate }
  }
)

const Command = Schema.Union([
  Schema.Struct({
    _tag: Schema.Literal("Start"),
    weight: Schema.Literals([1, 1, 1, 2, 3, 4]),
    priority: Schema.Literals(["live", "batch", "other"])
  }),
  Schema.Struct({ _tag: Schema.Literals(["End", "Interrupt"]), pick: Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7]) }),
  Schema.Struct({ _tag: Schema.Literal("Wait"), millis: Schema.Literals([1, 4, 30]) })
])

const disciplines: Record<string, QueueDiscipline.QueueDiscipline> = {
  fifo: "fifo",
  lifo: "lifo",
  codel: { codel: { target: "5 millis", interval: "20 millis" } }
}

describe("the queue of a bulkhead", () => {
  it.effect.prop(
    "behaves like the plain model with weights, priorities and each discipline, whatever ends or is interrupted",
    {
      commands: Schema.Array(Command).check(Schema.isMinLength(50), Schema.isMaxLength(60)),
      permits: Schema.Literals([1, 2, 3]),
      queue: Schema.Literals([0, 1, 3, 6]),
      discipline: Schema.Literals(["fifo", "lifo", "codel"])
    },
    ({ commands, discipline, permits, queue }) =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 hour")
        const bulkhead = yield* Bulkhead.make({
          permits,
          queue,
          queueTimeout: "50 millis",
          priorities: ["live", "batch"],
          discipline: disciplines[discipline]
        })
        const began: Array<number> = []
        const calls: Array<Effect.Success<ReturnType<typeof start>>> = []
        const model = new Model(permits, queue, discipline)
        for (const command of commands) {
          switch (command._tag) {
            case "Start":
              calls.push(yield* start(bulkhead, began, calls.length, command.weight, command.priority))
              model.start(command.weight, command.priority === "live" ? 0 : 1)
              break
            case "End":
            case "Interrupt": {
              const running = [...model.running.keys()]
              const live = command._tag === "End" ? running : [...running, ...model.waiting.map(({ name }) => name)]
              const name = live[command.pick % Math.max(1, live.length)]
              const call = name === undefined ? undefined : calls[name]
              if (name === undefined || call === undefined) break
              if (command._tag === "End") yield* Deferred.succeed(call.gate, undefined)
              else yield* Fiber.interrupt(call.fiber)
              model.end(name)
              break
            }
            case "Wait":
              for (let i = 0; i < command.millis; i++) {
                yield* TestClock.adjust(1)
                yield* settle
                model.tick()
              }
          }
          yield* settle
          assert.deepStrictEqual(began, model.began, JSON.stringify(command))
          assert.deepStrictEqual(yield* bulkhead.snapshot, {
            permits,
            running: model.weight,
            waiting: model.waiting.length,
            rejected: model.rejected.size
          })
        }
        for (const [name, { fiber }] of calls.entries()) {
          const exit = fiber.pollUnsafe()
          const reason = exit !== undefined && Exit.isSuccess(exit) ? reasonOf(exit.value) : undefined
          assert.strictEqual(reason, model.rejected.get(name), `rejected ${name}`)
        }
      }).pipe(Effect.provide(TestClock.layer())),
    { timeout: 120_000, arbitrary: { runs: 300, seed: 16 } }
  )

  it.effect.prop(
    "loses no permit wherever fibers yield and are interrupted, also of those held for a scope",
    {
      seed: Schema.Int,
      operations: Schema.Literals([4, 5, 7, 8]),
      discipline: Schema.Literals(["fifo", "lifo", "codel"])
    },
    ({ discipline, operations, seed }) =>
      Effect.gen(function*() {
        const permits = 4
        const bulkhead = yield* Bulkhead.make({ permits, queue: 20, discipline: disciplines[discipline] })
        let running = 0
        const linger = Effect.flatMap(Random.nextIntBetween(0, 5), (times) =>
          times === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times }))
        const work = (weight: number) =>
          Effect.suspend(() => {
            running += weight
            assert.isAtMost(running, permits)
            return Effect.ensuring(
              linger,
              Effect.sync(() =>
                running -= weight
              )
            )
          })
        const caller = Effect.flatMap(Random.nextIntBetween(1, 4), (weight) => {
          const held = Effect.scoped(Effect.andThen(bulkhead.acquire(weight), work(weight)))
          return Effect.flatMap(
            Random.next,
            (draw) =>
              Effect.andThen(linger, Effect.exit(draw < 0.5 ? held : bulkhead.withPermits(weight)(work(weight))))
          )
        })
        const fibers = yield* Effect.forEach(Array.from({ length: 40 }), () => Effect.forkChild(caller))
        for (const fiber of fibers) {
          yield* linger
          if ((yield* Random.next) < 0.5) yield* Effect.forkChild(Fiber.interrupt(fiber))
        }
        for (const exit of yield* Fiber.awaitAll(fibers)) {
          if (Exit.isSuccess(exit)) assert.isFalse(Exit.hasDies(exit.value))
        }
        yield* settle
        const { running: left, waiting } = yield* bulkhead.snapshot
        assert.deepStrictEqual({ left, waiting }, { left: 0, waiting: 0 })
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations), Random.withSeed(seed)),
    { arbitrary: { runs: 150, seed: 16 } }
  )

  for (const discipline of ["fifo", "lifo"] as const) {
    it.effect(`holds no more than it may where a call comes again as it gives way (${discipline})`, () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 2, discipline, priorities: ["live", "batch"] })
        const call = (priority: string) =>
          Priority.withPriority(bulkhead.execute(Effect.never), priority).pipe(
            Effect.retry({ times: 3 }),
            Effect.exit,
            Effect.forkChild({ startImmediately: true })
          )
        for (const priority of ["live", "batch", "batch", "live", "live"]) yield* call(priority)
        yield* settle
        assert.strictEqual((yield* bulkhead.snapshot).waiting, 2)
      }))
  }

  it.effect("does not let light calls starve a heavy one", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 3, queue: 10 })
      const began: Array<number> = []
      const first = yield* start(bulkhead, began, 0)
      const second = yield* start(bulkhead, began, 1)
      yield* start(bulkhead, began, 2, 3)
      const light = yield* start(bulkhead, began, 3)
      assert.deepStrictEqual(began, [0, 1])
      yield* Deferred.succeed(first.gate, undefined)
      yield* Deferred.succeed(second.gate, undefined)
      yield* settle
      assert.deepStrictEqual(began, [0, 1, 2])
      assert.isUndefined(light.fiber.pollUnsafe())
    }))

  it.effect("rejects what takes more permits than there are, now or after a resize, and says to give up", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 3, queue: 10 })
      const error = yield* Effect.flip(bulkhead.withPermits(4)(Effect.void))
      assert.strictEqual(error.reason, "TooHeavy")
      assert.deepStrictEqual(Recovery.of(error), Recovery.giveUp)
      yield* start(bulkhead, [], 1)
      const heavy = yield* start(bulkhead, [], 2, 3)
      yield* bulkhead.resize(2)
      assert.strictEqual(reasonOf(yield* Fiber.join(heavy.fiber)), "TooHeavy")
      assert.throws(() => bulkhead.withPermits(0), RangeError)
      assert.throws(() => bulkhead.acquire(1.5), RangeError)
    }))

  it.effect("holds permits until a scope closes", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 2 })
      const scope = yield* Scope.make()
      yield* Effect.provideService(bulkhead.acquire(2), Scope.Scope, scope)
      assert.strictEqual((yield* bulkhead.snapshot).running, 2)
      const error = yield* Effect.flip(Effect.scoped(bulkhead.acquire()))
      assert.strictEqual(error.reason, "QueueFull")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* bulkhead.snapshot).running, 0)
    }))

  it.effect("lets no call wait that cannot begin before its deadline, as the pace of the queue suggests", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 100 })
      const call = bulkhead.execute(Effect.sleep("10 millis"))
      for (let i = 0; i < 40; i++) yield* Effect.forkChild(call, { startImmediately: true })
      yield* TestClock.adjust("100 millis")
      const { waiting } = yield* bulkhead.snapshot
      assert.isAtLeast(waiting, 28)
      const hurried = yield* Effect.flip(Deadline.withDeadline(call, "200 millis"))
      assert.isTrue(hurried._tag === "BulkheadFull" && hurried.reason === "Deadline")
      assert.deepStrictEqual(Recovery.of(hurried), Recovery.giveUp)
      const patient = yield* Effect.forkChild(Deadline.withDeadline(call, "400 millis"), { startImmediately: true })
      yield* TestClock.adjust("399 millis")
      assert.strictEqual(patient.pollUnsafe()?._tag, "Success")
    }))

  it.effect("knows the pace of a queue that has stood for long", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 1_000 })
      const call = bulkhead.execute(Effect.sleep("10 millis"))
      for (let i = 0; i < 600; i++) yield* Effect.forkChild(call, { startImmediately: true })
      for (const _ of [1, 2, 3, 4, 5]) {
        yield* TestClock.adjust("1 second")
        const { waiting } = yield* bulkhead.snapshot
        const hurried = yield* Effect.flip(Deadline.withDeadline(call, 9 * waiting))
        assert.isTrue(hurried._tag === "BulkheadFull" && hurried.reason === "Deadline")
        yield* Effect.forkChild(Deadline.withDeadline(call, 12 * waiting), { startImmediately: true })
        assert.strictEqual((yield* bulkhead.snapshot).waiting, waiting + 1)
      }
    }))

  it.effect("lets a call wait that has a deadline, while the queue has no pace", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 10 })
      const hurried = () =>
        Effect.forkChild(Effect.exit(Deadline.withDeadline(bulkhead.execute(Effect.void), "1 second")), {
          startImmediately: true
        })
      // At first none has begun from the queue, at last ten have, a minute ago.
      for (const calls of [1, 9, 1]) {
        const held = yield* start(bulkhead, [], 0)
        const waiting = [yield* hurried()]
        yield* TestClock.adjust("500 millis")
        for (let call = 1; call < calls; call++) waiting.push(yield* hurried())
        waiting.push(yield* hurried())
        yield* Deferred.succeed(held.gate, undefined)
        for (const fiber of waiting) assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
        yield* TestClock.adjust("1 minute")
      }
    }))

  it.effect("begins no call whose deadline has passed, though nothing interrupted it", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 10 })
      const began: Array<number> = []
      const first = yield* start(bulkhead, began, 0)
      const now = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n)
      const late = yield* start(bulkhead, began, 1).pipe(
        Effect.provideService(Deadline.Current, { atMillis: now + 50 })
      )
      const last = yield* start(bulkhead, began, 2)
      yield* TestClock.adjust("50 millis")
      yield* Deferred.succeed(first.gate, undefined)
      yield* settle
      assert.strictEqual(reasonOf(yield* Fiber.join(late.fiber)), "Deadline")
      assert.deepStrictEqual(began, [0, 2])
      yield* Fiber.interrupt(last.fiber)
    }))

  it.effect("serves user calls as Netflix reports, with twelve times as many prefetches", () =>
    Effect.gen(function*() {
      const { prefetchFactor, userAvailability } = priorityShedding.netflix
      const bulkhead = yield* Bulkhead.make({ permits: 10, queue: 20, priorities: ["user", "prefetch"] })
      const served = { user: 0, prefetch: 0 }
      const sent = { user: 0, prefetch: 0 }
      const send = (priority: "user" | "prefetch") => {
        sent[priority]++
        return bulkhead.execute(Effect.sleep("10 millis")).pipe(
          Effect.match({ onFailure: () => {}, onSuccess: () => void served[priority]++ }),
          Priority.withPriority(priority),
          Effect.forkChild({ startImmediately: true })
        )
      }
      // The bulkhead serves 1,000 calls a second. Users ask for 500.
      for (let i = 0; i < 2000; i++) {
        if (i % 2 === 0) yield* send("user")
        for (let j = 0; j < prefetchFactor / 2; j++) yield* send("prefetch")
        yield* TestClock.adjust(1)
      }
      yield* TestClock.adjust("1 second")
      assert.isAbove(served.user / sent.user, userAvailability)
      assert.isAbove(served.prefetch, 900)
    }))

  it.effect("lets calls wait as long as Facebook does: for an interval, and for the target once the queue stands", () =>
    Effect.gen(function*() {
      const { intervalMillis, targetMillis } = failAtScale.controlledDelay
      yield* TestClock.adjust("1 hour")
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 10, discipline: "codel" })
      const running = yield* start(bulkhead, [], 0)
      const patient = yield* start(bulkhead, [], 1)
      yield* TestClock.adjust(intervalMillis - 1)
      const last = yield* start(bulkhead, [], 2)
      assert.isUndefined(patient.fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(reasonOf(yield* Fiber.join(patient.fiber)), "QueueTimeout")
      yield* TestClock.adjust(targetMillis - 2)
      assert.isUndefined(last.fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(reasonOf(yield* Fiber.join(last.fiber)), "QueueTimeout")
      yield* Fiber.interrupt(running.fiber)
    }))

  for (const [name, { atLeast, discipline }] of Object.entries(failAtScale.queues)) {
    it.effect(
      `serves ${atLeast * 100} % or more of its capacity at three times the load with ${name}, callers giving up`,
      () =>
        Effect.gen(function*() {
          const bulkhead = yield* Bulkhead.make({ permits: 10, queue: 2000, discipline })
          let good = 0
          let late = 0
          // A caller waits a second, but what it has asked for runs nonetheless: a response that comes later is wasted.
          const call = Effect.flatMap(Clock.currentTimeMillis, (began) =>
            Effect.match(bulkhead.execute(Effect.sleep("10 millis")), {
              onFailure: () => {},
              onSuccess: () =>
                Effect.map(Clock.currentTimeMillis, (now) => now - began <= 1000 ? good++ : late++)
            }).pipe(Effect.flatMap((after) => after ?? Effect.void)))
          for (let i = 0; i < 4000; i++) {
            for (let j = 0; j < 3; j++) {
              yield* Effect.forkChild(call, { startImmediately: true })
            }
            yield* TestClock.adjust(1)
          }
          const share = good / 4000
          assert.isAtLeast(share, atLeast)
          if (name === "fifo") {
            assert.isAbove(late, good)
          }
        })
    )
  }
})

/** What `Bulkhead` promises, with lists. */
class Model {
  now = 0
  names = 0
  readonly began: Array<number> = []
  readonly running = new Map<number, number>()
  waiting: Array<{ readonly name: number; readonly weight: number; readonly rank: number; readonly since: number }> = []
  readonly rejected = new Map<number, Bulkhead.BulkheadFull["reason"]>()
  readonly permits: number
  readonly queue: number
  readonly discipline: string
  standsSince = 0

  constructor(permits: number, queue: number, discipline: string) {
    this.permits = permits
    this.queue = queue
    this.discipline = discipline
  }

  get weight() {
    return [...this.running.values()].reduce((sum, weight) => sum + weight, 0)
  }

  get newestFirst() {
    return this.discipline === "lifo" || (this.discipline === "codel" && this.now - this.standsSince > 20)
  }

  start(weight: number, rank: number) {
    const name = this.names++
    if (weight > this.permits) {
      this.rejected.set(name, "TooHeavy")
      return
    }
    if (this.waiting.length === 0 && this.weight + weight <= this.permits) {
      this.run(name, weight)
      return
    }
    if (this.waiting.length >= this.queue && !this.makeRoom(rank)) {
      this.rejected.set(name, "QueueFull")
      return
    }
    if (this.waiting.length === 0) this.standsSince = this.now
    this.waiting.push({ name, weight, rank, since: this.now })
    this.grant()
  }

  end(name: number) {
    this.running.delete(name)
    this.waiting = this.waiting.filter((other) => other.name !== name)
    this.grant()
  }

  tick() {
    this.now++
    for (const { name, since } of this.waiting) {
      const until = this.discipline === "codel" ? Math.max(since + 5, this.standsSince + 20) : Infinity
      if (Math.min(since + 50, until) <= this.now) this.rejected.set(name, "QueueTimeout")
    }
    this.waiting = this.waiting.filter(({ name }) => !this.rejected.has(name))
    this.grant()
  }

  private makeRoom(rank: number): boolean {
    const least = Math.max(...this.waiting.map((one) => one.rank))
    if (this.waiting.length === 0 || least < rank || (least === rank && !this.newestFirst)) return false
    const line = this.waiting.filter((one) => one.rank === least)
    const victim = this.newestFirst ? line[0] : line.at(-1)
    if (victim === undefined) return false
    this.waiting = this.waiting.filter((one) => one !== victim)
    this.rejected.set(victim.name, "QueueFull")
    return true
  }

  private grant() {
    for (;;) {
      const most = Math.min(...this.waiting.map(({ rank }) => rank))
      const line = this.waiting.filter(({ rank }) => rank === most)
      const next = this.newestFirst ? line.at(-1) : line[0]
      if (next === undefined || this.weight + next.weight > this.permits) return
      this.waiting = this.waiting.filter((one) => one !== next)
      this.run(next.name, next.weight)
    }
  }

  private run(name: number, weight: number) {
    this.running.set(name, weight)
    this.began.push(name)
  }
}
