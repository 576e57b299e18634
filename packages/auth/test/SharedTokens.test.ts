import { AuthError, type Grant, SharedTokens, TokenCache, TokenSource } from "@effect-resilience/auth"
import * as Lease from "@effect-resilience/deadline/Lease"
import { Recovery } from "@effect-resilience/errors"
import { RetryPolicy } from "@effect-resilience/retry"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Random, Redacted } from "effect"
import { KeyValueStore, Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"
import { inTurns } from "../../chaos/test/turns.ts"

const key = Redacted.make("0123456789abcdef0123456789abcdef")
const memory = Layer.mergeAll(Persistence.layerBackingMemory, Lease.layerMemory)

/** A login of 20 ms that says how often it ran. */
const logins = (
  options: {
    readonly fail?: (login: number) => boolean
    readonly begin?: (login: number) => Effect.Effect<unknown>
  } = {}
) => {
  const record = { started: 0, interrupted: 0 }
  const acquire = Effect.gen(function*() {
    const login = ++record.started
    if (options.begin !== undefined) yield* options.begin(login)
    yield* Effect.sleep(20)
    if (options.fail?.(login) === true) {
      return yield* Effect.fail(
        new AuthError.AuthError({ reason: new AuthError.Unavailable({ detail: "503", recovery: Recovery.retry }) })
      )
    }
    return { value: Redacted.make(`secret-token-${login}`), attributes: { environment: "42" } }
  }).pipe(Effect.onInterrupt(() => Effect.sync(() => record.interrupted += 1)))
  const source = (
    identity: TokenSource.Identity = ["https://eu.example.com", "key-of-the-ledger", Redacted.make("s3cr3t")]
  ) => TokenSource.fromEffect(acquire, { identity })
  return { record, source }
}

const shared = (source: TokenSource.TokenSource, options?: Partial<SharedTokens.Options>) =>
  SharedTokens.make(source, { key, poll: 10, ...options })

const processes = (source: TokenSource.TokenSource, count: number, options?: Partial<SharedTokens.Options>) =>
  Effect.forEach(
    Array.from({ length: count }),
    () => Effect.flatMap(shared(source, options), (source) => TokenCache.make(source, { retry: RetryPolicy.noop }))
  )

describe("SharedTokens", () => {
  it.live("makes one login for five processes, with its attributes", () =>
    Effect.gen(function*() {
      const { record, source } = logins()
      const caches = yield* processes(source(), 5)
      const tokens = yield* Effect.forEach(caches, (cache) => cache.get, { concurrency: "unbounded" })
      assert.strictEqual(record.started, 1)
      assert.deepStrictEqual(new Set(tokens.map((token) => Redacted.value(token.value))), new Set(["secret-token-1"]))
      assert.strictEqual(tokens.filter((token) => token.shared).length, 4)
      assert.isTrue(tokens.every((token) => token.attributes["environment"] === "42"))
    }).pipe(Effect.scoped, Effect.provide(memory)))

  it.live("makes one new login for all when the shared token is rejected", () =>
    Effect.gen(function*() {
      const { record, source } = logins()
      const caches = yield* processes(source(), 5)
      for (const expected of ["secret-token-1", "secret-token-2", "secret-token-3"]) {
        const tokens = yield* Effect.forEach(caches, (cache) => cache.get, { concurrency: "unbounded" })
        assert.deepStrictEqual(new Set(tokens.map((token) => Redacted.value(token.value))), new Set([expected]))
        yield* Effect.forEach(caches, (cache, index) => {
          const token = tokens[index]
          return token === undefined ? Effect.void : cache.invalidate(token)
        })
      }
      assert.strictEqual(record.started, 3)
    }).pipe(Effect.scoped, Effect.provide(memory)))

  it.live("keeps credentials, secrets and regions apart", () =>
    Effect.gen(function*() {
      const { record, source } = logins()
      const identities = [
        ["https://eu.example.com", "K1", Redacted.make("a")],
        ["https://us.example.com", "K1", Redacted.make("a")],
        ["https://eu.example.com", "K2", Redacted.make("a")],
        ["https://eu.example.com", "K1", Redacted.make("b")],
        ["https://eu.example.com", "K1", "a"],
        ["https://eu.example.com", "K1a"]
      ]
      for (const identity of identities) yield* (yield* shared(source(identity))).acquire(undefined)
      assert.strictEqual(record.started, identities.length)
    }).pipe(Effect.scoped, Effect.provide(memory)))

  it.live("stores neither token nor credentials readably, and reads nothing that was tampered with", () =>
    Effect.gen(function*() {
      const { record, source } = logins()
      yield* (yield* shared(source())).acquire(undefined)
      const store = yield* KeyValueStore.KeyValueStore
      const keys = yield* store.keys
      const [name = ""] = keys
      const value = (yield* store.get(name)) ?? ""
      assert.strictEqual(keys.length, 1)
      for (const secret of ["secret-token-1", "s3cr3t", "key-of-the-ledger", btoa("secret-token-1").slice(0, 12)]) {
        assert.notInclude(name + value, secret)
      }
      const other = yield* shared(source(), { key: Redacted.make("another key, also 32 characters long") })
      yield* other.acquire(undefined)
      assert.strictEqual(record.started, 2)
      const changed = value.replace(/(?<="sealed":")./, (first) => first === "A" ? "B" : "A")
      for (const tampered of [changed, "[{\"sealed\":\"\"},null]", "[{},null]", "{"]) {
        const before = record.started
        yield* store.set(name, tampered)
        yield* (yield* shared(source())).acquire(undefined)
        assert.strictEqual(record.started, before + 1, tampered)
      }
      // An entry that was moved to the name of another identity does not open.
      const before = yield* store.keys
      yield* (yield* shared(source(["other"]))).acquire(undefined)
      const [moved = ""] = (yield* store.keys).filter((key) => !before.includes(key))
      yield* store.set(moved, (yield* store.get(name)) ?? "")
      const started = record.started
      yield* (yield* shared(source(["other"]))).acquire(undefined)
      assert.strictEqual(record.started, started + 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.mergeAll(Persistence.layerBackingKvs, Lease.layerMemory).pipe(
          Layer.provideMerge(KeyValueStore.layerMemory)
        )
      )
    ))

  it.live("takes over from a holder that died, when its lease has expired", () =>
    Effect.gen(function*() {
      const { record, source } = logins()
      const lease = yield* Lease.Lease
      const taken: Array<string> = []
      const dying = Lease.Lease.of({
        // Another process has just taken every lease, and dies.
        acquire: (name, owner, life) =>
          taken.includes(name)
            ? lease.acquire(name, owner, life)
            : Effect.andThen(Effect.sync(() => taken.push(name)), Effect.as(lease.acquire(name, "dead", 300), false)),
        release: lease.release
      })
      const started = performance.now()
      const [cache] = yield* processes(source(), 1).pipe(Effect.provideService(Lease.Lease, dying))
      if (cache !== undefined) yield* cache.get
      assert.strictEqual(record.started, 1)
      assert.isAtLeast(performance.now() - started, 290)
    }).pipe(Effect.scoped, Effect.provide(memory)))

  it.live("gives the lease back when the login fails or is interrupted", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const { record, source } = logins({
        fail: (login) => login === 1,
        begin: (login) => login === 2 ? Effect.andThen(Deferred.succeed(begun, undefined), Effect.never) : Effect.void
      })
      const one = yield* shared(source(), { lease: "1 hour" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(one.acquire(undefined))))
      const interrupted = yield* Effect.forkChild(one.acquire(undefined))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(interrupted)
      const grant = yield* one.acquire(undefined)
      assert.strictEqual(Redacted.value(grant.value), "secret-token-3")
      assert.strictEqual(record.interrupted, 1)
    }).pipe(Effect.scoped, Effect.provide(memory)))

  it.effect("prolongs the lease while a slow login runs", () =>
    Effect.gen(function*() {
      const record = { started: 0 }
      const slow = TokenSource.fromEffect(
        Effect.suspend(() => {
          record.started += 1
          return Effect.delay(Effect.succeed({ value: Redacted.make("t") }), 2_000)
        }),
        { identity: ["slow"] }
      )
      const caches = yield* processes(slow, 3, { lease: 1_500 })
      yield* Effect.forEach(caches, (cache) => cache.get, { concurrency: "unbounded" })
      assert.strictEqual(record.started, 1)
    }).pipe(Effect.scoped, Effect.provide(memory), inTurns))

  const ended = "the call to it ended with a defect or an interruption"
  for (
    const [name, ending, store, leases] of [
      ["fail", undefined, "down", "The lease store (test) does not respond."],
      ["throw", Effect.die(new TypeError("a bug of the store")), ended, ended],
      ["interrupt themselves", Effect.interrupt, ended, ended]
    ] as const
  ) {
    const warnings: Array<string> = []
    it.live(`logs in for itself where store and leases ${name}, also while a login runs`, () =>
      Effect.gen(function*() {
        const { record, source } = logins()
        const [cache] = yield* processes(source(), 1, { lease: 15 })
        if (cache !== undefined) assert.strictEqual(Redacted.value((yield* cache.get).value), "secret-token-1")
        assert.strictEqual(record.started, 1)
        assert.deepStrictEqual(
          [...new Set(warnings)],
          [["read", store], ["leased", leases], ["written", store]].map(([what, why]) =>
            `Shared tokens cannot be ${what}, continuing without the store: ${why}`
          )
        )
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.mergeAll(
          Logger.layer([Logger.make(({ message }) => warnings.push(String(message)))]),
          Layer.succeed(Persistence.BackingPersistence, {
            make: () => {
              const broken = ending ?? Effect.fail(new Persistence.PersistenceError({ message: "down", cause: "down" }))
              return Effect.succeed({
                get: () => broken,
                getMany: () => broken,
                set: () => broken,
                setMany: () => broken,
                remove: () => broken,
                clear: broken
              })
            }
          }),
          Layer.sync(Lease.Lease, () => {
            const broken = ending ?? Effect.fail(new Lease.LeaseError({ store: "test" }))
            return { acquire: () => broken, release: () => broken }
          })
        ))
      ))
  }

  it.effect("shares no token that no header can hold", () =>
    Effect.gen(function*() {
      let value = "secret-token\n"
      const source = TokenSource.fromEffect(Effect.sync(() => ({ value: Redacted.make(value) })), { identity: ["x"] })
      const [one, other] = yield* processes(source, 2)
      if (one === undefined || other === undefined) return assert.fail()
      assert.strictEqual((yield* Effect.flip(one.get)).reason._tag, "MalformedToken")
      value = "secret-token"
      assert.strictEqual(Redacted.value((yield* other.get).value), value)
    }).pipe(Effect.scoped, Effect.provide(memory)))

  // A token of the year 2286, as version 0.1.0 stored it.
  const stored = [
    "tokens:S9CctUblgftF2FobIMR4uG8WDJtQioaLQcloCcAozuk",
    `[{"sealed":"Sd_-Dow0o-4TBJVXq0PKyVPugfaYBmsb3x6jr_Se1gkQqX2b6it3WgnGf_17JmzQe_RW5-6nAigDfzojtmLiJEtULL9ETj32B6HUL3R3xpCDKHBnyKAvAcGbWqO1_rhNTIZvXZTiqYRmIPoqOA"},9999999999999]`
  ] as const

  it.effect("reads what earlier versions stored", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      yield* store.set(...stored)
      const { record, source } = logins()
      const grant = yield* (yield* shared(source())).acquire(undefined)
      assert.strictEqual(Redacted.value(grant.value), "kept-token")
      assert.deepStrictEqual(grant.attributes, { environment: "7" })
      assert.strictEqual(record.started, 0)
    }).pipe(
      Effect.provide(
        Layer.mergeAll(Persistence.layerBackingKvs, Lease.layerMemory).pipe(
          Layer.provideMerge(KeyValueStore.layerMemory)
        )
      )
    ))

  describe("storing", () => {
    const start = Date.UTC(2026, 5, 1)
    /** For how long each of these grants is stored, in seconds, and the warnings. */
    const storing = (grant: Grant.Grant, options?: Partial<SharedTokens.Options>) => {
      const lives: Array<number | undefined> = []
      const warnings: Array<string> = []
      const store = Layer.succeed(Persistence.BackingPersistence, {
        make: () =>
          Effect.succeed({
            get: () => Effect.undefined,
            getMany: () => Effect.die("unused"),
            set: (_key, _value, ttl) =>
              Effect.sync(() => {
                lives.push(ttl === undefined ? undefined : Duration.toSeconds(ttl))
              }),
            setMany: () => Effect.die("unused"),
            remove: () => Effect.void,
            clear: Effect.void
          })
      })
      return Effect.gen(function*() {
        yield* TestClock.setTime(start)
        const source = yield* shared(TokenSource.fromEffect(Effect.succeed(grant), { identity: ["x"] }), options)
        yield* source.acquire(undefined)
        return { lives, warnings }
      }).pipe(Effect.provide([
        store,
        Lease.layerMemory,
        Logger.layer([Logger.make(({ message }) => warnings.push(String(message)))])
      ]))
    }
    const value = Redacted.make("secret-token")

    for (
      const [name, grant, options, lives] of [
        ["until its end", { expiresAt: start + 60_000 }, {}, [60]],
        ["for an hour where its end is unknown", {}, {}, [3_600]],
        ["for the lifetime given where its end is unknown", {}, { lifetime: "2 hours" }, [7_200]],
        ["for 30 days where it never ends", { expiresAt: Infinity }, {}, [30 * 86_400]],
        ["not at all where it ends now", { expiresAt: start }, {}, []],
        ["not at all where it has ended", { expiresAt: start - 1 }, {}, []]
      ] as const
    ) {
      it.effect(`keeps a token ${name}`, () =>
        Effect.map(
          storing({ value, ...grant }, options),
          (stored) => assert.deepStrictEqual(stored, { lives: [...lives], warnings: [] })
        ))
    }

    it.effect("says that a grant is no JSON, and does not repeat it", () =>
      Effect.map(
        storing({ value, attributes: JSON.parse(`{"secret":1}`) }),
        (stored) =>
          assert.deepStrictEqual(stored, {
            lives: [],
            warnings: [
              "Shared tokens cannot be written, continuing without the store: the grant cannot be written as JSON"
            ]
          })
      ))
  })

  it.effect("looks again after 75 to 125 milliseconds while another process logs in", () =>
    Effect.gen(function*() {
      const sleeps: Array<number> = []
      const clock = yield* Clock.Clock
      const quick: Clock.Clock = {
        ...clock,
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
        sleep: (duration) => Effect.sync(() => sleeps.push(Duration.toMillis(duration)))
      }
      let looks = 0
      const lease = Lease.Lease.of({
        acquire: () => Effect.sync(() => ++looks > 40),
        release: () => Effect.void
      })
      const source = TokenSource.fromEffect(Effect.succeed({ value: Redacted.make("t") }), { identity: ["x"] })
      const waiting = yield* Effect.provideService(SharedTokens.make(source, { key }), Lease.Lease, lease)
      yield* Effect.provideService(waiting.acquire(undefined), Clock.Clock, quick)
      const waits = sleeps.filter((millis) => millis < 1_000)
      assert.strictEqual(waits.length, 40)
      assert.isAtLeast(Math.min(...waits), 75)
      assert.isAtMost(Math.max(...waits), 125)
      assert.isAbove(Math.max(...waits) - Math.min(...waits), 30)
    }).pipe(Effect.provide(memory), Random.withSeed(1)))

  it.effect("rejects a key that is too short", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(shared(logins().source(), { key: Redacted.make("short") }))
      assert.strictEqual(
        error.message,
        "The login is not configured: the key for shared tokens needs at least 32 characters."
      )
    }).pipe(Effect.scoped, Effect.provide(memory)))
})
