import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Random, Schema } from "effect"
import { next } from "../src/internal/delays.ts"
import * as jitterTable from "../src/jitter/index.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const run = (backoff: Backoff.Backoff, seed: number, count = 12): ReadonlyArray<number> => {
  const random = Effect.runSync(Random.withSeed(Effect.service(Random.Random), seed))
  const next = Backoff.delays(backoff, () => random.nextDoubleUnsafe())
  return Array.from({ length: count }, () => Duration.toMillis(next()))
}

const law = (
  name: string,
  jitter: Backoff.Jitter,
  holds: (delay: number, exponential: number, context: { base: number; cap: number; previous: number }) => boolean
) =>
  it.prop(
    name,
    [between(1, 5000), between(1, 4), between(1, 20), between(0, 2 ** 31)],
    ([base, factor, times, seed]) => {
      const cap = base * times
      // Polly knows no other factors.
      if (jitter === "polly" && factor > 2) return
      const delays = run(Backoff.exponential({ base, factor, cap, jitter }), seed)
      delays.forEach((delay, index) => {
        const exponential = Math.min(cap, base * factor ** index)
        assert.isTrue(Number.isInteger(delay))
        assert.isTrue(
          holds(delay, exponential, { base, cap, previous: delays[index - 1] ?? base }),
          `delay ${index + 1} of base ${base}, factor ${factor}, cap ${cap}, seed ${seed}: ${delays.join(", ")}`
        )
      })
    }
  )

describe("Backoff", () => {
  law("grows to the cap and stays there without jitter", "none", (delay, exponential) => delay === exponential)

  law(
    "stays within zero and the exponential delay with full jitter",
    "full",
    (delay, exponential) => delay >= 0 && delay <= exponential
  )

  law(
    "stays within half and the whole delay with equal jitter",
    "equal",
    (delay, exponential) => delay >= Math.floor(exponential / 2) && delay <= exponential
  )

  law(
    "stays within the base and three times the previous delay with decorrelated jitter",
    "decorrelated",
    // The previous delay was rounded for us, not for the formula.
    (delay, _, { base, cap, previous }) => delay >= base && delay <= Math.min(cap, Math.ceil((previous + 0.5) * 3))
  )

  law(
    "is never negative nor above the cap with Polly's jitter",
    "polly",
    (delay, _, { cap }) => delay >= 0 && delay <= cap
  )

  // Of the table, those that need no options.
  const names = Object.keys(jitterTable).filter((name) => name !== "proportional") as ReadonlyArray<"full">
  const jitters: ReadonlyArray<Backoff.Jitter> = [...names, 0, 0.2, 1, { proportional: 0.3 }]

  it.prop(
    "gives a finite delay within the cap, whatever the policy, before whichever retry, whatever is drawn",
    [
      Schema.Literals([0, 0.4, 1, 100, 86_400_000, 1e300]),
      Schema.Literals([1, 1.1, 2, 10, 1e308]),
      Schema.Literals([1, 3, 1e6, "endlessly"]),
      Schema.Literals(jitters.map((_, index) => index)),
      between(0, 1_000_000),
      Schema.Array(Schema.Literals([0, 0.5, 1 - Number.EPSILON, "NaN"]))
    ],
    ([base, factor, times, index, retries, draws]) => {
      const jitter = jitters[index]
      if (jitter === "polly" && factor !== 1 && factor !== 2) return
      const cap = Math.max(base, times === "endlessly" ? Infinity : base * times)
      const backoff = Backoff.exponential({ base, factor, cap, jitter })
      const { draw } = Backoff.field.read(backoff, "backoff")
      const position = { retries, previous: retries === 0 ? 0 : cap }
      for (const random of [0.5, ...draws, 0.5]) {
        const delay = next(draw, position, () => Number(random))
        assert.isTrue(Number.isInteger(delay) && delay >= 0, `${delay}`)
        const share = typeof jitter === "number"
          ? jitter
          : typeof jitter === "object" && "proportional" in jitter
          ? 0.3
          : 0
        assert.isAtMost(delay, Math.ceil(cap * (1 + share)))
      }
    },
    { arbitrary: { runs: 1000, seed: 8 } }
  )

  law(
    "stays within a fifth around the delay with a jitter of 0.2",
    0.2,
    (delay, exponential) => delay >= Math.floor(exponential * 0.8) && delay <= Math.ceil(exponential * 1.2)
  )

  it("reaches both ends of full jitter", () => {
    const ends = (random: number) =>
      Duration.toMillis(Backoff.delays(Backoff.exponential({ base: 1000 }), () => random)())
    assert.strictEqual(ends(0), 0)
    assert.strictEqual(ends(1 - Number.EPSILON), 1000)
  })

  // Polly.Contrib.WaitAndRetry, DecorrelatedJitterBackoffV2: 2 ** t * tanh(sqrt(4 t)) / 1.4, differences of it, t = n + random.
  it("computes Polly's jitter as its source does", () => {
    const curve = (t: number) => 2 ** t * Math.tanh(Math.sqrt(4 * t))
    const next = Backoff.delays(Backoff.exponential({ base: 1400, cap: "1 hour", jitter: "polly" }), () => 0.25)
    const expected = [curve(0.25), curve(1.25) - curve(0.25), curve(2.25) - curve(1.25)]
    assert.deepStrictEqual([next(), next(), next()].map(Duration.toMillis), expected.map((t) => Math.round(t * 1000)))
  })

  // RetryHelperTests of Polly 8: Constant_Jitter_Ok.
  for (const [random, millis] of [[0, 750], [0.4, 950], [0.6, 1050], [1 - Number.EPSILON, 1250]] as const) {
    it(`gives ${millis} of 1,000 ms with Polly's jitter on a constant backoff, as Polly does for ${random}`, () => {
      const backoffs = [
        Backoff.constant("1 second", "polly"),
        Backoff.exponential({ base: 1000, factor: 1, jitter: "polly" })
      ]
      for (const backoff of backoffs) {
        const next = Backoff.delays(backoff, () => random)
        assert.deepStrictEqual([next(), next(), next()].map(Duration.toMillis), [millis, millis, millis])
      }
    })
  }

  // RetryHelperTests of Polly 8: GetRetryDelay_Exponential_Is_Positive_When_No_Maximum_Delay, …_Does_Not_Exceed_MaxDelay and
  // …_Overflow_ReturnsMaxTimeSpan.
  it("stays positive with Polly's jitter beyond the retry where the formula overflows, and ends at the cap or at .NET's longest", () => {
    for (const [cap, end] of [[30_000, 30_000], [Duration.infinity, 922_337_203_685_477]] as const) {
      const delays = run(Backoff.exponential({ base: 2000, cap, jitter: "polly" }), 1, 1100)
      assert.isTrue(delays.every((delay) => delay > 0))
      assert.deepStrictEqual(delays.slice(1000), Array(100).fill(end))
    }
    assert.strictEqual(
      run(Backoff.exponential({ base: "1 day", cap: Duration.infinity, jitter: "none" }), 1, 1001)[1000],
      922_337_203_685_477
    )
  })

  it("is what it was after it has been stored as JSON", () => {
    for (
      const backoff of [
        Backoff.exponential(),
        Backoff.constant("3 seconds", 0.1),
        Backoff.immediate,
        RetryPolicy.polly.backoff
      ]
    ) {
      assert.deepStrictEqual(run(JSON.parse(JSON.stringify(backoff)), 1), run(backoff, 1))
    }
  })

  it("starts afresh with each run", () => {
    const backoff = Backoff.exponential({ base: 10, jitter: "decorrelated" })
    assert.deepStrictEqual(run(backoff, 7), run(backoff, 7))
  })

  it("stays at zero, at a constant, and finite for a thousand retries", () => {
    assert.isTrue(run(Backoff.immediate, 1, 1100).every((delay) => delay === 0))
    assert.isTrue(run(Backoff.exponential({ base: 0, jitter: "none" }), 1, 1100).every((delay) => delay === 0))
    assert.isTrue(run(Backoff.constant("2 seconds"), 1, 1100).every((delay) => delay === 2000))
    assert.isTrue(run(Backoff.exponential({ jitter: "none" }), 1, 1100).every((delay) => delay <= 20_000))
    assert.isTrue(run(Backoff.constant(100, 0.1), 1, 1100).every((delay) => delay >= 90 && delay <= 110))
  })

  it("keeps a constant delay, which only chance makes up to three times as long", () => {
    const constant = { base: "2 seconds", factor: 1 } as const
    assert.deepStrictEqual(Backoff.constant("2 seconds"), { ...constant, cap: "2 seconds", jitter: "none" })
    assert.deepStrictEqual(Backoff.constant("2 seconds", "full"), { ...constant, cap: 6000, jitter: "full" })
  })

  it("rejects options that make no sense", () => {
    assert.throws(() => Backoff.exponential({ base: "-1 second" }), RangeError)
    assert.throws(() => Backoff.exponential({ base: Duration.infinity, cap: Duration.infinity }), RangeError)
    assert.throws(() => Backoff.exponential({ factor: 0.5 }), RangeError)
    assert.throws(() => Backoff.exponential({ factor: Number.NaN }), RangeError)
    assert.throws(() => Backoff.exponential({ base: 2, cap: 1 }), RangeError)
    assert.throws(() => Backoff.exponential({ jitter: 1.1 }), RangeError)
    assert.throws(() => Backoff.exponential(JSON.parse(`{ "jitter": "Full" }`)), RangeError)
    assert.throws(() => Backoff.exponential({ jitter: "polly", factor: 1.5 }), RangeError)
  })
})
