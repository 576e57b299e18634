import { Deadline, StoreTimeout } from "@effect-resilience/deadline"
import * as Lease from "@effect-resilience/deadline/Lease"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { Redis } from "effect/persistence"
import { Reactivity } from "effect/reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import * as Statement from "effect/sql/Statement"
import { TestClock } from "effect/testing"

describe("Lease", () => {
  const backends = {
    memory: Lease.layerMemory,
    sql: Lease.layerSql.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
  }
  for (const [name, layer] of Object.entries(backends)) {
    it.live(`has one owner, who can extend it, and can be taken over after its end (${name})`, () =>
      Effect.gen(function*() {
        const lease = yield* Lease.Lease
        const long = 60_000
        assert.isTrue(yield* lease.acquire("other", "b", long))
        assert.isFalse(yield* lease.acquire("other", "a", long))
        assert.isTrue(yield* lease.acquire("k", "a", 100))
        assert.isTrue(yield* lease.acquire("k", "a", long))
        yield* Effect.sleep(120)
        assert.isFalse(yield* lease.acquire("k", "b", long))
        yield* lease.release("k", "b")
        assert.isFalse(yield* lease.acquire("k", "b", long))
        assert.isTrue(yield* lease.acquire("k", "a", 100))
        yield* Effect.sleep(120)
        assert.isTrue(yield* lease.acquire("k", "b", long))
        yield* lease.release("k", "b")
        assert.isTrue(yield* lease.acquire("k", "c", long))
      }).pipe(Effect.provide(layer)))
  }
})

describe("Lease.layerMemory", () => {
  it.effect("grants a lease again at its end, not before", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("3 days")
      const lease = yield* Lease.Lease
      assert.isTrue(yield* lease.acquire("k", "a", "1 second"))
      yield* TestClock.adjust("999 millis")
      assert.isFalse(yield* lease.acquire("k", "b", "1 second"))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(yield* lease.acquire("k", "b", "1 second"))
      yield* lease.release("none", "b")
    }).pipe(Effect.provide(Lease.layerMemory)))
})

describe("Lease.layerNoop", () => {
  it.effect("grants everything", () =>
    Effect.gen(function*() {
      const lease = yield* Lease.Lease
      assert.deepStrictEqual([yield* lease.acquire("k", "a", 1), yield* lease.acquire("k", "b", 1)], [true, true])
      yield* lease.release("k", "a")
    }).pipe(Effect.provide(Lease.layerNoop)))
})

describe("Lease.layerRedis", () => {
  /** A Redis that responds with `response`, and keeps the commands. */
  const redis = (response: Effect.Effect<unknown, Redis.RedisError>) => {
    const commands: Array<ReadonlyArray<string>> = []
    const send = (command: string, ...args: ReadonlyArray<string>) =>
      Effect.suspend(() => {
        if (command === "SCRIPT") return Effect.succeed(args[1]?.includes("SET") === true ? "acquire" : "release")
        commands.push([command, ...args])
        return response
      }) as Effect.Effect<never, Redis.RedisError>
    const layer = Layer.effect(Redis.Redis, Redis.make({ send, subscribe: () => Effect.never, connect: Effect.never }))
    return { commands, lease: Effect.provide(Lease.Lease, Lease.layerRedis.pipe(Layer.provide(layer))) }
  }

  it.effect("asks for whole milliseconds, not less than it was asked for, and is granted the lease by a 1", () =>
    Effect.gen(function*() {
      const { commands, lease } = redis(Effect.succeed(1))
      const { acquire, release } = yield* lease
      assert.isTrue(yield* acquire("k", "a", "1.5 millis"))
      yield* release("k", "a")
      assert.deepStrictEqual(commands, [
        ["EVALSHA", "acquire", "1", "lease:k", "a", "2"],
        ["EVALSHA", "release", "1", "lease:k", "a"]
      ])
      const taken = yield* redis(Effect.succeed(0)).lease
      assert.isFalse(yield* taken.acquire("k", "a", "1 second"))
    }))

  it.effect("names Redis if it fails or is silent for five seconds", () =>
    Effect.gen(function*() {
      const failing = yield* redis(Effect.fail(new Redis.RedisError({ cause: new Error("down") }))).lease
      const silent = yield* redis(Effect.never).lease
      for (const { acquire, release } of [failing, silent]) {
        for (const call of [acquire("k", "a", "1 second"), release("k", "a")]) {
          const fiber = yield* Effect.forkChild(Effect.flip(call), { startImmediately: true })
          yield* TestClock.adjust("5 seconds")
          assert.strictEqual((yield* Fiber.join(fiber)).message, "The lease store (Redis) does not respond.")
        }
      }
    }))
})

describe("Lease.layerSql", () => {
  it.effect("names the database if it fails, also where its table cannot be made", () =>
    Effect.gen(function*() {
      const context = yield* Layer.build(
        Layer.provideMerge(Lease.layerSql, SqliteClient.layer({ filename: ":memory:" }))
      )
      const lease = Context.get(context, Lease.Lease)
      const sql = Context.get(context, SqlClient.SqlClient)
      yield* sql`DROP TABLE effect_resilience_leases`
      for (const call of [lease.acquire("k", "a", "1 second"), lease.release("k", "a")]) {
        assert.strictEqual((yield* Effect.flip(call)).store, "SQL")
      }
      yield* sql`PRAGMA query_only = ON`
      const unmade = Layer.build(Layer.provide(Lease.layerSql, Layer.succeed(SqlClient.SqlClient, sql)))
      assert.strictEqual((yield* Effect.flip(unmade)).store, "SQL")
    }).pipe(Effect.scoped))
})

describe("Lease", () => {
  it.effect("names a database that is silent for five seconds", () =>
    Effect.gen(function*() {
      let silent = false
      const connection = { execute: () => Effect.succeed([]) } as never
      const sql = SqlClient.make({
        acquirer: Effect.suspend(() => silent ? Effect.never : Effect.succeed(connection)),
        driver: "sqlite",
        compiler: Statement.makeCompilerSqlite(),
        spanAttributes: []
      })
      const lease = yield* Effect.provide(
        Lease.Lease,
        Layer.provide(Lease.layerSql, Layer.effect(SqlClient.SqlClient, sql))
      )
      silent = true
      for (const call of [lease.acquire("k", "a", "1 second"), lease.release("k", "a")]) {
        const late = yield* Effect.forkChild(Effect.flip(call), { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(late)).message, "The lease store (SQL) does not respond.")
      }
    }).pipe(Effect.provide(Reactivity.layer)))

  it("is one service in all copies of this package that a program may have", () => {
    assert.strictEqual(Lease.Lease.key, "@effect-resilience/deadline/Lease")
    assert.strictEqual(Deadline.Current.key, "@effect-resilience/deadline/Deadline/Current")
  })
})

describe("Lease.withTimeout", () => {
  it.effect("names a store that it was not told the name of", () =>
    Effect.gen(function*() {
      const silent = { acquire: () => Effect.never, release: () => Effect.never }
      const lease = Lease.withTimeout(silent, StoreTimeout.make("1 second"))
      const late = yield* Effect.forkChild(Effect.flip(lease.release("k", "a")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(late)).message, "The lease store (silent) does not respond.")
    }))

  it.effect("releases a lease that was granted too late", () =>
    Effect.gen(function*() {
      const memory = yield* Lease.Lease
      const gate = yield* Deferred.make<void>()
      const slow = Lease.withTimeout({
        acquire: (...lease) => Effect.uninterruptible(Effect.andThen(Deferred.await(gate), memory.acquire(...lease))),
        release: memory.release
      }, StoreTimeout.make("1 second"))
      const late = yield* Effect.forkChild(Effect.flip(slow.acquire("login", "one", "1 hour")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(late))._tag, "LeaseError")
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      assert.isTrue(yield* memory.acquire("login", "two", "1 hour"))
    }).pipe(Effect.provide(Lease.layerMemory)))

  describe("an extension that comes too late", () => {
    const setup = Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const memory = yield* Lease.Lease
      const store = { delay: 0 }
      const lease = Lease.withTimeout({
        acquire: (...lease) =>
          Effect.uninterruptible(Effect.suspend(() => Effect.delay(memory.acquire(...lease), store.delay))),
        release: memory.release
      }, StoreTimeout.make("1 second"))
      assert.isTrue(yield* lease.acquire("login", "one", "15 seconds"))
      yield* TestClock.adjust("5 seconds")
      store.delay = 1200
      const late = yield* Effect.forkChild(Effect.flip(lease.acquire("login", "one", "15 seconds")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(late))._tag, "LeaseError")
      return { lease, memory }
    })

    it.effect("leaves its owner what it has", () =>
      Effect.gen(function*() {
        const { memory } = yield* setup
        yield* TestClock.adjust("1 second")
        assert.isFalse(yield* memory.acquire("login", "two", "15 seconds"))
      }).pipe(Effect.provide(Lease.layerMemory)))

    it.effect("gives back what its owner has released meanwhile", () =>
      Effect.gen(function*() {
        const { lease, memory } = yield* setup
        // The store counts as silent now.
        assert.strictEqual((yield* Effect.flip(lease.release("login", "one")))._tag, "LeaseError")
        assert.isFalse(yield* memory.acquire("login", "two", "15 seconds"))
        yield* TestClock.adjust("1 second")
        assert.isTrue(yield* memory.acquire("login", "two", "15 seconds"))
      }).pipe(Effect.provide(Lease.layerMemory)))
  })
})
