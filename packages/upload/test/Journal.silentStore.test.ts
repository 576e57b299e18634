import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Journal, SqlJournal } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, type SqlConnection, Statement } from "effect/sql"
import { TestClock } from "effect/testing"

const entryOf = (place: string, state: Journal.State): Journal.Entry => ({
  place,
  ordinal: 1,
  run: "one",
  revision: 1,
  action: "add",
  name: "gl.csv",
  state,
  attempts: 1,
  version: "1",
  bytes: 1,
  md5: undefined,
  verified: true,
  note: undefined,
  at: 0
})

/** A database that applies its statements when it speaks again, and whose calls cannot be interrupted. */
const silentDatabase = Effect.gen(function*() {
  yield* TestClock.adjust("3 days")
  let speaking: Deferred.Deferred<void> | undefined
  const real = yield* Effect.provide(SqliteClient.make({ filename: ":memory:" }), Reactivity.layer)
  const connection = yield* real.reserve
  const held = <A, E>(call: Effect.Effect<A, E>) =>
    Effect.uninterruptible(
      Effect.suspend(() => speaking === undefined ? call : Effect.andThen(Deferred.await(speaking), call))
    )
  const silenced: SqlConnection.Connection = {
    execute: (...call) => held(connection.execute(...call)),
    executeRaw: (...call) => held(connection.executeRaw(...call)),
    executeStream: (...call) => connection.executeStream(...call),
    executeValues: (...call) => held(connection.executeValues(...call)),
    executeValuesUnprepared: (...call) => held(connection.executeValuesUnprepared(...call)),
    executeUnprepared: (...call) => held(connection.executeUnprepared(...call))
  }
  const client = yield* Effect.provide(
    SqlClient.make({
      acquirer: Effect.succeed(silenced),
      driver: "sqlite-silenced",
      compiler: Statement.makeCompilerSqlite(),
      spanAttributes: []
    }),
    Reactivity.layer
  )
  return {
    layer: Layer.provide(Layer.fresh(SqlJournal.layer()), Layer.succeed(SqlClient.SqlClient, client)),
    fallSilent: Effect.sync(() => {
      speaking = Deferred.makeUnsafe()
    }),
    speak: Effect.suspend(() => {
      const waiting = speaking
      speaking = undefined
      return waiting === undefined ? Effect.void : Deferred.succeed(waiting, undefined)
    })
  }
})

/** The error of a call that fails at its time limit. */
const lateFailure = <A>(call: Effect.Effect<A, Journal.JournalError>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.flip(call), { startImmediately: true })
    yield* TestClock.adjust("9999 millis")
    assert.isUndefined(fiber.pollUnsafe())
    yield* TestClock.adjust("1 millis")
    return yield* Fiber.join(fiber)
  })

describe("a journal whose database is silent", () => {
  it.effect("fails closed: nothing counts as recorded, and nothing counts as unknown to the journal", () =>
    Effect.gen(function*() {
      const database = yield* silentDatabase
      yield* Effect.gen(function*() {
        const journal = yield* Journal.Journal
        yield* journal.record(entryOf("a", "uploaded"))
        yield* database.fallSilent
        assert.strictEqual((yield* lateFailure(journal.record(entryOf("b", "started"), true))).operation, "write")
        assert.strictEqual((yield* lateFailure(journal.history(["a"]))).operation, "read")
        assert.strictEqual((yield* Effect.flip(Stream.runCollect(journal.entries))).operation, "read")
        yield* database.speak
      }).pipe(Effect.provide(database.layer))
    }).pipe(Effect.scoped))

  it.effect("writes nothing late that would undo what came after it", () =>
    Effect.gen(function*() {
      const database = yield* silentDatabase
      yield* Effect.gen(function*() {
        const journal = yield* Journal.Journal
        yield* database.fallSilent
        const behind = yield* Effect.forkChild(
          Effect.andThen(Effect.yieldNow, Effect.flip(journal.record(entryOf("b", "failed"))))
        )
        yield* lateFailure(journal.record(entryOf("a", "waiting")))
        assert.strictEqual((yield* Fiber.join(behind)).operation, "write")
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* Effect.flip(journal.record(entryOf("a", "started")))).operation, "write")
        yield* database.speak
        yield* TestClock.adjust(0)
        yield* journal.record(entryOf("a", "started"))
        const found = yield* journal.history(["a", "b"])
        assert.deepStrictEqual([found.get("a")?.[0]?.state, found.get("b")], ["started", undefined])
      }).pipe(Effect.provide(database.layer))
    }).pipe(Effect.scoped))

  it.effect("is not opened", () =>
    Effect.gen(function*() {
      const database = yield* silentDatabase
      yield* database.fallSilent
      const failure = yield* lateFailure(Effect.scoped(Layer.build(database.layer)))
      assert.strictEqual(failure.operation, "open")
      yield* database.speak
    }).pipe(Effect.scoped))
})
