import { Journal, SqlJournal } from "@effect-resilience/upload"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import { Config, Effect, Layer, Stream } from "effect"
import { randomUUID } from "node:crypto"

const postgres = PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") }).pipe(Layer.orDie)

describe("a journal on Postgres", () => {
  layer(SqlJournal.layer({ batch: randomUUID() }).pipe(Layer.provide(postgres)), { excludeTestServices: true })(
    (it) => {
      it.effect("keeps entries whose places have long names", () =>
        Effect.gen(function*() {
          const journal = yield* Journal.Journal
          // Random, since Postgres compresses what it indexes.
          const place = JSON.stringify(Array.from({ length: 60 }, () => randomUUID()))
          const entry: Journal.Entry = {
            place,
            ordinal: 1,
            run: "one",
            revision: 1,
            action: "add",
            name: "gl.csv",
            state: "started",
            attempts: 1,
            version: "1",
            bytes: 4_000_000_000,
            md5: undefined,
            verified: false,
            note: "ü".repeat(5_000),
            at: 1_700_000_000_000
          }
          yield* journal.record(entry, true)
          yield* journal.record({ ...entry, state: "uploaded", verified: true })
          const found = yield* journal.history([place])
          assert.deepStrictEqual(found.get(place), [{ ...entry, state: "uploaded", verified: true }])
          const taken = yield* Effect.flip(journal.record({ ...entry, run: "another" }))
          assert.isTrue(taken.cause instanceof Journal.PlaceTaken)
          assert.strictEqual((yield* Stream.runCollect(journal.entries)).length, 1)
        }))
    }
  )
})
