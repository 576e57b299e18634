import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Journal, SqlJournal, UploadPlan } from "@effect-resilience/upload"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as Targets from "../Targets.ts"

// The writer of the journal has the record by then, and nothing was sent.
it.live("an addition that is interrupted while its start is recorded is in no doubt", () =>
  Effect.gen(function*() {
    const journal = yield* Journal.Journal
    let interrupt: Effect.Effect<void> = Effect.void
    const upload = UploadPlan.uploadOnce(Targets.make(), { name: "a", idempotent: false })
    const uploading = yield* Effect.forkChild(Effect.provideService(upload, Journal.Journal, {
      ...journal,
      record: (entry, durable) =>
        entry.state !== "started" ? journal.record(entry, durable) : Effect.raceFirst(
          journal.record(entry, durable),
          Effect.andThen(Effect.yieldNow, Effect.andThen(Effect.suspend(() => interrupt), Effect.never))
        )
    }))
    interrupt = Effect.sync(() => uploading.interruptUnsafe())
    yield* Fiber.await(uploading)
    assert.strictEqual((yield* upload)._tag, "Uploaded")
  }).pipe(Effect.provide(SqlJournal.layer().pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" }))))))
