import { Recovery } from "@effect-resilience/errors"
import { Field, FieldCodec } from "@effect-resilience/kernel"
import { Backoff, Preview, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import type * as variants from "../src/delay/index.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const run = (backoff: Backoff.Options, count: number, random: () => number = () => 0.5): ReadonlyArray<number> => {
  const next = Backoff.delays(backoff, random)
  return Array.from({ length: count }, () => Duration.toMillis(next()))
}

const seeded = (seed: number) => {
  const random = Effect.runSync(Random.withSeed(Effect.service(Random.Random), seed))
  return () => random.nextDoubleUnsafe()
}

const jitters = ["none", "full", "equal", "polly", 0.2] as const

describe("linear delays", () => {
  it.prop(
    "grow by the step to the cap, and a jitter keeps them within its bounds",
    [between(0, 5000), between(0, 5000), between(1, 20), between(0, 4), between(0, 2 ** 31)],
    ([base, step, times, index, seed]) => {
      const jitter = jitters[index] ?? "none"
      const cap = base * times
      const delays = run(Backoff.linear({ base, step, cap, jitter }), 30, seeded(seed))
      for (const [retry, delay] of delays.entries()) {
        const plain = Math.min(cap, base + retry * step)
        const [least, most] = {
          none: [plain, plain],
          full: [0, plain],
          equal: [plain / 2, plain],
          polly: [plain * 0.75, Math.min(cap, plain * 1.25)],
          0.2: [plain * 0.8, plain * 1.2]
        }[jitter] as [number, number]
        assert.isAtLeast(delay, Math.floor(least))
        assert.isAtMost(delay, Math.ceil(most))
      }
    },
    { arbitrary: { seed: 16 } }
  )

  it("have defaults, of which the step is the base", () => {
    assert.deepStrictEqual(run("linear", 3, () => 1 - Number.EPSILON), [500, 1000, 1500])
    assert.deepStrictEqual(run(Backoff.linear(), 50, () => 1 - Number.EPSILON)[49], 20_000)
    assert.deepStrictEqual(run(Backoff.linear({ base: 10, jitter: "none" }), 3), [10, 20, 30])
  })

  // RetryHelperTests of Polly 8: Linear_Ok and Linear_Jitter_Ok.
  it("are those of Polly, also with its jitter", () => {
    assert.deepStrictEqual(run(Backoff.linear({ base: 1000, jitter: "none" }), 3), [1000, 2000, 3000])
    for (
      const [random, expected] of [
        [0, [750, 1500, 2250]],
        [0.4, [950, 1900, 2850]],
        [0.6, [1050, 2100, 3150]],
        [1 - Number.EPSILON, [1250, 2500, 3750]]
      ] as const
    ) {
      assert.deepStrictEqual(run(Backoff.linear({ base: 1000, jitter: "polly" }), 3, () => random), expected)
    }
  })
})

describe("a list of delays", () => {
  it("is used up in order, and its last one repeats", () => {
    assert.deepStrictEqual(run(Backoff.list(["100 millis", 5, "1 second"]), 5), [100, 5, 1000, 1000, 1000])
  })

  it("may have a jitter", () => {
    const delays = run(Backoff.list({ delays: [100, 200], jitter: 0.5 }), 100, seeded(1))
    assert.isTrue(delays.slice(1).every((delay) => delay >= 100 && delay <= 300))
    assert.isAbove(new Set(delays).size, 20)
    assert.deepStrictEqual(run(Backoff.list({ delays: [100] }), 1), [100])
  })
})

describe("delays by a function", () => {
  it("follow the retry, what it gave before, and chance", () => {
    const steps: Array<readonly [number, number]> = []
    const backoff = Backoff.custom(({ previous, random, retry }) => {
      steps.push([retry, Duration.toMillis(previous)])
      return retry * 10 + random() * 4
    })
    assert.deepStrictEqual(run(backoff, 3), [12, 22, 32])
    assert.deepStrictEqual(steps, [[1, 0], [2, 12], [3, 22]])
  })

  it("are finite and not negative, whatever it gives", () => {
    for (
      const [given, delay] of [[Duration.infinity, 922_337_203_685_477], [-5, 0], [Number.NaN, 0], [1.4, 1]] as const
    ) {
      assert.deepStrictEqual(run(Backoff.custom(() => given), 2), [delay, delay])
    }
  })

  it.effect("see what failed", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({
        times: 1,
        backoff: Backoff.custom(({ error }) => error === "slow" ? "10 seconds" : 0)
      })
      const starts: Array<number> = []
      const call = (error: string) =>
        Effect.andThen(
          Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => starts.push(now))),
          Effect.fail(error)
        ).pipe(RetryPolicy.retry(policy, { classify: () => Recovery.retry }), Effect.exit)
      yield* TestClock.setTime(777)
      yield* call("quick")
      const fiber = yield* Effect.forkChild(call("slow"), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(starts, [777, 777, 777, 10_777])
    }))

  it.effect("come on top of a server's time where they use chance", () =>
    Effect.gen(function*() {
      const waited = (backoff: Backoff.Options) =>
        Effect.gen(function*() {
          const start = yield* Clock.currentTimeMillis
          const call = Effect.fail("busy").pipe(
            RetryPolicy.retry(RetryPolicy.make({ times: 1, backoff }), {
              classify: () => Recovery.retryAfter("1 second")
            }),
            Effect.ignore,
            Effect.andThen(Clock.currentTimeMillis)
          )
          const fiber = yield* Effect.forkChild(call, { startImmediately: true })
          yield* TestClock.adjust("1 minute")
          return (yield* Fiber.join(fiber)) - start
        }).pipe(Random.withSeed(1))
      assert.strictEqual(yield* waited(Backoff.custom(() => 300)), 1000)
      assert.strictEqual(yield* waited(Backoff.list([300])), 1000)
      const chance = yield* waited(Backoff.custom(({ random }) => 300 + random()))
      assert.isAtLeast(chance, 1300)
      assert.isAtMost(chance, 1302)
    }))
})

describe("delays that do not grow exponentially", () => {
  const examples: { readonly [K in keyof typeof variants]: Schema.Json } = {
    custom: "mine",
    linear: { base: "1 second", jitter: "equal" },
    list: ["1 second", "2 seconds"]
  }
  const functions = { mine: () => 5 }

  for (const [name, written] of Object.entries(examples)) {
    it.effect(`are ${name} in code, in JSON, in a policy and in its preview`, () =>
      Effect.gen(function*() {
        const field = Field.struct(RetryPolicy.fields)
        const json = { times: 3, backoff: { [name]: written } }
        const options = yield* FieldCodec.decode(field, json, functions)
        assert.deepStrictEqual(yield* FieldCodec.encode(field, options, functions), json)
        const policy = RetryPolicy.make(options)
        assert.deepStrictEqual(policy.backoff, options.backoff)
        const { retries } = Preview.make(policy, { samples: 100 })
        assert.strictEqual(retries.length, 3)
        for (const { median } of retries) assert.isAbove(Duration.toMillis(median), 0)
      }))
  }

  it.effect("are read from a stored policy, and an option that does not exist is an error", () =>
    Effect.gen(function*() {
      const stored = JSON.parse(JSON.stringify(RetryPolicy.make({ backoff: Backoff.list([7, "8 millis"]) })))
      assert.deepStrictEqual(run(RetryPolicy.make(stored).backoff, 2), [7, 8])
      const failure = yield* Effect.flip(
        FieldCodec.decode(Field.struct(RetryPolicy.fields), { backoff: { linear: { stepp: 1 } } })
      )
      assert.include(failure.message, "stepp")
    }))

  it("reject options that make no sense", () => {
    assert.throws(() => Backoff.list([]), RangeError, "Backoff.list")
    assert.throws(() => Backoff.list([Duration.infinity]), RangeError, "Backoff.list")
    assert.throws(() => Backoff.list({ delays: [1], jitter: "decorrelated" }), RangeError, "Backoff.list.jitter")
    assert.throws(() => Backoff.linear({ base: 2, cap: 1 }), RangeError, "Backoff.linear.cap")
    assert.throws(() => Backoff.linear({ step: -1 }), RangeError, "Backoff.linear.step")
    assert.throws(() => RetryPolicy.make({ backoff: { list: [1], base: 1 } as never }), RangeError)
    assert.throws(() => RetryPolicy.make({ backoff: "lineal" as never }), RangeError)
  })

  it("are told from durations", () => {
    for (const backoff of [{}, { base: 1 }, { list: [1] }, "linear", Backoff.immediate]) {
      assert.isTrue(Backoff.isOptions(backoff))
    }
    for (const duration of ["1 second", 5, Duration.seconds(1), [1, 2], { seconds: 1 }]) {
      assert.isFalse(Backoff.isOptions(duration))
    }
    assert.isTrue(Backoff.isExponential(Backoff.constant(1)))
    assert.isFalse(Backoff.isExponential(Backoff.list([1])))
  })
})
