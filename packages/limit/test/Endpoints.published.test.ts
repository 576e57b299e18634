import { ApiError } from "@effect-resilience/errors"
import * as Field from "@effect-resilience/kernel/Field"
import { Endpoints } from "@effect-resilience/limit"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Random } from "effect"
import { TestClock } from "effect/testing"
import { successRateThreshold } from "../src/internal/endpoints/outliers.ts"
import { panics, priorityShares } from "../src/internal/endpoints/spread.ts"
import * as envoy from "./published/envoy.ts"

const down = Effect.fail(ApiError.reasonFromStatus(503, {}))

const names = (count: number) => Array.from({ length: count }, (_, i) => `a${i}`)

/** Makes `calls` calls to one address. */
const send = (endpoints: Endpoints.Endpoints, to: string, calls: number, effect: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    let left = calls
    while (left > 0) {
      yield* Effect.exit(endpoints.use((address) => {
        if (address !== to) return Effect.interrupt
        left--
        return effect
      }))
    }
  })

const sendFew = (endpoints: Endpoints.Endpoints, to: string) => send(endpoints, to, 5, down)

const started = (options: Endpoints.Options) =>
  Effect.gen(function*() {
    yield* TestClock.adjust("1 hour")
    const endpoints = yield* Endpoints.make(options)
    // Envoy's timer starts with the cluster, ours with the first call.
    yield* endpoints.snapshot
    return endpoints
  })

describe("Envoy's outlier detection", () => {
  it("has these defaults", () => {
    const { ejection } = Field.read("Endpoints", Endpoints.fields, { addresses: "a" })
    assert.deepStrictEqual(ejection, { ...envoy.defaults.others, maxShare: undefined })
  })

  it.effect("ejects at most a tenth of the addresses, but one", () =>
    Effect.gen(function*() {
      for (const count of [2, 9, 10, 19, 20, 35]) {
        const endpoints = yield* started({ addresses: names(count) })
        for (const name of names(count)) {
          if ((yield* endpoints.snapshot).ejected < count - 1) yield* sendFew(endpoints, name)
        }
        const most = Math.max(1, Math.floor(count * envoy.defaults.maxShare))
        assert.strictEqual((yield* endpoints.snapshot).ejected, most)
      }
    }).pipe(Random.withSeed("envoy")))

  it("switches panic at half", () => {
    assert.strictEqual(
      Field.read("Endpoints", Endpoints.fields, { addresses: "a" }).panicThreshold,
      envoy.panic.threshold
    )
  })

  it("ejects below this success rate", () => {
    const { deviations, rates, threshold } = envoy.outliers.threshold
    assert.closeTo(successRateThreshold(rates, deviations), threshold, 1e-9)
  })

  it.effect("ejects and returns as its unit test says", () =>
    Effect.gen(function*() {
      const { addresses, ejectedAt, failuresOfTheLast, returnedAt, stillAt, successes } = envoy.outliers.test
      const endpoints = yield* started({ addresses: names(addresses), ejection: { consecutive: Infinity } })
      for (const address of names(addresses)) yield* send(endpoints, address, successes, Effect.void)
      const last = `a${addresses - 1}`
      yield* send(endpoints, last, failuresOfTheLast, down)
      const isEjected = Effect.map(endpoints.snapshot, (snapshot) => snapshot.addresses.at(-1)?._tag === "Ejected")
      assert.isFalse(yield* isEjected)
      yield* TestClock.adjust(ejectedAt)
      assert.isTrue(yield* isEjected)
      assert.strictEqual((yield* endpoints.snapshot).ejected, 1)
      yield* TestClock.adjust(stillAt - ejectedAt)
      assert.isTrue(yield* isEjected)
      yield* TestClock.adjust(returnedAt - stillAt)
      assert.isFalse(yield* isEjected)
    }).pipe(Random.withSeed("envoy")))

  for (const [address, calls] of [[4, 100], [5, 99]] as const) {
    it.effect(`judges ${address} addresses with ${calls} calls each by no success rate`, () =>
      Effect.gen(function*() {
        const endpoints = yield* started({ addresses: names(address), ejection: { consecutive: Infinity } })
        for (const name of names(address)) yield* send(endpoints, name, calls, name === "a0" ? down : Effect.void)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* endpoints.snapshot).ejected, 0)
      }).pipe(Random.withSeed("envoy")))
  }

  it.effect("takes longer with each ejection in a row, and forgives one an interval", () =>
    Effect.gen(function*() {
      const endpoints = yield* started({ addresses: ["a", "b"] })
      const look = Effect.map(endpoints.snapshot, ({ addresses }) => addresses[0])
      const eject = Effect.gen(function*() {
        yield* send(endpoints, "a", 5, down)
        const seen = yield* look
        if (seen?._tag !== "Ejected") return assert.fail("is not ejected")
        yield* TestClock.adjust(seen.retryAfter)
        return Duration.toSeconds(seen.retryAfter)
      })
      const times: Array<number | undefined> = []
      for (let i = 0; i < 12; i++) times.push(yield* eject)
      assert.deepStrictEqual(times, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300])
      assert.strictEqual((yield* look)?.ejections, 11)
      // One late look does what Envoy's timer did meanwhile.
      yield* TestClock.adjust("40 seconds")
      const left = (yield* look)?.ejections ?? 0
      assert.isAtLeast(left, 7)
      assert.isAtMost(left, 8)
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* look)?.ejections, 0)
      assert.strictEqual(yield* eject, 30)
    }).pipe(Random.withSeed("envoy")))

  it.effect("forgives the same whether it is looked at seldom or often", () =>
    Effect.gen(function*() {
      const rows: Array<number | undefined> = []
      for (const steps of [1, 7, 700]) {
        const endpoints = yield* started({ addresses: ["a", "b"] })
        for (let i = 0; i < 8; i++) {
          yield* send(endpoints, "a", 5, down)
          yield* TestClock.adjust("5 minutes")
          yield* endpoints.snapshot
          yield* TestClock.adjust("1 second")
        }
        for (let i = 0; i < steps; i++) {
          yield* TestClock.adjust(35_000 / steps)
          yield* endpoints.snapshot
        }
        rows.push((yield* endpoints.snapshot).addresses[0]?.ejections)
      }
      assert.deepStrictEqual(new Set(rows).size, 1)
    }).pipe(Random.withSeed("envoy")))
})

describe("Envoy's priorities", () => {
  for (const { calls, healthy } of envoy.priorities.rows) {
    it(`give ${calls.join(", ")} % of the calls where ${healthy.join(", ")} % of the addresses are well`, () => {
      const shares = priorityShares(healthy.map((percent) => percent / 100))
      // Envoy counts in whole percents.
      shares.forEach((share, i) => assert.closeTo(share * 100, calls[i] ?? 0, 1))
      assert.closeTo(shares.reduce((sum, share) => sum + share, 0), 1, 1e-9)
    })
  }
})

describe("Envoy's panic", () => {
  for (const { healthy, panic } of envoy.panic.rows) {
    it(`is ${panic.join(", ")} where ${healthy.join(", ")} % of the addresses are well`, () => {
      assert.deepStrictEqual(panics(healthy.map((percent) => percent / 100), envoy.panic.threshold), panic)
    })
  }
})
