import { Recovery } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import { Attempt } from "@effect-resilience/retry"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"

it.effect("the first attempt of the fast path and those that follow it are attempts of one call", () =>
  Effect.gen(function*() {
    Attempt.trackCalls()
    const pipeline = yield* Pipeline.make(
      { name: "ledger", retry: { times: 2 }, attemptTimeout: "1 second" },
      { classify: () => Recovery.retry }
    )
    const used: Array<{ readonly call: Attempt.Call; readonly attempt: Attempt.Attempt }> = []
    let others: Array<number> = []
    const failing = Effect.gen(function*() {
      const seen: Array<Attempt.Place> = []
      const call = yield* Attempt.Call
      assert.isDefined(call)
      const attempt = yield* Attempt.Current
      for (let place: Attempt.Place | undefined = { call, attempt }; place !== undefined; place = place.call.around) {
        seen.push(place)
      }
      others.push(
        used.filter((one) => seen.some((place) => place.call === one.call && place.attempt !== one.attempt)).length
      )
      used.push(...seen)
      return yield* Effect.fail("no")
    })
    for (let i = 0; i < 2; i++) {
      others = []
      const fiber = yield* Effect.forkChild(Effect.ignore(pipeline.execute(failing)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(others.length, 3)
      assert.strictEqual(others[0], 0)
      assert.isTrue(others.slice(1).every((count) => count > 0))
    }
  }))
