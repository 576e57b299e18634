import { AuthError, type Token, TokenCache, TokenSource } from "@effect-resilience/auth"
import { SpanRecorder } from "@effect-resilience/chaos"
import { Deadline } from "@effect-resilience/deadline"
import { Recovery } from "@effect-resilience/errors"
import { Scrubber } from "@effect-resilience/http"
import { AttemptBudget, PolicyMetrics, RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Metric, Option, Random, Redacted, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as fakes from "./fakes.ts"

const unavailable = new AuthError.Unavailable({ detail: "503", recovery: Recovery.retry })
const rejected = new AuthError.Rejected({ detail: "wrong key" })
const minute = 60_000

const generationAfter = (cache: TokenCache.TokenCache["Service"], millis: number) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(cache.get)
    yield* TestClock.adjust(millis)
    return (yield* Fiber.join(fiber)).generation
  })

describe("TokenCache", () => {
  it.effect("registers its tokens with the scrubber until an hour after their end, and for good where they never end", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 5, 1))
      const scrubber = Scrubber.make()
      const { source } = fakes.login({ millis: 0, life: 10 * minute })
      const cache = yield* TokenCache.make(source).pipe(Effect.provideService(Scrubber.Current, scrubber))
      const forever = yield* TokenCache.make(TokenSource.constant(Redacted.make("personal-token"))).pipe(
        Effect.provideService(Scrubber.Current, scrubber)
      )
      yield* generationAfter(cache, 0)
      yield* forever.get
      yield* TestClock.adjust(69 * minute)
      assert.strictEqual(scrubber.scrub("saw token-1"), "saw <redacted>")
      yield* TestClock.adjust(2 * minute)
      assert.strictEqual(scrubber.scrub("saw token-1"), "saw token-1")
      yield* TestClock.adjust("1000 days")
      assert.strictEqual(scrubber.scrub("saw personal-token"), "saw <redacted>")
    }))

  it.effect("lets 50 cold callers share one login", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login()
      const cache = yield* TokenCache.make(source)
      const fiber = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 50 }, () => cache.get), { concurrency: 50 })
      )
      yield* TestClock.adjust(30)
      const tokens = yield* Fiber.join(fiber)
      assert.deepStrictEqual(new Set(tokens.map((token) => token.generation)), new Set([1]))
      assert.strictEqual(record.started, 1)
    }))

  it.effect("links the trace of a login, and of a refresh, to the call that started it", () =>
    Effect.gen(function*() {
      const { record, spans } = SpanRecorder.make()
      const { source } = fakes.login({ life: 60 * minute })
      const acquire = (rejected: Redacted.Redacted | undefined) =>
        source.acquire(rejected).pipe(Effect.withSpan("POST /login"))
      const cache = yield* TokenCache.make({ ...source, acquire }).pipe(record)
      const call = (name: string) => cache.get.pipe(Effect.withSpan(name), record)
      const calls = yield* Effect.forkChild(Effect.all([call("first"), call("second")], { concurrency: 2 }))
      yield* TestClock.adjust(30)
      yield* Fiber.join(calls)
      yield* TestClock.adjust(58 * minute)
      yield* call("third")
      yield* TestClock.adjust(30)
      const logins = spans.filter(({ name }) => name === "POST /login")
      const linked = logins.map(({ links }) => links.map(({ span }) => spans.find((other) => other === span)?.name))
      assert.deepStrictEqual(linked, [["first"], ["third"]])
      assert.deepStrictEqual(logins.map(({ parent }) => Option.isNone(parent)), [true, true])
    }))

  it.effect("returns the token while it refreshes in the background, and waits after the expiry", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 100, life: 60 * minute })
      const cache = yield* TokenCache.make(source)
      yield* generationAfter(cache, 100)
      yield* TestClock.adjust(56 * minute)
      assert.strictEqual((yield* cache.get).generation, 1)
      assert.strictEqual((yield* cache.get).generation, 1)
      assert.strictEqual((yield* cache.status).state, "refreshing")
      assert.strictEqual(record.started, 2)
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* cache.get).generation, 2)
      yield* TestClock.adjust(61 * minute)
      assert.strictEqual((yield* cache.status).state, "expired")
      assert.strictEqual(yield* generationAfter(cache, 100), 3)
    }))

  it.effect("refreshes a token from the millisecond at which its window begins, and has none from its last one on", () =>
    Effect.gen(function*() {
      const early = fakes.login({ millis: 0, life: 60 * minute })
      const cache = yield* TokenCache.make(early.source, { jitter: 0 })
      yield* generationAfter(cache, 0)
      yield* TestClock.adjust(55 * minute - 1)
      yield* cache.get
      assert.strictEqual(early.record.started, 1)
      yield* TestClock.adjust(1)
      yield* cache.get
      assert.strictEqual(early.record.started, 2)

      const late = yield* TokenCache.make(fakes.login({ life: 60 * minute }).source, { refreshBefore: 0 })
      yield* generationAfter(late, 30)
      yield* TestClock.adjust(60 * minute)
      assert.strictEqual(yield* generationAfter(late, 30), 2)
    }))

  it.effect("delays refreshes at random, by a part of the window", () =>
    Effect.gen(function*() {
      const refreshedAt: Array<number> = []
      for (let seed = 0; seed < 40; seed++) {
        yield* Effect.gen(function*() {
          const { record, source } = fakes.login({ millis: 0, life: 60 * minute })
          const cache = yield* TokenCache.make(source)
          yield* generationAfter(cache, 0)
          for (let second = 0; record.started < 2; second++) {
            yield* TestClock.adjust(second === 0 ? 54 * minute : 1_000)
            yield* cache.get
            if (record.started === 2) refreshedAt.push(54 * 60 + second)
          }
        }).pipe(Effect.scoped, Random.withSeed(seed))
      }
      assert.isAtLeast(Math.min(...refreshedAt), 55 * 60)
      assert.isAtMost(Math.max(...refreshedAt), 56 * 60 + 1)
      assert.isAtLeast(Math.max(...refreshedAt) - Math.min(...refreshedAt), 40)
    }))

  it.effect("keeps a valid token in use while refreshes fail, and paces them", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({
        millis: 0,
        life: 60 * minute,
        outcome: (login) => login === 1 ? undefined : unavailable
      })
      const cache = yield* TokenCache.make(source, { retry: RetryPolicy.noop })
      yield* generationAfter(cache, 0)
      yield* TestClock.adjust(56 * minute)
      for (let second = 0; second < 120; second++) {
        assert.strictEqual((yield* cache.get).generation, 1)
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(record.started, 1 + 4)
      assert.strictEqual((yield* cache.status).failures, 4)
    }))

  it.effect("does not refresh sooner than the login asks for", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({
        millis: 0,
        life: 60 * minute,
        outcome: (login) =>
          login === 1
            ? undefined
            : new AuthError.Unavailable({ detail: "429", recovery: Recovery.retryAfter("2 minutes") })
      })
      const cache = yield* TokenCache.make(source, { retry: RetryPolicy.noop })
      yield* generationAfter(cache, 0)
      yield* TestClock.adjust(56 * minute)
      for (let second = 0; second < 119; second++) {
        yield* cache.get
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(record.started, 2)
    }))

  it.effect("refreshes a token that lives shorter than the window at half its life", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 0, life: minute })
      const cache = yield* TokenCache.make(source, { jitter: 0 })
      yield* generationAfter(cache, 0)
      for (let second = 0; second < 600; second++) {
        yield* cache.get
        yield* TestClock.adjust("1 second")
      }
      assert.isAtMost(record.started, 1 + 600 / 30)
      assert.isAtLeast(record.started, 600 / 32)
    }))

  it.effect("takes an expiry in the past for a difference of clocks", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 0, life: -2 * 60 * minute })
      const cache = yield* TokenCache.make(source)
      for (let call = 0; call < 100; call++) {
        yield* generationAfter(cache, 1_000)
      }
      assert.strictEqual(record.started, 1)
      assert.strictEqual((yield* cache.status).state, "fresh")
    }))

  it.effect("keeps a login going while one waiter is left, and stops it with the last", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 100 })
      const cache = yield* TokenCache.make(source)
      const fibers = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.forkChild(cache.get))
      yield* TestClock.adjust(50)
      assert.strictEqual((yield* cache.status).waiting, 20)
      yield* Fiber.interruptAll(fibers.slice(1))
      assert.strictEqual(record.interrupted, 0)
      yield* Fiber.interruptAll(fibers)
      assert.strictEqual(record.interrupted, 1)
      assert.strictEqual((yield* cache.status).waiting, 0)
    }))

  it.effect("makes one login, though that asks for the token itself before it waits for anything", () =>
    Effect.gen(function*() {
      let logins = 0
      const acquire: Effect.Effect<Token.Token> = Effect.suspend(() => {
        logins++
        return Effect.orDie(cache.get)
      })
      const cache: TokenCache.TokenCache["Service"] = yield* TokenCache.make(
        TokenSource.fromEffect(acquire, { identity: ["itself"] }),
        { timeout: "10 seconds" }
      )
      const caller = yield* Effect.forkChild(Effect.exit(cache.get))
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(caller)))
      assert.deepStrictEqual([logins, (yield* cache.status).waiting], [1, 0])
    }))

  it.effect("stops a login that closes the cache before it waits for anything", () =>
    Effect.gen(function*() {
      let stopped = 0
      const scope = yield* Scope.make()
      const acquire = Effect.andThen(
        Scope.close(scope, Exit.void),
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => stopped++))
      )
      const cache = yield* Scope.provide(
        TokenCache.make(TokenSource.fromEffect(acquire, { identity: ["closing"] })),
        scope
      )
      const caller = yield* Effect.forkChild(cache.get)
      const exit = yield* Fiber.await(caller)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      yield* TestClock.adjust(1)
      assert.strictEqual(stopped, 1)
    }))

  it.effect("lets a refresh finish when all who joined it were interrupted", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 100, life: 60 * minute })
      const cache = yield* TokenCache.make(source)
      yield* generationAfter(cache, 100)
      yield* TestClock.adjust(56 * minute)
      yield* cache.invalidate(yield* cache.get)
      const joined = yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust(10)
      yield* Fiber.interrupt(joined)
      yield* TestClock.adjust(100)
      assert.strictEqual((yield* cache.get).generation, 2)
      assert.strictEqual(record.interrupted, 0)
    }))

  it.effect("gives a failure to all who wait, and asks again for the next", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ outcome: (login) => login === 1 ? unavailable : undefined })
      const cache = yield* TokenCache.make(source, { retry: RetryPolicy.noop })
      const fibers = yield* Effect.forEach(Array.from({ length: 3 }), () => Effect.forkChild(Effect.flip(cache.get)))
      yield* TestClock.adjust(30)
      const errors = yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(errors.map((error) => error.reason._tag), ["Unavailable", "Unavailable", "Unavailable"])
      assert.strictEqual(yield* generationAfter(cache, 30), 1)
      assert.strictEqual(record.started, 2)
    }))

  it.effect("retries a login during an outage, within the policy", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ outcome: (login) => login < 3 ? unavailable : undefined })
      const cache = yield* TokenCache.make(source)
      assert.strictEqual(yield* generationAfter(cache, 5_000), 1)
      assert.strictEqual(record.started, 3)
    }))

  it.effect("ends an outage with the failure of the last attempt", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ outcome: () => unavailable })
      const cache = yield* TokenCache.make(source)
      const call = yield* Effect.forkChild(Effect.flip(cache.get))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(call)).message, "Could not log in: 503.")
      assert.strictEqual(record.started, 1 + RetryPolicy.standard.times)
    }))

  it.effect("asks the budget of the context it was made in before it retries a login", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ outcome: () => unavailable })
      const cache = yield* Effect.provideService(TokenCache.make(source), AttemptBudget.Current, AttemptBudget.empty)
      const call = yield* Effect.forkChild(Effect.flip(cache.get))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(call)).reason._tag, "Unavailable")
      assert.strictEqual(record.started, 1)
    }))

  it.effect("does not log in again with rejected credentials", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ outcome: () => rejected })
      const cache = yield* TokenCache.make(source)
      const first = yield* Effect.forkChild(Effect.flip(cache.get))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "Rejected")
      assert.strictEqual((yield* Effect.flip(cache.get)).reason._tag, "Rejected")
      assert.strictEqual(record.started, 1)
    }))

  it.effect("ends a login that takes too long, as an outage", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 10 * minute })
      const cache = yield* TokenCache.make(source, { timeout: "20 seconds" })
      const call = yield* Effect.forkChild(Effect.flip(cache.get))
      yield* TestClock.adjust("20 seconds")
      const error = yield* Fiber.join(call)
      assert.strictEqual(error.message, "Could not log in: not done by the deadline (20s).")
      assert.strictEqual(record.interrupted, 1)
    }))

  it.effect("releases a waiter at its deadline, and continues the login for the others", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 5_000 })
      const cache = yield* TokenCache.make(source)
      const hasty = yield* Effect.forkChild(Effect.flip(Deadline.withDeadline(cache.get, "1 second")))
      const patient = yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(hasty))._tag, "DeadlineExceeded")
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* Fiber.join(patient)).generation, 1)
      assert.strictEqual(record.started, 1)
    }))

  it.effect("stops the login when its scope closes", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login({ millis: 5_000 })
      const scope = yield* Scope.make()
      const cache = yield* Scope.provide(TokenCache.make(source), scope)
      const waiter = yield* Effect.forkChild(cache.get)
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(waiter)))
      assert.strictEqual(record.interrupted, 1)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(yield* Effect.forkChild(cache.get))))
      assert.strictEqual(record.started, 1)
    }))

  it.effect("publishes what happens, without the token", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 5, 1))
      const { source } = fakes.login({ outcome: (login) => login === 2 ? rejected : undefined, life: 60 * minute })
      const cache = yield* TokenCache.make(source)
      const events = yield* Effect.forkChild(Stream.runCollect(Stream.take(cache.events, 3)))
      yield* Effect.yieldNow
      yield* generationAfter(cache, 30)
      yield* cache.invalidate(yield* cache.get)
      yield* Effect.forkChild(Effect.ignore(cache.get))
      yield* TestClock.adjust(30)
      const collected = yield* Fiber.join(events)
      const took = (event: TokenCache.Event) =>
        event._tag === "Acquired" ? { ...event, took: Math.round(Duration.toMillis(event.took)) } : event
      assert.deepStrictEqual(collected.map(took), [
        { _tag: "Acquired", generation: 1, expiresAt: Date.UTC(2026, 5, 1, 1) + 30, ahead: false, took: 30 },
        { _tag: "Invalidated", generation: 1 },
        { _tag: "Failed", reason: "Rejected", ahead: false }
      ])
      assert.isFalse(JSON.stringify(collected).includes("token-"))
      assert.deepStrictEqual(yield* cache.status, {
        state: "empty",
        generation: 1,
        expiresAt: undefined,
        logins: 1,
        failures: 1,
        waiting: 0
      })
    }))

  it.effect("has the token that it tells of", () =>
    Effect.gen(function*() {
      const { record, source } = fakes.login()
      const cache = yield* TokenCache.make(source)
      const got: Array<number> = []
      yield* cache.events.pipe(
        Stream.runForEach(() => Effect.map(cache.get, ({ generation }) => got.push(generation))),
        Effect.forkScoped
      )
      yield* Effect.yieldNow
      assert.strictEqual(yield* generationAfter(cache, 30), 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([got, record.started], [[1], 1])
    }))

  it.effect("has its logins counted by PolicyMetrics", () =>
    Effect.gen(function*() {
      const { source } = fakes.login({ millis: 0 })
      const cache = yield* TokenCache.make(source)
      yield* generationAfter(cache, 0)
      yield* PolicyMetrics.sample([{ name: "api", snapshot: cache.status }])
      const series = yield* Metric.snapshot
      const counts = series.filter(({ id }) => id === "resilience.logins").map(({ state }) => state)
      assert.deepStrictEqual(counts, [{ count: 1, incremental: true }, { count: 0, incremental: true }])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("registers every token that it obtains with the scrubber", () =>
    Effect.gen(function*() {
      const scrubber = Scrubber.make()
      const { source } = fakes.login({ millis: 0 })
      const cache = yield* TokenCache.make(source).pipe(Effect.provideService(Scrubber.Current, scrubber))
      yield* generationAfter(cache, 0)
      assert.strictEqual(scrubber.scrub("it was token-1"), "it was <redacted>")
    }))

  it.effect("is a service with the options of its layer", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 5, 1))
      const source = Effect.succeed(TokenSource.fromEffect(Effect.succeed({ value: Redacted.make("t") }), {
        identity: ["layer"]
      }))
      const { expiresAt } = yield* Effect.provide(
        Effect.flatMap(TokenCache.TokenCache, (cache) => cache.get),
        TokenCache.layer(source, { lifetime: "2 hours" })
      )
      assert.strictEqual(expiresAt, Date.UTC(2026, 5, 1, 2))
    }))

  it("rejects options that make no sense", () => {
    const { source } = fakes.login()
    for (
      const options of [{ jitter: 1.5 }, { jitter: Number.NaN }, { refreshBefore: -1 }, { maxReloginsPerMinute: -1 }]
    ) {
      assert.throws(() => TokenCache.make(source, options), RangeError)
    }
    assert.throws(() => TokenCache.make(source, JSON.parse(`{"relogins":1}`)), /has no option relogins/)
  })
})
