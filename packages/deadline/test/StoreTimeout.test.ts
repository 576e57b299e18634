import { StoreTimeout } from "@effect-resilience/deadline"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** A store that is silent until `respond`, whose calls cannot be interrupted; it counts the calls that reach it. */
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
    respond: Effect.suspend(() => {
      silent = false
      return Deferred.done(gate, Exit.void)
    })
  }
})

const outcome = <A>(self: Effect.Effect<A, { readonly _tag: string }>) =>
  Effect.match(self, { onFailure: ({ _tag }) => _tag, onSuccess: String })

describe("StoreTimeout", () => {
  it.effect("does not await a call that cannot be interrupted, even in an uninterruptible caller", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const store = yield* silentStore
      const withStoreTimeout = StoreTimeout.make("1 second")
      const caller = yield* Effect.forkChild(Effect.uninterruptible(outcome(withStoreTimeout(store.call))))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(caller.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(caller), "TimedOut")
    }))

  it.effect("asks a silent store at intervals, and each time after it has responded", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const store = yield* silentStore
      const withStoreTimeout = StoreTimeout.make("1 second")
      const first = yield* Effect.forkChild(outcome(withStoreTimeout(store.call)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      // The store counts as silent: these calls fail at once, and do not reach it.
      assert.strictEqual(yield* outcome(withStoreTimeout(store.call)), "TimedOut")
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* outcome(withStoreTimeout(store.call)), "TimedOut")
      assert.strictEqual(store.asked(), 1)
      yield* TestClock.adjust("1 millis")
      const probe = yield* Effect.forkChild(outcome(withStoreTimeout(store.call)), { startImmediately: true })
      assert.strictEqual(yield* outcome(withStoreTimeout(store.call)), "TimedOut")
      assert.strictEqual(store.asked(), 2)
      yield* store.respond
      assert.strictEqual(yield* Fiber.join(probe), "late")
      assert.strictEqual(yield* outcome(withStoreTimeout(store.call)), "prompt")
    }))

  it.effect("does not take the end of a call that it interrupted, or that its caller left, for a response", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      let asked = 0
      let isUp = false
      const withStoreTimeout = StoreTimeout.make("1 second")
      const call = withStoreTimeout(Effect.suspend(() => {
        asked += 1
        return isUp ? Effect.succeed("prompt") : Effect.never
      }))
      const first = yield* Effect.forkChild(outcome(call))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(first), "TimedOut")
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* outcome(call), "TimedOut")
      yield* TestClock.adjust("1 millis")
      const probe = yield* Effect.forkChild(call, { startImmediately: true })
      yield* Fiber.interrupt(probe)
      assert.strictEqual(yield* outcome(call), "TimedOut")
      assert.strictEqual(asked, 2)
      yield* TestClock.adjust("1 second")
      isUp = true
      assert.deepStrictEqual([yield* outcome(call), yield* outcome(call)], ["prompt", "prompt"])
      isUp = false
      const again = yield* Effect.forkChild(outcome(call), { startImmediately: true })
      assert.strictEqual(asked, 5)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(again), "TimedOut")
    }))

  it.effect("does not affect the next call if each is limited separately", () =>
    Effect.gen(function*() {
      const store = yield* silentStore
      const withStoreTimeout = StoreTimeout.each("1 second")
      const slow = yield* Effect.forkChild(outcome(withStoreTimeout(store.call)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(slow), "TimedOut")
      yield* store.respond
      assert.strictEqual(yield* outcome(withStoreTimeout(store.call)), "prompt")
    }))

  it.effect("leaves few calls behind, however many callers there are", () =>
    Effect.gen(function*() {
      const store = yield* silentStore
      const withStoreTimeout = StoreTimeout.make("1 second")
      let done = 0
      const caller = Effect.map(outcome(withStoreTimeout(store.call)), () => done += 1)
      for (let i = 0; i < 600; i++) {
        yield* Effect.forkDetach(caller, { startImmediately: true })
        yield* TestClock.adjust("100 millis")
      }
      yield* TestClock.adjust("1 second")
      assert.strictEqual(done, 600)
      assert.isAtMost(store.asked(), 10 + 60 / 6 + 1)
    }))

  it.effect("passes on a failure of the store, which is a response", () =>
    Effect.gen(function*() {
      const withStoreTimeout = StoreTimeout.make("1 second")
      assert.strictEqual(yield* outcome(withStoreTimeout(Effect.fail({ _tag: "Rejected" }))), "Rejected")
      assert.strictEqual(yield* outcome(withStoreTimeout(Effect.fail({ _tag: "Rejected" }))), "Rejected")
    }))

  it.effect("ends an interrupted caller at once, and interrupts its call", () =>
    Effect.gen(function*() {
      const withStoreTimeout = StoreTimeout.make("1 second")
      let undone = false
      const call = Effect.onInterrupt(Effect.never, () => Effect.sync(() => undone = true))
      const caller = yield* Effect.forkChild(withStoreTimeout(call), { startImmediately: true })
      yield* Fiber.interrupt(caller)
      yield* Effect.yieldNow
      assert.isTrue(undone)
      const stuck = yield* Effect.forkChild(withStoreTimeout(Effect.uninterruptible(Effect.never)), {
        startImmediately: true
      })
      yield* Fiber.interrupt(stuck)
    }))

  it.effect("does not limit with an infinite duration, and names the time in its error", () =>
    Effect.gen(function*() {
      for (const limited of [StoreTimeout.make, StoreTimeout.each]) {
        const patient = yield* Effect.forkChild(limited(Infinity)(Effect.as(Effect.sleep("365 days"), "late")))
        yield* TestClock.adjust("365 days")
        assert.strictEqual(yield* Fiber.join(patient), "late")
        const failed = yield* Effect.forkChild(Effect.flip(limited("2 seconds")(Effect.never)))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(failed)).message, "did not finish within 2s")
      }
    }))

  it("rejects a duration that is not positive", () => {
    assert.throws(() => StoreTimeout.make(0), RangeError, "StoreTimeout.duration must be above 0, not 0")
    assert.throws(() => StoreTimeout.make(-1), RangeError)
    assert.throws(() => StoreTimeout.each(0), RangeError)
  })
})
