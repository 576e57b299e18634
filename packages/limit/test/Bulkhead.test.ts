import { Recovery } from "@effect-resilience/errors"
import { Bulkhead, ConcurrencyLimit, Rejection } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Random, Scheduler, Schema } from "effect"
import { TestClock } from "effect/testing"

/** A call that runs until its gate opens, and notes when it began. */
const start = Effect.fnUntraced(function*(bulkhead: Bulkhead.Bulkhead, began: Array<number>, name: number) {
  const gate = yield* Deferred.make<void>()
  const work = Effect.andThen(Effect.sync(() => began.push(name)), Deferred.await(gate))
  const fiber = yield* Effect.forkChild(Effect.exit(bulkhead.execute(work)), { startImmediately: true })
  return { fiber, gate }
})

const settle = Effect.yieldNow.pipe(Effect.repeat({ times: 3 }))

describe("Bulkhead", () => {
  it.effect("rejects beyond its permits and its queue, with what to do", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ name: "ledger", permits: 1, queue: 1 })
      const began: Array<number> = []
      yield* start(bulkhead, began, 1)
      yield* start(bulkhead, began, 2)
      const error = yield* Effect.flip(bulkhead.execute(Effect.void))
      assert.strictEqual(error._tag, "BulkheadFull")
      assert.strictEqual(error.reason, "QueueFull")
      assert.strictEqual(error.policy, "ledger")
      assert.deepStrictEqual(Recovery.of(error), Recovery.retryAs("overloaded"))
      assert.isTrue(Rejection.isRejection(error))
      assert.deepStrictEqual(yield* bulkhead.snapshot, { permits: 1, running: 1, waiting: 1, rejected: 1 })
    }))

  it.effect("serves those that wait in order, and lets no one overtake", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 10 })
      const began: Array<number> = []
      const calls = []
      for (let name = 0; name < 4; name++) calls.push(yield* start(bulkhead, began, name))
      for (const call of calls) {
        yield* Deferred.succeed(call.gate, undefined)
        const late = yield* start(bulkhead, began, 99)
        yield* Fiber.interrupt(late.fiber)
        yield* Fiber.join(call.fiber)
        yield* settle
      }
      assert.deepStrictEqual(began, [0, 1, 2, 3, 99])
    }))

  it.effect("gives the permit back whatever way the call ends", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      for (const end of [Effect.void, Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        yield* Effect.exit(bulkhead.execute(end))
      }
      const { fiber } = yield* start(bulkhead, [], 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* bulkhead.snapshot, { permits: 1, running: 0, waiting: 0, rejected: 0 })
    }))

  it.effect("lets a call wait for so long and no longer, whichever is first", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 10, queueTimeout: "1 second" })
      const began: Array<number> = []
      const running = yield* start(bulkhead, began, 0)
      const first = yield* start(bulkhead, began, 1)
      yield* TestClock.adjust("600 millis")
      const second = yield* start(bulkhead, began, 2)
      yield* TestClock.adjust("399 millis")
      assert.strictEqual(first.fiber.pollUnsafe(), undefined)
      yield* TestClock.adjust("1 millis")
      const exit = yield* Fiber.join(first.fiber)
      assert.deepStrictEqual(Exit.findErrorOption(exit)._tag, "Some")
      assert.strictEqual(second.fiber.pollUnsafe(), undefined)
      yield* Deferred.succeed(running.gate, undefined)
      yield* settle
      assert.deepStrictEqual(began, [0, 2])
      const third = yield* start(bulkhead, began, 3)
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(third.fiber)))
    }))

  it.effect("leaves no timer behind when its queue is empty", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 1, queueTimeout: "1 hour" })
      const sleeping = { count: 0 }
      const counting = Effect.clockWith((clock) =>
        Effect.succeed({
          ...clock,
          sleep: (duration: Parameters<typeof clock.sleep>[0]) =>
            Effect.suspend(() => {
              sleeping.count++
              return Effect.ensuring(clock.sleep(duration), Effect.sync(() => sleeping.count--))
            })
        })
      )
      yield* Effect.provideServiceEffect(
        Effect.gen(function*() {
          const one = yield* start(bulkhead, [], 1)
          const two = yield* start(bulkhead, [], 2)
          yield* settle
          assert.strictEqual(sleeping.count, 1)
          yield* Deferred.succeed(one.gate, undefined)
          yield* settle
          assert.strictEqual(sleeping.count, 0)
          yield* Fiber.interrupt(two.fiber)
        }),
        Clock.Clock,
        counting
      )
    }))

  it.effect("grows and shrinks while calls run", () =>
    Effect.gen(function*() {
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 10 })
      const began: Array<number> = []
      const calls = []
      for (let name = 0; name < 5; name++) calls.push(yield* start(bulkhead, began, name))
      yield* bulkhead.resize(3)
      yield* settle
      assert.deepStrictEqual(began, [0, 1, 2])
      yield* bulkhead.resize(1)
      for (const call of calls.slice(0, 2)) yield* Deferred.succeed(call.gate, undefined)
      yield* settle
      assert.deepStrictEqual(began, [0, 1, 2])
      yield* Effect.forEach(calls, (call) => Deferred.succeed(call.gate, undefined))
      yield* settle
      assert.deepStrictEqual(began, [0, 1, 2, 3, 4])
      assert.deepStrictEqual(yield* bulkhead.snapshot, { permits: 1, running: 0, waiting: 0, rejected: 0 })
    }))

  it.effect(
    "runs a hundred thousand waiting calls without nesting them, never more than its permits at once",
    () =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ permits: 100, queue: Infinity })
        let running = 0
        let most = 0
        let done = 0
        const work = Effect.andThen(
          Effect.sync(() => {
            most = Math.max(most, ++running)
          }),
          Effect.sync(() => {
            running--
            done++
          })
        )
        const hold = yield* Effect.forEach(
          Array.from({ length: 100 }, (_, name) => name),
          (name) => start(bulkhead, [], name)
        )
        const all = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 100_000 }), () => bulkhead.execute(work), {
            concurrency: "unbounded",
            discard: true
          }),
          { startImmediately: true }
        )
        yield* Effect.forEach(hold, (call) => Deferred.succeed(call.gate, undefined))
        yield* Fiber.join(all)
        assert.strictEqual(done, 100_000)
        assert.isAtMost(most, 100)
      })
  )

  it.effect("holds a bulkhead for each key, and forgets none that is in use", () =>
    Effect.gen(function*() {
      const tenants = yield* Bulkhead.keyed({ permits: 1, capacity: 4 })
      yield* start(tenants.get("acme"), [], 1)
      for (let i = 0; i < 100; i++) yield* tenants.get(`tenant ${i}`).execute(Effect.void)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(tenants.get("acme").execute(Effect.void))))
      assert.isAtMost(tenants.size, 9)
    }))

  const keyed = {
    Bulkhead: Bulkhead.keyed({ permits: 1, queue: 1, capacity: 1 }),
    ConcurrencyLimit: ConcurrencyLimit.keyed({ algorithm: { fixed: 1 }, queue: 1, capacity: 1 })
  }
  it.effect.each(Object.entries(keyed))(
    "and forgets no %s in which a call waits that is about to begin",
    ([, make]) =>
      Effect.gen(function*() {
        const tenants = yield* make
        const acme = tenants.get("acme")
        const admission = yield* Effect.withFiber((fiber) => Effect.succeed(acme.admitUnsafe?.(fiber)))
        const waiting = yield* Effect.forkChild(acme.execute(Effect.void), { startImmediately: true })
        // It begins a task later.
        admission?.(Exit.void)
        const { running, waiting: left } = yield* acme.snapshot
        assert.deepStrictEqual([running, left], [0, 1])
        for (let i = 0; i < 3; i++) tenants.get(`tenant ${i}`)
        assert.strictEqual(tenants.get("acme"), acme)
        yield* Fiber.join(waiting)
        for (let i = 0; i < 3; i++) tenants.get(`tenant ${i}`)
        assert.notStrictEqual(tenants.get("acme"), acme)
      })
  )

  it.effect("is provided by a layer, or by one without bounds", () =>
    Effect.gen(function*() {
      const nested = Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.Bulkhead
        return yield* Effect.succeed("in").pipe(
          Bulkhead.withBulkhead(bulkhead),
          Bulkhead.withBulkhead(bulkhead),
          Effect.exit
        )
      })
      assert.isTrue(Exit.isFailure(yield* Effect.provide(nested, Bulkhead.layer({ permits: 1 }))))
      assert.deepStrictEqual(yield* Effect.provide(nested, Bulkhead.layerNoop), Exit.succeed("in"))
      assert.strictEqual(yield* Bulkhead.noop.withPermits(1000)(Effect.succeed("in")), "in")
      yield* Effect.scoped(Bulkhead.noop.acquire(1000))
    }))

  it("rejects options that make no sense where they are written", () => {
    assert.throws(() => Bulkhead.make({ permits: 0 }), RangeError)
    assert.throws(() => Bulkhead.make({ permits: 1.5 }), RangeError)
    assert.throws(() => Bulkhead.make({ permits: 1, queue: -1 }), RangeError)
    assert.throws(() => Bulkhead.keyed({ permits: 1, capacity: 0 }), RangeError)
  })

  it.effect("rejects a number of permits that makes no sense later on, too", () =>
    Effect.map(Bulkhead.make({ permits: 1 }), (bulkhead) => {
      for (const permits of [0, 1.5, Number.NaN]) assert.throws(() => bulkhead.resize(permits), RangeError)
    }))

  it.effect.prop(
    "loses no permit and admits not one too many, wherever fibers yield and are interrupted",
    { seed: Schema.Int, operations: Schema.Literals([4, 5, 7, 8]), permits: Schema.Literals([1, 3]) },
    ({ operations, permits, seed }) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ permits, queue: 10 })
        let running = 0
        const linger = Effect.flatMap(Random.nextIntBetween(0, 5), (times) =>
          times === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times }))
        const work = Effect.suspend(() => {
          running++
          assert.isAtMost(running, permits)
          return Effect.ensuring(
            linger,
            Effect.sync(() =>
              running--
            )
          )
        })
        const caller = Effect.andThen(linger, Effect.exit(bulkhead.execute(work)))
        const fibers = yield* Effect.forEach(Array.from({ length: 40 }), () => Effect.forkChild(caller))
        for (const fiber of fibers) {
          yield* linger
          if ((yield* Random.next) < 0.5) yield* Effect.forkChild(Fiber.interrupt(fiber))
        }
        const exits = yield* Fiber.awaitAll(fibers)
        for (const exit of exits) {
          if (Exit.isSuccess(exit) && Exit.isFailure(exit.value)) assert.isFalse(Cause.hasDies(exit.value.cause))
        }
        yield* settle
        const told = exits.filter((exit) =>
          Exit.isSuccess(exit) && Exit.isFailure(exit.value) && !Cause.hasInterrupts(exit.value.cause)
        ).length
        const { rejected, ...snapshot } = yield* bulkhead.snapshot
        assert.deepStrictEqual(snapshot, { permits, running: 0, waiting: 0 })
        // A caller can be interrupted after its rejection and before it hears of it.
        assert.isAtLeast(rejected, told)
        assert.isAtMost(rejected, told + exits.filter(Exit.isFailure).length)
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations), Random.withSeed(seed)),
    { arbitrary: { runs: 150, seed: 6 } }
  )

  const Command = Schema.Union([
    Schema.Struct({ _tag: Schema.Literal("Start") }),
    Schema.Struct({ _tag: Schema.Literals(["End", "Interrupt"]), pick: Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7]) }),
    Schema.Struct({ _tag: Schema.Literal("Wait"), millis: Schema.Literals([1, 50, 100]) }),
    Schema.Struct({ _tag: Schema.Literal("Resize"), permits: Schema.Literals([1, 2, 3]) })
  ])

  it.effect.prop(
    "behaves like the plain model under random calls, ends, interruptions, waits and resizes",
    {
      commands: Schema.Array(Command).check(Schema.isMinLength(40), Schema.isMaxLength(50)),
      permits: Schema.Literals([1, 2, 3]),
      queue: Schema.Literals([0, 1, 3])
    },
    ({ commands, permits, queue }) =>
      Effect.gen(function*() {
        const bulkhead = yield* Bulkhead.make({ permits, queue, queueTimeout: "100 millis" })
        const began: Array<number> = []
        const calls: Array<
          {
            readonly gate: Deferred.Deferred<void>
            readonly fiber: Fiber.Fiber<Exit.Exit<void, Bulkhead.BulkheadFull>>
          }
        > = []
        const model = new Model(permits, queue)
        for (const command of commands) {
          switch (command._tag) {
            case "Start":
              calls.push(yield* start(bulkhead, began, calls.length))
              model.start()
              break
            case "End":
            case "Interrupt": {
              const live = command._tag === "End"
                ? model.running
                : [...model.running, ...model.waiting.map(({ name }) => name)]
              const name = live[command.pick % Math.max(1, live.length)]
              const call = name === undefined ? undefined : calls[name]
              if (name === undefined || call === undefined) break
              if (command._tag === "End") yield* Deferred.succeed(call.gate, undefined)
              else yield* Fiber.interrupt(call.fiber)
              model.end(name)
              break
            }
            case "Wait":
              yield* TestClock.adjust(command.millis)
              model.wait(command.millis)
              break
            case "Resize":
              yield* bulkhead.resize(command.permits)
              model.permits = command.permits
              model.grant()
          }
          yield* settle
          assert.deepStrictEqual(began, model.began, JSON.stringify(command))
          assert.deepStrictEqual(yield* bulkhead.snapshot, {
            permits: model.permits,
            running: model.running.length,
            waiting: model.waiting.length,
            rejected: model.rejected.size
          }, JSON.stringify(command))
        }
        const rejected = calls.map(({ fiber }) => {
          const exit = fiber.pollUnsafe()
          return exit !== undefined && Exit.isSuccess(exit) && Exit.isFailure(exit.value)
        })
        for (const [name, wasRejected] of rejected.entries()) {
          assert.strictEqual(wasRejected, model.rejected.has(name), `rejected ${name}`)
        }
      }).pipe(Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 300, seed: 6 } }
  )
})

class Model {
  now = 0
  names = 0
  readonly began: Array<number> = []
  running: Array<number> = []
  waiting: Array<{ readonly name: number; readonly until: number }> = []
  readonly rejected = new Set<number>()
  permits: number
  readonly queue: number

  constructor(permits: number, queue: number) {
    this.permits = permits
    this.queue = queue
  }

  start() {
    const name = this.names++
    if (this.running.length < this.permits && this.waiting.length === 0) this.run(name)
    else if (this.waiting.length < this.queue) this.waiting.push({ name, until: this.now + 100 })
    else this.rejected.add(name)
  }

  end(name: number) {
    this.running = this.running.filter((other) => other !== name)
    this.waiting = this.waiting.filter((other) => other.name !== name)
    this.grant()
  }

  wait(millis: number) {
    this.now += millis
    for (const { name, until } of this.waiting) {
      if (until <= this.now) this.rejected.add(name)
    }
    this.waiting = this.waiting.filter(({ until }) => until > this.now)
  }

  grant() {
    while (this.running.length < this.permits) {
      const next = this.waiting.shift()
      if (next === undefined) return
      this.run(next.name)
    }
  }

  private run(name: number) {
    this.running.push(name)
    this.began.push(name)
  }
}
