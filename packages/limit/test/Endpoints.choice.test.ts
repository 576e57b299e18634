import { ApiError } from "@effect-resilience/errors"
import { Bulkhead, Endpoints } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"

const later = TestClock.adjust("5 minutes")

const down = Effect.fail(ApiError.reasonFromStatus(503, {}))

const begin = <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.forkChild(Effect.exit(call), { startImmediately: true })

const latencyOf = <E>(endpoints: Endpoints.Endpoints<E>) =>
  Effect.map(endpoints.snapshot, ({ addresses: [first] }) => first?.latency && Duration.toMillis(first.latency))

/** How many calls each address gets where chance draws each of so many numbers once, evenly from 0 to 1. */
const drawn = Effect.fnUntraced(function*(options: Endpoints.Options, draws: number) {
  yield* later
  const endpoints = yield* Endpoints.make(options)
  const counts = new Map<string, number>()
  for (let i = 0; i < draws; i++) {
    const numbers = [i / draws]
    yield* Effect.provideService(
      endpoints.use((address) => Effect.sync(() => counts.set(address, (counts.get(address) ?? 0) + 1))),
      Random.Random,
      { nextDoubleUnsafe: () => numbers.pop() ?? 0, nextIntUnsafe: () => 0 }
    )
  }
  return (options.addresses as ReadonlyArray<Endpoints.Address>).map(({ address }) => counts.get(address) ?? 0)
})

const weighted = (...weights: ReadonlyArray<number>) => weights.map((weight, i) => ({ address: `a${i}`, weight }))

describe("the calls without load", () => {
  const zones = ["here", "there", "there", "there"].map((zone, i) => ({ address: `a${i}`, zone }))
  const some: ReadonlyArray<readonly [string, Endpoints.Options, ReadonlyArray<number>]> = [
    ["by their weights", { addresses: weighted(1, 3) }, [1, 3]],
    ["by their weights, whatever their order", { addresses: weighted(4, 1, 1, 2) }, [4, 1, 1, 2]],
    ["by the shares of zones", { addresses: zones, zone: "here" }, [2, 2, 0, 0]],
    ["evenly, though some have a zone, where the caller has none", {
      addresses: [...zones.slice(0, 3), { address: "a3" }]
    }, [1, 1, 1, 1]]
  ]
  it.effect.each(some)(
    "are spread over addresses %s, to the last draw",
    ([, options, expected]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* drawn(options, expected.reduce((sum, calls) => sum + calls)), expected)
      })
  )
})

describe("peakEwma", () => {
  it.effect("gives an address the calls under way by its speed", () =>
    Effect.gen(function*() {
      yield* later
      const endpoints = yield* Endpoints.make({
        addresses: ["quick", "slow"],
        load: Endpoints.peakEwma({ decay: "1 day" })
      })
      const learn = endpoints.use((address) => Effect.sleep(address === "quick" ? 100 : 300))
      yield* begin(learn)
      yield* begin(learn)
      yield* TestClock.adjust(300)
      for (let i = 0; i < 40; i++) yield* begin(endpoints.use(() => Effect.never))
      const { addresses } = yield* endpoints.snapshot
      const [quick = 0, slow = 0] = addresses.map(({ inFlight }) => inFlight)
      assert.strictEqual(quick + slow, 40)
      assert.approximately(100 * (1 + quick), 300 * (1 + slow), 300)
    }).pipe(Random.withSeed("peakEwma")))

  it.effect.prop(
    "jumps to a slower attempt, comes down to quicker ones, and is no lower for a failure or an interruption",
    {
      attempts: Schema.Array(Schema.Tuple([
        Schema.Literals(["success", "failure", "interrupt"]),
        Schema.Literals([0, 5, 200, 1000, 4000]),
        Schema.Literals([0, 10, 1000, 60_000])
      ])).check(Schema.isMaxLength(12))
    },
    ({ attempts }) =>
      Effect.gen(function*() {
        yield* later
        const endpoints = yield* Endpoints.make({
          addresses: "a",
          load: Endpoints.peakEwma({ decay: "2 seconds" })
        })
        let known: number | undefined
        let age = 0
        assert.isUndefined(yield* latencyOf(endpoints))
        for (const [how, took, wait] of attempts) {
          yield* TestClock.adjust(wait)
          const ends = { success: Effect.void, failure: down, interrupt: Effect.interrupt }[how]
          yield* begin(endpoints.use(() => Effect.andThen(took === 0 ? Effect.void : Effect.sleep(took), ends)))
          yield* TestClock.adjust(took)
          age += wait + took
          const before = known
          if (how === "failure") known = Math.max(took, known ?? 1000)
          else if (known === undefined || took > known) known = took
          else if (how === "success") known = took + (known - took) * Math.exp(-age / 2000)
          if (how !== "interrupt" || known !== before) age = 0
          assert.approximately((yield* latencyOf(endpoints)) ?? NaN, known, 1e-6)
        }
      }),
    { arbitrary: { runs: 100, seed: 16 } }
  )
})

describe("an attempt that the policy of its address ends before it begins", () => {
  it.effect("teaches nothing where it is interrupted", () =>
    Effect.gen(function*() {
      yield* later
      const bulkhead = yield* Bulkhead.make({ permits: 1, queue: 1 })
      const endpoints = yield* Endpoints.make({ addresses: "a", load: "peakEwma", each: () => bulkhead })
      yield* begin(bulkhead.execute(Effect.never))
      const waiting = yield* begin(endpoints.use(() => Effect.void))
      assert.strictEqual((yield* endpoints.snapshot).inFlight, 1)
      yield* Fiber.interrupt(waiting)
      assert.strictEqual((yield* endpoints.snapshot).inFlight, 0)
      assert.isUndefined(yield* latencyOf(endpoints))
    }))

  it.effect("is no failure of the address where the policy dies", () =>
    Effect.gen(function*() {
      yield* later
      const endpoints = yield* Endpoints.make({
        addresses: ["a", "b"],
        each: () => ({ execute: () => Effect.die("no store") }),
        ejection: { consecutive: 1, maxShare: 1 }
      })
      for (let i = 0; i < 5; i++) yield* Effect.exit(endpoints.use(() => Effect.void))
      const { ejected, inFlight } = yield* endpoints.snapshot
      assert.deepStrictEqual([ejected, inFlight], [0, 0])
    }))
})
