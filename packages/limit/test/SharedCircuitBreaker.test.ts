import { PolicyEvent } from "@effect-resilience/kernel"
import { CircuitBreaker } from "@effect-resilience/limit"
import * as SharedCircuitBreaker from "@effect-resilience/limit/SharedCircuitBreaker"
import { Backoff } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import { CircuitBreaker as Store } from "effect/persistence"
import { TestClock } from "effect/testing"

const options = { name: "ledger", tripPolicy: CircuitBreaker.consecutive(2), openDuration: "10 seconds" } as const

const failing = Effect.fail("no response")

describe("SharedCircuitBreaker", () => {
  it.effect("opens for all who share the store, and rejects as the local one does", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* SharedCircuitBreaker.make(options), yield* SharedCircuitBreaker.make(options)]
      yield* Effect.exit(one.execute(failing))
      yield* Effect.exit(two.execute(failing))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(
        yield* Effect.flip(one.execute(Effect.void)),
        new CircuitBreaker.CircuitOpen({ policy: "ledger", state: "Open", retryAfter: Duration.seconds(6) })
      )
      yield* TestClock.adjust("6 seconds")
      const probe = yield* Effect.forkChild(one.execute(Effect.sleep("1 second")), { startImmediately: true })
      assert.deepStrictEqual(
        yield* Effect.flip(two.execute(Effect.void)),
        new CircuitBreaker.CircuitOpen({ policy: "ledger", state: "HalfOpen", retryAfter: undefined })
      )
      assert.deepStrictEqual(yield* two.snapshot, {
        _tag: "HalfOpen",
        probing: 1,
        consecutiveOpenings: 1,
        rejected: 1,
        buffered: undefined,
        failureRate: undefined,
        slowRate: undefined
      })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(probe)
      assert.strictEqual((yield* two.snapshot)._tag, "Closed")
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  it.effect("logs its transitions, as the local one does", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => logged.push([logLevel, message]))
      yield* Effect.gen(function*() {
        const breaker = yield* SharedCircuitBreaker.make({ ...options, tripPolicy: CircuitBreaker.consecutive(1) })
        yield* Effect.exit(breaker.execute(failing))
        yield* TestClock.adjust("10 seconds")
        yield* breaker.execute(Effect.void)
        yield* TestClock.adjust(0)
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(logged, [
        ["Warn", ["Circuit \"ledger\": Closed to Open for 10s"]],
        ["Info", ["Circuit \"ledger\": Open to HalfOpen"]],
        ["Info", ["Circuit \"ledger\": HalfOpen to Closed"]]
      ])
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  it.effect("tells each transition, though who heard of an earlier one threw", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const breaker = yield* SharedCircuitBreaker.make(options).pipe(
        PolicyEvent.observe((event) => {
          if (event._tag !== "Transitioned") return
          told.push(event.to)
          throw new Error("the log is full")
        })
      )
      yield* Effect.exit(breaker.execute(failing))
      yield* Effect.exit(breaker.execute(failing))
      yield* TestClock.adjust("10 seconds")
      yield* breaker.execute(Effect.void)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told, ["Open", "HalfOpen", "Closed"])
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  it.effect("opens longer each time in a row where told by a backoff", () =>
    Effect.gen(function*() {
      const breaker = yield* SharedCircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(1),
        openDuration: Backoff.exponential({ base: "1 second", cap: "1 minute", jitter: "none" })
      })
      const held: Array<number> = []
      for (let i = 0; i < 3; i++) {
        yield* Effect.exit(breaker.execute(failing))
        const state = yield* breaker.snapshot
        if (state._tag !== "Open") continue
        held.push(Duration.toMillis(state.retryAfter))
        yield* TestClock.adjust(state.retryAfter)
      }
      assert.deepStrictEqual(held, [1000, 2000, 4000])
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  it.effect("opens for a time that JSON.stringify has written", () =>
    Effect.gen(function*() {
      const openDuration = JSON.parse(JSON.stringify(Backoff.constant(Duration.seconds(3))))
      const breaker = yield* SharedCircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(1), openDuration })
      yield* Effect.exit(breaker.execute(failing))
      assert.deepInclude(yield* breaker.snapshot, { _tag: "Open", retryAfter: Duration.seconds(3) })
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  it.effect("is isolated for this process only", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* SharedCircuitBreaker.make(options), yield* SharedCircuitBreaker.make(options)]
      yield* one.isolate
      assert.strictEqual((yield* Effect.flip(one.execute(Effect.void))).state, "Isolated")
      yield* two.execute(Effect.void)
      yield* one.reset
      yield* one.execute(Effect.void)
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  it.effect("is the same one for a key each time: its isolation and what it counts stay", () =>
    Effect.gen(function*() {
      const circuits = yield* SharedCircuitBreaker.keyed({ ...options, capacity: 1 })
      const isolation = yield* circuits.get("a").isolate
      for (const key of ["b", "c", "d"]) circuits.get(key)
      assert.strictEqual((yield* Effect.flip(circuits.get("a").execute(Effect.void))).state, "Isolated")
      assert.strictEqual((yield* circuits.get("a").snapshot).rejected, 1)
      yield* isolation.release
      yield* circuits.get("a").execute(Effect.void)
      assert.isAtMost(circuits.size, 3)
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  it.effect("leaves an error of a breaker inside alone", () =>
    Effect.gen(function*() {
      const breaker = yield* SharedCircuitBreaker.make(options)
      const inner = new Store.CircuitBreakerError({ reason: new Store.CircuitHalfOpen({ key: "other" }) })
      assert.strictEqual(yield* Effect.flip(breaker.execute(Effect.fail(inner))), inner)
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  for (
    const [name, acquire] of [
      ["taken", (breaker: CircuitBreaker.CircuitBreaker) => breaker.tryAcquire],
      [
        "taken for a scope",
        (breaker: CircuitBreaker.CircuitBreaker) => Effect.scoped(CircuitBreaker.acquireScoped(breaker))
      ]
    ] as const
  ) {
    it.effect(`ends with its scope the wait of a permit that is ${name}, and gives none afterwards`, () =>
      Effect.gen(function*() {
        const store = yield* Store.CircuitBreakerStore
        const slow = Store.CircuitBreakerStore.of({
          ...store,
          admit: (key) => Effect.delay(store.admit(key), "100 millis")
        })
        const scope = yield* Scope.make()
        const breaker = yield* SharedCircuitBreaker.make(options).pipe(
          Effect.provideService(Store.CircuitBreakerStore, slow),
          Scope.provide(scope)
        )
        const waiting = yield* Effect.forkChild(acquire(breaker), { startImmediately: true })
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* TestClock.adjust("100 millis")
        yield* Fiber.join(closing)
        const late = yield* Effect.forkChild(acquire(breaker), { startImmediately: true })
        yield* TestClock.adjust("100 millis")
        for (const fiber of [waiting, late]) {
          const exit = fiber.pollUnsafe()
          assert.isTrue(exit !== undefined && Exit.hasInterrupts(exit))
        }
      }).pipe(Effect.provide(Store.layerStoreMemory())))
  }

  it.effect("streams what this process did", () =>
    Effect.gen(function*() {
      const circuits = yield* SharedCircuitBreaker.keyed(options)
      const seen = yield* CircuitBreaker.transitions(circuits.get("a")).pipe(
        Stream.take(3),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* Effect.yieldNow
      for (const key of ["b", "a"]) {
        yield* Effect.exit(circuits.get(key).execute(failing))
        yield* Effect.exit(circuits.get(key).execute(failing))
      }
      yield* TestClock.adjust("10 seconds")
      yield* circuits.get("a").execute(Effect.void)
      const nothing = { retryAfter: undefined, consecutiveOpenings: 0 }
      assert.deepStrictEqual(yield* Fiber.join(seen), [
        { policy: "a", from: "Closed", to: "Open", retryAfter: Duration.seconds(10), consecutiveOpenings: 1 },
        { policy: "a", from: "Open", to: "HalfOpen", ...nothing },
        { policy: "a", from: "HalfOpen", to: "Closed", ...nothing }
      ])
    }).pipe(Effect.provide(Store.layerStoreMemory())))

  for (const onStoreError of ["allow", "fail"] as const) {
    it.effect(`${onStoreError === "allow" ? "lets calls pass" : "rejects"} while the store does not respond`, () =>
      Effect.gen(function*() {
        const down = Effect.fail(
          new Store.CircuitBreakerError({ reason: new Store.CircuitBreakerStoreError({ message: "down" }) })
        )
        const broken = Layer.succeed(Store.CircuitBreakerStore, {
          admit: () => down,
          record: () => down,
          state: () => down
        })
        yield* Effect.gen(function*() {
          const breaker = yield* SharedCircuitBreaker.make({ ...options, onStoreError })
          const exit = yield* Effect.exit(breaker.execute(Effect.succeed("ran")))
          if (onStoreError === "allow") assert.deepStrictEqual(exit, Exit.succeed("ran"))
          else assert.strictEqual((yield* Effect.flip(breaker.execute(Effect.void))).state, "Unknown")
          assert.strictEqual((yield* breaker.snapshot)._tag, "Closed")
        }).pipe(Effect.provide(broken))
      }))
  }

  it("rejects trip policies that the store does not know", () => {
    assert.throws(() => SharedCircuitBreaker.make({ tripPolicy: CircuitBreaker.rateWithin() }), RangeError)
    assert.throws(() => SharedCircuitBreaker.make({ tripPolicy: [] }), RangeError)
  })
})
