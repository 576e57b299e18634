import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import { Backoff, RetryPolicy } from "@effect-resilience/retry"
import { Journal, SqlJournal } from "@effect-resilience/upload"
import { Effect, Layer } from "effect"

export const journals = {
  memory: Layer.fresh(Journal.layerMemory),
  sqlite: Layer.fresh(
    SqlJournal.layer({ batch: "test" }).pipe(
      Layer.provide(Layer.fresh(SqliteClient.layer({ filename: ":memory:" })))
    )
  )
}

export const policy = RetryPolicy.make({ times: 1, backoff: Backoff.constant("1 second") })

export const entryOf = (name: string, state: Journal.State, action: Journal.Action = "replace"): Journal.Entry => ({
  place: name,
  ordinal: 1,
  run: "earlier",
  revision: 1,
  action,
  name,
  state,
  attempts: 1,
  version: "1",
  bytes: 1,
  md5: undefined,
  verified: true,
  note: undefined,
  at: 0
})

export const stateOf = (place: string) =>
  Effect.gen(function*() {
    const journal = yield* Journal.Journal
    return (yield* journal.history([place])).get(place)?.at(-1)?.state
  })
