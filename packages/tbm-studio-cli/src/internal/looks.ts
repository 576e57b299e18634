import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type * as TableCopy from "./tableCopy.ts"

/**
 * What a table and period contained before an append.
 *
 * - `period`: as it was spelled.
 * - `adds`: how many rows the appended file has, where that is known.
 * - `at`: when it was looked at, in milliseconds since 1970.
 */
export interface Look extends TableCopy.Held {
  readonly period: string
  readonly adds: number | undefined
  readonly at: number
}

/** Keeps the last look before each append, by its place and the name of its file. A failure of the store stops no upload. */
export interface Looks {
  readonly find: (place: string, name: string) => Effect.Effect<Look | undefined>
  readonly save: (place: string, name: string, look: Look) => Effect.Effect<void>
  readonly forget: (place: string, name: string) => Effect.Effect<void>
}

export const inMemory = (): Looks => {
  const looks = new Map<string, Look>()
  const key = (place: string, name: string) => JSON.stringify([place, name])
  return {
    find: (place, name) => Effect.sync(() => looks.get(key(place, name))),
    save: (place, name, look) => Effect.sync(() => void looks.set(key(place, name), look)),
    forget: (place, name) => Effect.sync(() => void looks.delete(key(place, name)))
  }
}

/** Beside the entries of a journal, for the next run and for `resolve`. */
export const inJournal = Effect.map(SqlClient.SqlClient, (sql): Looks => {
  let made = false
  const change = <A, E>(self: Effect.Effect<A, E>) =>
    Effect.gen(function*() {
      if (!made) {
        yield* sql`CREATE TABLE IF NOT EXISTS looks (place TEXT, name TEXT, table_rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
          md5 TEXT NOT NULL, period TEXT NOT NULL, adds INTEGER, at INTEGER NOT NULL, PRIMARY KEY (place, name))`
      }
      made = true
      yield* self
    }).pipe(Effect.ignore)
  return {
    find: (place, name) =>
      sql<{
        readonly table_rows: number
        readonly bytes: number
        readonly md5: string
        readonly period: string
        readonly adds: number | null
        readonly at: number
      }>`SELECT table_rows, bytes, md5, period, adds, at FROM looks WHERE place = ${place} AND name = ${name}`.pipe(
        Effect.map(([look]): Look | undefined =>
          look && {
            rows: Number(look.table_rows),
            bytes: Number(look.bytes),
            md5: look.md5,
            period: look.period,
            adds: look.adds === null ? undefined : Number(look.adds),
            at: Number(look.at)
          }
        ),
        // Without a look there is no such table.
        Effect.orElseSucceed(() => undefined)
      ),
    save: (place, name, { adds = null, at, bytes, md5, period, rows }) =>
      change(
        sql`INSERT OR REPLACE INTO looks ${sql.insert({ place, name, table_rows: rows, bytes, md5, period, adds, at })}`
      ),
    forget: (place, name) => change(sql`DELETE FROM looks WHERE place = ${place} AND name = ${name}`)
  }
})
