import * as Journal from "@effect-resilience/upload/Journal"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as journalFile from "./journalFile.ts"
import * as Place from "./place.ts"
import { InvalidInput } from "./runtime.ts"

/** How many rows a journal knows of a table and period. */
export interface Rows extends Place.Place {
  readonly rows: number
  readonly at: number
}

/** Keeps how many rows a content has, beside a journal: its entries name contents by their md5. */
export const recorder = Effect.map(SqlClient.SqlClient, (sql) => {
  let made = false
  return (md5: string, rows: number): Effect.Effect<void> =>
    Effect.gen(function*() {
      if (!made) yield* sql`CREATE TABLE IF NOT EXISTS file_rows (md5 TEXT PRIMARY KEY, rows INTEGER NOT NULL)`
      made = true
      yield* sql`INSERT OR REPLACE INTO file_rows ${sql.insert({ md5, rows })}`
      // Nothing that is sent depends on it.
    }).pipe(Effect.ignore)
})

/** How many rows the contents of a journal have, by their md5. */
export const counts = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const known = yield* Effect.orElseSucceed(
    sql<{ readonly md5: string; readonly rows: number }>`SELECT md5, rows FROM file_rows`,
    () => []
  )
  return new Map(known.map(({ md5, rows }) => [md5, Number(rows)]))
})

/** Reads the rows of each table and period whose contents are all known. */
export const read = Effect.fnUntraced(function*(path: string) {
  // Opening it would create it.
  if (yield* journalFile.isMissing(path)) {
    return yield* new InvalidInput({ message: `There is no journal ${path}. Check its name.` })
  }
  return yield* Effect.gen(function*() {
    const journal = yield* Journal.Journal
    const rowsOf = yield* counts
    const entries = yield* Stream.runCollect(journal.entries)
    return Object.values(Arr.groupBy(entries, ({ place }) => place)).flatMap((history): ReadonlyArray<Rows> => {
      const place = Option.getOrUndefined(Place.parse(history[0].place))
      const uploaded = history.filter(({ state }) => state === "uploaded")
      const there = uploaded.slice(Math.max(0, uploaded.findLastIndex(({ action }) => action === "replace")))
      const rows = there.map(({ md5 = "" }) => rowsOf.get(md5))
      if (place === undefined || rows.length === 0 || rows.includes(undefined)) return []
      return [{
        ...place,
        rows: rows.reduce((sum: number, some = 0) => sum + some, 0),
        at: Math.max(...there.map(({ at }) => at))
      }]
    })
  }).pipe(
    Effect.mapError((error) => error instanceof Journal.JournalError ? journalFile.failure(path, error) : error),
    Effect.provide(journalFile.layer(path))
  )
})

/** The rows of the same table in the period that was uploaded last, except this one. */
export const before = (history: ReadonlyArray<Rows>, place: Place.Place): Rows | undefined =>
  history
    .filter((rows) =>
      rows.project === place.project && rows.table === place.table && rows.period !== place.period &&
      Place.sameScope(rows, place)
    )
    .reduce<Rows | undefined>((latest, rows) => latest === undefined || rows.at > latest.at ? rows : latest, undefined)
