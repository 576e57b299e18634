import { ApiError, Recovery, Repetition } from "@effect-resilience/errors"
import { Pipeline } from "@effect-resilience/pipeline"
import { RetryEvent, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

const overTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect), { startImmediately: true })
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined

/** An effect that hangs in its first attempts, and says how often it began. */
const hanging = (times: number) => {
  const began: Array<number> = []
  const effect = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    began.push(now)
    return began.length > times ? Effect.succeed("applied") : Effect.never
  })
  return { began, effect }
}

const retry = { times: 3, backoff: { base: "1 second", jitter: "none" } } as const

// Both ways through a pipeline: all parts in one step, and one by one.
const descriptions = {
  "in one step": { name: "ledger", retry, attemptTimeout: "2 seconds" },
  "one by one": { name: "ledger", retry: { ...retry, maxDuration: "1 hour" }, attemptTimeout: "2 seconds" },
  "without a retry": { name: "ledger", attemptTimeout: "2 seconds" }
} as const satisfies { readonly [name: string]: Pipeline.Description }

describe("the repetition of a call", () => {
  for (const [name, description] of Object.entries(descriptions)) {
    for (const repetition of ["unlessApplied", "unlessBegun"] as const) {
      it.effect(`makes a call that is repeated ${repetition} end with an unknown outcome when it times out, ${name}`, () =>
        Effect.gen(function*() {
          yield* TestClock.adjust("1 hour")
          const ledger = yield* Pipeline.make<Pipeline.Description>(description)
          const { began, effect } = hanging(1)
          const error = errorOf(yield* overTime(Repetition.allow(ledger.execute(effect), repetition)))
          assert.strictEqual(began.length, 1)
          assert.deepInclude(error, { _tag: "TimedOut", outcomeUnknown: true })
          assert.strictEqual(Recovery.of(error), Recovery.verify)
          assert.match(String((error as Error).message), /may have been applied/)
        }))
    }
  }

  for (const repetition of [undefined, "always", "inTurn"] as const) {
    it.effect(`sends a call again that timed out, where it is ${repetition}`, () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 hour")
        const ledger = yield* Pipeline.make(descriptions["in one step"])
        const { began, effect } = hanging(1)
        const call = ledger.execute(effect)
        const exit = yield* overTime(repetition === undefined ? call : Repetition.allow(call, repetition))
        assert.deepStrictEqual(exit, Exit.succeed("applied"))
        assert.strictEqual(began.length, 2)
      }))
  }

  it.effect("retries what was certainly not applied until something may have been", () =>
    Effect.gen(function*() {
      const ledger = yield* Pipeline.make(descriptions["in one step"])
      let attempts = 0
      const failures = [ApiError.reasonFromStatus(429), unconnected, ApiError.reasonFromStatus(503)]
      const order = Effect.suspend(() => Effect.fail(failures[attempts++]))
      const seen: Array<string> = []
      const exit = yield* overTime(
        Repetition.allow(ledger.execute(order), "unlessApplied").pipe(
          RetryEvent.observe((event) => Effect.sync(() => seen.push(RetryEvent.describe(event))))
        )
      )
      assert.strictEqual(attempts, 3)
      assert.strictEqual(errorOf(exit), failures[2])
      assert.match(seen.at(-1) ?? "", /no further attempt: find out whether it was applied/)
    }))

  it.effect("does not repeat a result, which shows that the call was applied", () =>
    Effect.gen(function*() {
      let attempts = 0
      const order = Effect.sync(() => ({ status: 202, attempt: ++attempts }))
      const pending = RetryPolicy.retryWhen(order, RetryPolicy.standard, ({ status }) => status === 202)
      assert.deepStrictEqual(yield* Repetition.allow(pending, "unlessApplied"), { status: 202, attempt: 1 })
    }))

  it.effect("makes a deadline that ends a begun call leave an unknown outcome", () =>
    Effect.gen(function*() {
      const ledger = yield* Pipeline.make({ name: "ledger", deadline: "5 seconds", retry })
      const error = errorOf(yield* overTime(Repetition.allow(ledger.execute(Effect.never), "unlessApplied")))
      assert.deepInclude(error, { _tag: "DeadlineExceeded", begun: true, outcomeUnknown: true })
      assert.strictEqual(Recovery.of(error), Recovery.verify)
      const usual = errorOf(yield* overTime(ledger.execute(Effect.never)))
      assert.notProperty(usual, "outcomeUnknown")
      assert.strictEqual(Recovery.of(usual), Recovery.giveUp)
    }))

  it.effect("limits attempts of a policy of retries in the same way", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({ times: 3, attemptTimeout: "1 second" })
      const { began, effect } = hanging(1)
      const error = errorOf(yield* overTime(Repetition.allow(policy.execute(effect), "unlessApplied")))
      assert.deepInclude(error, { _tag: "TimedOut", outcomeUnknown: true })
      assert.strictEqual(began.length, 1)
    }))
})

const unconnected = new ApiError.TransportFailure({ kind: "refused", code: "ECONNREFUSED", connected: false })
