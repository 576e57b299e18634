import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Effect, Exit, Fiber, Layer, Logger, Metric, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Chaos from "../src/Chaos.ts"
import * as Fault from "../src/Fault.ts"
import * as Latency from "../src/Latency.ts"
import * as SpanRecorder from "../src/SpanRecorder.ts"

const laws = { seed: Schema.Int, permille: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })) }

/** The results of a number of calls: the text of the fault, or nothing where a call succeeds. */
const pattern = (chaos: Chaos.Chaos<string, unknown, never, string>, key: string, calls: number) =>
  Effect.replicateEffect(Effect.succeed("").pipe(chaos.inject(key), Effect.catch(Effect.succeed)), calls)

const failing = (probability: number, seed: number) =>
  Chaos.make({ seed, faults: [Fault.fail(({ key, index }) => `${key} ${index}`, { probability })] })

describe("Chaos", () => {
  it.effect.prop(
    "gives the same faults for the same seed, however calls of other keys run in between",
    laws,
    ({ permille, seed }) =>
      Effect.gen(function*() {
        const alone = yield* failing(permille / 1000, seed)
        const among = yield* failing(permille / 1000, seed)
        const first = yield* pattern(alone, "a", 50)
        const second: Array<string> = []
        for (let i = 0; i < 50; i++) {
          yield* pattern(among, "b", i % 3)
          second.push(...(yield* pattern(among, "a", 1)))
        }
        assert.deepStrictEqual(second, first)
      })
  )

  it.effect("gives other faults for another seed, key or name", () =>
    Effect.gen(function*() {
      const one = yield* failing(0.5, 1)
      const other = yield* failing(0.5, 2)
      const [a, b] = [yield* pattern(one, "", 64), yield* pattern(one, "b", 64)]
      const struck = (results: ReadonlyArray<string>) => results.map((result) => result !== "")
      assert.notDeepEqual(struck(b), struck(a))
      assert.notDeepEqual(struck(yield* pattern(other, "", 64)), struck(a))
    }))

  it.effect.prop(
    "strikes as often as its probability says, never at 0 and always at 1",
    laws,
    ({ permille, seed }) =>
      Effect.gen(function*() {
        const calls = 2000
        const struck = (yield* pattern(yield* failing(permille / 1000, seed), "a", calls)).filter((result) =>
          result !== ""
        ).length
        assert.isBelow(Math.abs(struck / calls - permille / 1000), 5 * Math.sqrt(0.25 / calls))
        assert.deepStrictEqual(
          (yield* pattern(yield* failing(0, seed), "a", 100)).filter((result) => result !== ""),
          []
        )
        assert.notInclude(yield* pattern(yield* failing(1, seed), "a", 100), "")
      })
  )

  it.effect("strikes in its periods, at its keys, so many times", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const chaos = yield* Chaos.make({
        seed: 1,
        faults: [Fault.fail(() => "failed", {
          from: "10 seconds",
          for: "5 seconds",
          every: "20 seconds",
          times: 7,
          only: (key) => key === "a"
        })]
      })
      const seen: Array<number> = []
      for (let second = 0; second < 60; second++) {
        if ((yield* pattern(chaos, "a", 1))[0] === "failed") seen.push(second)
        assert.deepStrictEqual(yield* pattern(chaos, "b", 1), [""])
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(seen, [10, 11, 12, 13, 14, 30, 31])
      assert.deepStrictEqual(yield* chaos.counts, { fail: 7 })
    }))

  it.effect("switches faults on and off by name, and kills them for good", () =>
    Effect.gen(function*() {
      const chaos = yield* Chaos.make({
        seed: 1,
        faults: [
          Fault.fail(() => "outer", { name: "outer", enabled: false }),
          Fault.fail(() => "inner", { name: "inner" })
        ]
      })
      const call = Effect.succeed("fine").pipe(chaos.inject("a"), Effect.catch(Effect.succeed))
      assert.strictEqual(yield* call, "inner")
      yield* chaos.on("outer")
      assert.strictEqual(yield* call, "outer")
      yield* chaos.off()
      assert.strictEqual(yield* call, "fine")
      yield* chaos.on()
      assert.strictEqual(yield* call, "outer")
      yield* chaos.kill
      yield* chaos.on()
      assert.strictEqual(yield* call, "fine")
      const unknown = yield* Effect.exit(chaos.off("inber"))
      assert.isTrue(
        Exit.isFailure(unknown) && Cause.pretty(unknown.cause).includes("no fault inber among outer, inner")
      )
    }))

  it.effect("ends waits in progress when it is switched off", () =>
    Effect.gen(function*() {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Fault.hang({ times: 1 }), Fault.delay("1 hour")] })
      const call = yield* Effect.forkChild(Effect.succeed("fine").pipe(chaos.inject("a")))
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(call.pollUnsafe())
      yield* chaos.off("hang")
      yield* TestClock.adjust("30 minutes")
      assert.isUndefined(call.pollUnsafe())
      yield* chaos.off()
      assert.strictEqual(yield* Fiber.join(call), "fine")
    }))

  it.effect("marks each fault in the span, the log and the metrics", () =>
    Effect.gen(function*() {
      const recorder = SpanRecorder.make()
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => lines.push(message))
      const chaos = yield* Chaos.make({ seed: 1, faults: [Fault.fail(() => "late", { name: "outage", times: 1 })] })
      yield* Effect.gen(function*() {
        const call = Effect.void.pipe(chaos.inject("load"), Effect.ignore, Effect.withSpan("call"))
        yield* call
        yield* call
        const series = (yield* Metric.snapshot).filter(({ id }) => id === "chaos.faults")
        assert.deepStrictEqual(series.map(({ attributes }) => attributes), [{ fault: "outage", kind: "fail" }])
      }).pipe(
        recorder.record,
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      assert.deepStrictEqual(
        recorder.spans.map((
          { attributes, events }
        ) => [attributes.get("chaos.fault"), events.map(([name, , told]) => [name, told])]),
        [
          ["outage", [["chaos.fault", {
            "chaos.fault": "outage",
            "chaos.kind": "fail",
            "chaos.key": "load",
            "chaos.call": 0
          }]]],
          [undefined, []]
        ]
      )
      assert.strictEqual(lines.length, 1)
    }))

  it.effect("draws a seed by chance, and says which", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => lines.push(String(message)))
      const chaos = yield* Chaos.make({ faults: [] }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(lines, [`Chaos has the seed ${chaos.seed}`])
    }))

  it.effect("is a layer over a service, with its switches", () =>
    Effect.gen(function*() {
      class Store extends Context.Service<Store, { readonly read: Effect.Effect<string, "gone"> }>()("Store") {}
      const flaky = Chaos.layer(
        Store,
        { seed: 1, faults: [Fault.fail(() => "gone" as const)] },
        (store, chaos) => ({ read: store.read.pipe(chaos.inject("read")) })
      )
      yield* Effect.gen(function*() {
        const { read } = yield* Store
        assert.strictEqual(yield* Effect.flip(read), "gone")
        yield* (yield* Chaos.Controls).off()
        assert.strictEqual(yield* read, "apples")
      }).pipe(Effect.provide(Layer.provide(flaky, Layer.succeed(Store, { read: Effect.succeed("apples") }))))
    }))

  it("rejects what makes no sense where it is written", () => {
    const make = (options: Fault.Options) => () => Chaos.make({ faults: [Fault.hang(options)] })
    assert.throws(make({ probability: 1.1 }), RangeError, "probability is 1.1: it must be from 0 to 1")
    assert.throws(make({ times: 0.5 }), RangeError)
    assert.throws(make({ from: "-1 second" }), RangeError)
    assert.throws(make({ for: "10 seconds", every: "5 seconds" }), RangeError)
    assert.throws(make({ every: "5 seconds" }), RangeError)
    assert.throws(() => Chaos.make({ faults: [Fault.hang(), Fault.hang()] }), RangeError, "Two faults are called hang")
  })
})

describe("Fault", () => {
  const struck = <A, E>(fault: Fault.Fault<string, string, A, E>) => {
    const done: Array<string> = []
    return Effect.gen(function*() {
      const chaos = yield* Chaos.make<string, string, A & string, E>({ seed: 1, faults: [fault as never] })
      const call = Effect.sync(() => {
        done.push("done")
        return "fine"
      })
      return { exit: yield* Effect.exit(call.pipe(chaos.inject("a"))), done: done.length }
    })
  }

  it.effect("strikes instead of the call, or after it has been done", () =>
    Effect.gen(function*() {
      for (const after of [false, true]) {
        const done = after ? 1 : 0
        assert.deepStrictEqual(yield* struck(Fault.fail(() => "lost", { after })), { exit: Exit.fail("lost"), done })
        assert.deepStrictEqual(yield* struck(Fault.die(() => "lost", { after })), { exit: Exit.die("lost"), done })
        assert.deepStrictEqual(yield* struck(Fault.succeed(() => "other", { after })), {
          exit: Exit.succeed("other"),
          done
        })
        const { exit, ...rest } = yield* struck(Fault.interrupt({ after }))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        assert.deepStrictEqual(rest, { done })
      }
      assert.deepStrictEqual(yield* struck(Fault.corrupt((text: string) => `${text}?`)), {
        exit: Exit.succeed("fine?"),
        done: 1
      })
    }))

  it.effect("waits as long as its latency says, the same for the same seed", () =>
    Effect.gen(function*() {
      const times = Effect.gen(function*() {
        const chaos = yield* Chaos.make({ seed: 7, faults: [Fault.delay(Latency.exponential("10 seconds"))] })
        const calls = yield* Effect.forkChild(Effect.replicateEffect(
          Effect.void.pipe(chaos.inject("a"), Effect.andThen(Clock.currentTimeMillis)),
          5
        ))
        const from = yield* Clock.currentTimeMillis
        yield* TestClock.adjust("10 minutes")
        return (yield* Fiber.join(calls)).map((time) => time - from)
      })
      const first = yield* times
      assert.strictEqual(new Set(first).size, 5)
      assert.deepStrictEqual(yield* times, first)
    }))

  it.effect("moves the time of day in the midst of a call, and leaves monotonic time alone", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const chaos = yield* Chaos.make({
        seed: 1,
        faults: [Fault.clockJump({ back: "1 hour" }, { after: "5 seconds" })]
      })
      const read = Effect.all([Clock.currentTimeMillis, Clock.currentTimeNanos, Clock.monotonicTimeNanos])
      const call = yield* Effect.forkChild(
        Effect.all([read, Effect.andThen(Effect.sleep("5 seconds"), read)]).pipe(chaos.inject("a"))
      )
      yield* TestClock.adjust("10 seconds")
      const [[millis, nanos, monotonic], [millisAfter, nanosAfter, monotonicAfter]] = yield* Fiber.join(call)
      assert.strictEqual(millisAfter - millis, 5_000 - 3_600_000)
      assert.strictEqual(nanosAfter - nanos, 5_000_000_000n - 3_600_000_000_000n)
      assert.strictEqual(monotonicAfter - monotonic, 5_000_000_000n)
    }))
})

describe("Latency", () => {
  const quantiles = (latency: Latency.Latency) => [0, 0.25, 0.5, 0.9, 0.99].map((p) => latency.sample(() => p))

  it("has the quantiles of its distribution, in whole milliseconds", () => {
    assert.deepStrictEqual(quantiles(Latency.constant("1 second")), [1000, 1000, 1000, 1000, 1000])
    assert.deepStrictEqual(quantiles(Latency.uniform("1 second", "2 seconds")), [1000, 1250, 1500, 1900, 1990])
    assert.deepStrictEqual(quantiles(Latency.exponential("1 second")), [0, 288, 693, 2303, 4605])
    assert.deepStrictEqual(quantiles(Latency.normal("1 second", "100 millis")), [0, 933, 1000, 1128, 1233])
    assert.deepStrictEqual(quantiles(Latency.percentiles({ p50: "1 second", p99: "8 seconds" })), [
      0,
      547,
      1000,
      3144,
      8000
    ])
    assert.deepStrictEqual(quantiles(Latency.pareto("1 second", 2)), [1000, 1155, 1414, 3162, 10000])
  })

  it("reaches no further than a timer", () => {
    assert.strictEqual(Latency.pareto("1 second", 0.01).sample(() => 1 - 2 ** -32), 2 ** 31 - 1)
  })
})
