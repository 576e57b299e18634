import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Batch, Journal, SqlJournal, UploadPlan } from "@effect-resilience/upload"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { entryOf, journals } from "./journals.ts"
import * as Targets from "./Targets.ts"

describe("Journal", () => {
  it.effect("shows which of many items would be sent, skipped or rejected, and sends nothing", () =>
    Effect.gen(function*() {
      let version: string | undefined = "1"
      const target = Targets.make()
      const versioned = {
        ...target,
        source: (item: Targets.Item) => {
          const source = target.source(item)
          return { ...source, open: Effect.map(source.open, (opened) => ({ ...opened, version })) }
        },
        send: () => Effect.die("nothing may be sent")
      }
      const journal = yield* Journal.Journal
      const states = ["uploaded", "started", "unknown", "waiting", "failed"] as const
      const items = [true, false].flatMap((idempotent) =>
        [...states, "new"].map((state) => ({ name: `${state} ${idempotent}`, idempotent }))
      )
      for (const state of states) {
        for (const [idempotent, action] of [[true, "replace"], [false, "add"]] as const) {
          yield* journal.record(entryOf(`${state} ${idempotent}`, state, action))
        }
      }
      const verdicts = (options?: UploadPlan.Options<Targets.Item>) =>
        Effect.gen(function*() {
          const plan = yield* UploadPlan.make(versioned, items, options)
          assert.strictEqual(plan.known, 10)
          return (yield* UploadPlan.verdicts(plan)).map((verdict) =>
            verdict._tag === "Skip" ? verdict.why : verdict._tag
          )
        })
      const overwrites = ["uploaded", "Send", "Send", "Send", "Send", "Send"]
      assert.deepStrictEqual(yield* verdicts(), [...overwrites, "uploaded", "Reject", "Reject", "Send", "Send", "Send"])
      const appends = Effect.map(verdicts({ onUnknown: "skip" }), (all) => all.slice(6))
      assert.deepStrictEqual(yield* appends, ["uploaded", "assumed", "assumed", "Send", "Send", "Send"])
      const again = Effect.map(verdicts({ onUnknown: "retry" }), (all) => all.slice(6))
      assert.deepStrictEqual(yield* again, ["uploaded", "Send", "Send", "Send", "Send", "Send"])
      version = "2"
      const changed = (options?: UploadPlan.Options<Targets.Item>) =>
        Effect.map(verdicts(options), (all) => [all[0], all[6], all[7]])
      assert.deepStrictEqual(yield* changed(), ["Send", "Reject", "Reject"])
      assert.deepStrictEqual(yield* changed({ onChanged: "skip" }), ["Send", "assumed", "assumed"])
      assert.deepStrictEqual(yield* changed({ onChanged: "send" }), ["Send", "Send", "Send"])
    }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

  for (const idempotent of [true, false]) {
    it.effect(`${idempotent ? "need not" : "must"} survive a power failure to know what was begun`, () =>
      Effect.gen(function*() {
        const records: Array<readonly [Journal.State, boolean]> = []
        yield* Batch.runWithJournal(Targets.make(), [{ name: "a", idempotent }]).pipe(
          Effect.provideService(Journal.Journal, {
            history: () => Effect.succeed(new Map()),
            record: ({ state }, durable = false) => Effect.sync(() => void records.push([state, durable])),
            entries: Stream.empty
          })
        )
        assert.deepStrictEqual(records, [["started", !idempotent], ["uploaded", false]])
      }))
  }

  it.effect("leaves SQLite's level of safety as it was", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const journal = yield* Journal.Journal
      const entry = entryOf("x", "started")
      const before = yield* sql`PRAGMA synchronous`
      yield* Effect.all([journal.record(entry, true), journal.record({ ...entry, place: "y" })], { concurrency: 2 })
      assert.deepStrictEqual(yield* sql`PRAGMA synchronous`, before)
      assert.strictEqual((yield* Stream.runCollect(journal.entries)).length, 2)
    }).pipe(
      Effect.provide(
        SqlJournal.layer().pipe(Layer.provideMerge(Layer.fresh(SqliteClient.layer({ filename: ":memory:" }))))
      ),
      Effect.orDie
    ))

  it.effect("is not read where an entry was written by another program or a later build", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const journal = yield* Journal.Journal
      const text = "\u001b[2Jx"
      const wrong = {
        ordinal: [-1, 1.5, text],
        revision: [-1, text],
        action: ["", "delete", "__proto__"],
        state: ["", "done", text],
        attempts: [-1, 1e300, text],
        bytes: [-1, 1e300, text, new Uint8Array([1])],
        verified: [text],
        at: [-1, 8.64e15 + 1, 1e300, text]
      }
      yield* journal.record(entryOf("a.txt", "uploaded"))
      for (const [column, values] of Object.entries(wrong)) {
        for (const value of values) {
          yield* sql`UPDATE upload_history SET ${sql(column)} = ${value}`
          for (const read of [Stream.runCollect(journal.entries), journal.history(["a.txt"])]) {
            const { message, operation } = yield* Effect.flip<unknown, Journal.JournalError, never>(read)
            assert.deepStrictEqual([operation, message], [
              "read",
              "could not read the journal: this build writes no such entry: a.txt"
            ], `${column} ${value}`)
          }
          yield* sql`DELETE FROM upload_history`
          yield* journal.record(entryOf("a.txt", "uploaded"))
        }
      }
    }).pipe(
      Effect.provide(
        SqlJournal.layer().pipe(Layer.provideMerge(Layer.fresh(SqliteClient.layer({ filename: ":memory:" }))))
      ),
      Effect.orDie
    ))

  it.effect("takes over what an earlier build wrote, all of it or nothing", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE upload_journal (batch TEXT, id TEXT, state TEXT, attempts INTEGER, version TEXT, bytes INTEGER,
        md5 TEXT, verified INTEGER, note TEXT, at INTEGER)`
      for (const [id, state, at] of [["a:2", "failed", 2], ["a:1", "uploaded", 1], ["b:1", "started", 3]] as const) {
        yield* sql`INSERT INTO upload_journal VALUES ('', ${id}, ${state}, 1, 'v', 7, NULL, 1, NULL, ${at})`
      }
      const opened = (adopt: (entry: SqlJournal.OutdatedEntry) => SqlJournal.Adopted | undefined) =>
        Effect.flatMap(Journal.Journal, ({ entries }) => Stream.runCollect(entries)).pipe(
          Effect.provide(Layer.fresh(SqlJournal.layer({ adopt })))
        )
      const adopt = ({ id }: SqlJournal.OutdatedEntry) =>
        ({ place: id.slice(0, 1), action: "replace", name: id }) as const
      const unadopted = yield* Effect.flip(opened((entry) => entry.id === "b:1" ? undefined : adopt(entry)))
      assert.include(unadopted.message, "it holds 3 entries of an earlier build, which have to be adopted first")
      const entries = yield* opened(adopt)
      const known = { run: "adopted", revision: 1, action: "replace", attempts: 1, version: "v", bytes: 7 } as const
      const rest = { ...known, md5: undefined, verified: true, note: undefined }
      assert.deepStrictEqual([...entries], [
        { place: "a", ordinal: 1, name: "a:1", state: "uploaded", at: 1, ...rest },
        { place: "a", ordinal: 2, name: "a:2", state: "failed", at: 2, ...rest },
        { place: "b", ordinal: 1, name: "b:1", state: "started", at: 3, ...rest }
      ])
    }).pipe(Effect.provide(Layer.fresh(SqliteClient.layer({ filename: ":memory:" }))), Effect.orDie))

  it.effect("lets signals and timers through while it looks at many items", () =>
    Effect.gen(function*() {
      const items = Array.from({ length: 5_000 }, (_, i) => ({ name: `${i}` }))
      const looked = Effect.gen(function*() {
        const journal = yield* Journal.Journal
        for (const { name } of items) yield* journal.record(entryOf(name, "uploaded"))
        let looking = true
        const turns = yield* Effect.forkChild(Effect.gen(function*() {
          let turns = 0
          while (looking) {
            turns++
            yield* Effect.callback<void>((resume) => {
              setImmediate(() => resume(Effect.void))
            })
          }
          return turns
        }))
        yield* Effect.flatMap(UploadPlan.make(Targets.make(), items), UploadPlan.verdicts)
        looking = false
        return yield* Fiber.join(turns)
      })
      assert.isAtLeast(yield* Effect.provide(looked, Layer.fresh(Journal.layerMemory)), 5)
    }))

  it.effect("has each source of a place looked at once, however many verdicts are requested at once", () =>
    Effect.gen(function*() {
      let looks = 0
      const target = Targets.make()
      const counted = {
        ...target,
        source: (item: Targets.Item) => {
          const source = target.source(item)
          const looked = Effect.sync(() => {
            looks++
          })
          return { ...source, open: Effect.andThen(Effect.andThen(looked, Effect.yieldNow), source.open) }
        }
      }
      const items = Array.from({ length: 200 }, (_, i) => ({ name: `${i}`, key: "place", idempotent: i === 0 }))
      yield* Batch.runWithJournal(target, items)
      const verdicts = yield* Effect.flatMap(UploadPlan.make(counted, items), UploadPlan.verdicts)
      assert.isTrue(verdicts.every(({ _tag }) => _tag === "Skip"))
      assert.strictEqual(looks, items.length)
    }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

  it.effect("names three of many additions that are not listed", () =>
    Effect.gen(function*() {
      const items = Array.from({ length: 200 }, (_, i) => ({ name: `${i}`, key: "place", idempotent: i === 0 }))
      yield* Batch.runWithJournal(Targets.make(), items)
      const { results: [result] } = yield* Batch.runWithJournal(Targets.make(), items.slice(0, 1))
      assert.strictEqual(result?._tag, "Failed")
      if (result?._tag === "Failed") {
        assert.include(result.error.message, "added to it from 1, 2, 3 and 196 more, which")
      }
    }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

  it.effect("is not asked again for a plan that was made before", () =>
    Effect.gen(function*() {
      const items = [{ name: "a" }, { name: "b" }]
      const journal = yield* Journal.Journal
      yield* Batch.runWithJournal(Targets.make(), items.slice(0, 1))
      const plan = yield* UploadPlan.make(Targets.make(), items)
      const { results } = yield* Batch.runWithJournal(Targets.make(), items, { plan }).pipe(
        Effect.provideService(Journal.Journal, { ...journal, history: () => Effect.die("asked") })
      )
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Skipped", "Uploaded"])
    }).pipe(Effect.provide(Layer.fresh(Journal.layerMemory))))

  it.effect("ends the batch where it cannot be written, before anything is sent", () =>
    Effect.gen(function*() {
      let sends = 0
      const target = Targets.make(() => Effect.sync(() => void sends++))
      const error = yield* Batch.runWithJournal(target, [{ name: "a" }, { name: "b" }]).pipe(Effect.flip)
      assert.strictEqual(error._tag, "JournalError")
      assert.strictEqual(sends, 0)
    }).pipe(Effect.provideService(Journal.Journal, {
      history: () => Effect.succeed(new Map()),
      record: () => Effect.fail(new Journal.JournalError({ operation: "write", cause: new Error("disk full") })),
      entries: Stream.empty
    })))
})

it.effect("journals of several batches share a database, and neither sees the other's entries", () =>
  Effect.gen(function*() {
    const journalOf = (batch: string) =>
      Effect.map(
        Layer.build(Layer.fresh(SqlJournal.layer({ batch }))),
        (context) => Context.get(context, Journal.Journal)
      )
    const [ours, theirs] = [yield* journalOf("ours"), yield* journalOf("theirs")]
    yield* theirs.record(entryOf("x", "uploaded"))
    yield* theirs.record(entryOf("", "unknown"))
    yield* ours.record(entryOf("", "failed"))
    for (const count of [1, 20_000]) {
      const found = yield* ours.history(["", "x", ...Array.from({ length: count }, (_, i) => `${i}`)])
      assert.deepStrictEqual([...found.values()], [[entryOf("", "failed")]])
    }
    assert.deepStrictEqual(yield* Stream.runCollect(ours.entries), [entryOf("", "failed")])
    assert.lengthOf(yield* Stream.runCollect(theirs.entries), 2)
  }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))

it.effect("a journal on a database does not load all its entries into memory", () =>
  Effect.gen(function*() {
    const journal = yield* Journal.Journal
    yield* Effect.forEach(Array.from({ length: 25_000 }), (_, i) => journal.record(entryOf(`other ${i}`, "uploaded")), {
      concurrency: "unbounded"
    })
    const found = yield* journal.history(["other 7", ...Array.from({ length: 10_000 }, (_, i) => `${i}`)])
    assert.deepStrictEqual([...found.keys()], ["other 7"])
  }).pipe(Effect.provide(journals.sqlite)))
