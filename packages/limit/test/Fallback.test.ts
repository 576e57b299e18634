import { ApiError } from "@effect-resilience/errors"
import { Bulkhead, Fallback } from "@effect-resilience/limit"
import * as StaleIfError from "@effect-resilience/limit/StaleIfError"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Schema } from "effect"
import { Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"

const failing = (status: number) => Effect.fail(ApiError.reasonFromStatus(status, {}))

describe("Fallback", () => {
  it.effect("replaces failures of the dependency and rejections, and nothing else", () =>
    Effect.gen(function*() {
      const fallback = Fallback.make({ orElse: () => Effect.succeed("instead") })
      const bulkhead = yield* Bulkhead.make({ permits: 1 })
      const rejected = bulkhead.execute(fallback.execute(bulkhead.execute(Effect.succeed("in"))))
      assert.strictEqual(yield* rejected, "instead")
      for (const status of [429, 500, 502, 503, 504]) {
        assert.strictEqual(yield* Fallback.withFallback(failing(status), fallback), "instead")
      }
      for (const status of [400, 401, 403, 404, 422]) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Fallback.withFallback(failing(status), fallback))), `${status}`)
      }
    }))

  it.effect("never replaces a defect or an interruption", () =>
    Effect.gen(function*() {
      const fallback = Fallback.make({ orElse: () => Effect.succeed("instead"), when: () => true })
      const died = yield* Effect.exit(fallback.execute(Effect.die("bug")))
      assert.isTrue(Exit.isFailure(died) && Cause.hasDies(died.cause))
      const both = Cause.combine(Cause.fail("503"), Cause.die("bug"))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(fallback.execute(Effect.failCause(both)))))
      const interrupted = yield* Effect.exit(fallback.execute(Effect.interrupt))
      assert.isTrue(Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause))
    }))

  it.effect("asks the rule of the caller, and tells the replacement what went wrong", () =>
    Effect.gen(function*() {
      const fallback = Fallback.make({
        orElse: (error) => Effect.succeed(`not ${String(error)}`),
        when: (e) => e === "a"
      })
      assert.strictEqual(yield* fallback.execute(Effect.fail("a")), "not a")
      assert.strictEqual(yield* Effect.flip(fallback.execute(Effect.fail("b"))), "b")
      assert.strictEqual(yield* Effect.flip(Fallback.noop.execute(Effect.fail("a"))), "a")
    }))
})

const Rate = Schema.Struct({ rate: Schema.Number, at: Schema.Date })

describe("StaleIfError", () => {
  const make = StaleIfError.make({ storeId: "rates", schema: Rate, timeToLive: "1 hour" })
  const good = { rate: 1.08, at: new Date(0) }

  it.effect("returns the last good value of the same key while it is not too old", () =>
    Effect.gen(function*() {
      const rates = yield* make
      yield* rates.execute(Effect.succeed(good), "EURUSD")
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* rates.execute(failing(503), "EURUSD"), good)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(rates.execute(failing(503), "EURCHF"))))
      yield* TestClock.adjust("2 minutes")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(rates.execute(failing(503), "EURUSD"))))
    }).pipe(Effect.provide(Persistence.layerMemory)))

  it.effect("hides no error of the caller, and no defect beside a failure", () =>
    Effect.gen(function*() {
      const rates = yield* make
      yield* rates.execute(Effect.succeed(good), "EURUSD")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(rates.execute(failing(404), "EURUSD"))))
      const both = Cause.combine(Cause.fail("503"), Cause.die("bug"))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(rates.execute(Effect.failCause(both), "EURUSD"))))
    }).pipe(Effect.provide(Persistence.layerMemory)))

  it.effect("does without a store that does not respond", () =>
    Effect.gen(function*() {
      const rates = yield* make
      assert.deepStrictEqual(yield* rates.execute(Effect.succeed(good), "EURUSD"), good)
      const error = yield* Effect.flip(rates.execute(failing(503), "EURUSD"))
      assert.strictEqual(error._tag, "ServiceUnavailable")
    }).pipe(Effect.provide(broken)))
})

const down = Effect.fail(new Persistence.PersistenceError({ message: "down" }))

const broken = Persistence.layer.pipe(
  Layer.provide(
    Layer.mock(Persistence.BackingPersistence)({
      make: () =>
        Effect.succeed({
          get: () => down,
          getMany: () => down,
          set: () => down,
          setMany: () => down,
          remove: () => down,
          clear: down
        })
    })
  )
)
