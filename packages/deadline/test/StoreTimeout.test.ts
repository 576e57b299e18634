import { StoreTimeout } from "@effect-resilience/deadline"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** A store that can fall silent, whose calls cannot be interrupted; it counts those that reach it. */
const silentStore = Effect.sync(() => {
  const gate = Deferred.makeUnsafe<void>()
  let silent = true
  let asked = 0
  return {
    asked: () => asked,
    call: Effect.uninterruptible(Effect.suspend(() => {
      asked += 1
      return silent ? Effect.as(Deferred.await(gate), "late") : Effect.succeed("prompt")
    })),
    speak: Effect.suspend(() => {
      silent = false
      return Deferred.done(gate, Exit.void)
    })
  }
})

const outcome = <A>(self: Effect.Effect<A, { readonly _tag: string }>) =>
  Effect.match(self, { onFailure: ({ _tag }) => _tag, onSuccess: String })

describe("StoreTimeout", () => {
  it.effect("leaves a call behind that cannot be interrupted, in an uninterruptible caller too", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const store = yield* silentStore
      const within = StoreTimeout.make("1 second")
      const caller = yield* Effect.forkChild(Effect.uninterruptible(outcome(within(store.call))))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(caller.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(caller), "TimedOut")
    }))

  it.effect("asks a silent store once in a while, and again always once it speaks", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const store = yield* silentStore
      const within = StoreTimeout.make("1 second")
      const first = yield* Effect.forkChild(outcome(within(store.call)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      // Silent: these are told at once, by nobody.
      assert.strictEqual(yield* outcome(within(store.call)), "TimedOut")
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* outcome(within(store.call)), "TimedOut")
      assert.strictEqual(store.asked(), 1)
      yield* TestClock.adjust("1 millis")
      const probe = yield* Effect.forkChild(outcome(within(store.call)), { startImmediately: true })
      assert.strictEqual(yield* outcome(within(store.call)), "TimedOut")
      assert.strictEqual(store.asked(), 2)
      yield* store.speak
      assert.strictEqual(yield* Fiber.join(probe), "late")
      assert.strictEqual(yield* outcome(within(store.call)), "prompt")
    }))

  it.effect("says nothing of the next call, where each is limited alone", () =>
    Effect.gen(function*() {
      const store = yield* silentStore
      const within = StoreTimeout.each("1 second")
      const slow = yield* Effect.forkChild(outcome(within(store.call)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(slow), "TimedOut")
      yield* store.speak
      assert.strictEqual(yield* outcome(within(store.call)), "prompt")
    }))

  it.effect("leaves few calls behind, however many callers come", () =>
    Effect.gen(function*() {
      const store = yield* silentStore
      const within = StoreTimeout.make("1 second")
      let told = 0
      const caller = Effect.map(outcome(within(store.call)), () => told += 1)
      for (let i = 0; i < 600; i++) {
        yield* Effect.forkDetach(caller, { startImmediately: true })
        yield* TestClock.adjust("100 millis")
      }
      yield* TestClock.adjust("1 second")
      assert.strictEqual(told, 600)
      assert.isAtMost(store.asked(), 10 + 60 / 6 + 1)
    }))

  it.effect("passes a failure of the store on, which is a response", () =>
    Effect.gen(function*() {
      const within = StoreTimeout.make("1 second")
      assert.strictEqual(yield* outcome(within(Effect.fail({ _tag: "Refused" }))), "Refused")
      assert.strictEqual(yield* outcome(within(Effect.fail({ _tag: "Refused" }))), "Refused")
    }))

  it.effect("lets a caller that is interrupted go at once, and asks its call to end", () =>
    Effect.gen(function*() {
      const within = StoreTimeout.make("1 second")
      let undone = false
      const call = Effect.onInterrupt(Effect.never, () => Effect.sync(() => undone = true))
      const caller = yield* Effect.forkChild(within(call), { startImmediately: true })
      yield* Fiber.interrupt(caller)
      yield* Effect.yieldNow
      assert.isTrue(undone)
      const stuck = yield* Effect.forkChild(within(Effect.uninterruptible(Effect.never)), { startImmediately: true })
      yield* Fiber.interrupt(stuck)
    }))

  it("needs some time", () => {
    assert.throws(() => StoreTimeout.make(0), RangeError)
    assert.throws(() => StoreTimeout.make(-1), RangeError)
    assert.throws(() => StoreTimeout.each(0), RangeError)
  })
})
