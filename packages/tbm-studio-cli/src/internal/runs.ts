import * as Journal from "@effect-resilience/upload/Journal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { hostname, userInfo } from "node:os"

/** A journal that also keeps who began each of its runs. */
export const layer = Layer.effect(
  Journal.Journal,
  Effect.gen(function*() {
    const journal = yield* Journal.Journal
    const sql = yield* SqlClient.SqlClient
    const kept = new Set<string>()
    const keep = Effect.fnUntraced(function*(run: string) {
      kept.add(run)
      yield* sql`CREATE TABLE IF NOT EXISTS upload_runs (run TEXT PRIMARY KEY, who TEXT NOT NULL)`
      yield* sql`INSERT OR IGNORE INTO upload_runs ${sql.insert({ run, who: who() })}`
      // Nothing that is sent depends on it.
    }, (keeping) => Effect.ignore(keeping))
    return {
      ...journal,
      record: (entry: Journal.Entry, durable?: boolean) =>
        kept.has(entry.run)
          ? journal.record(entry, durable)
          : Effect.andThen(keep(entry.run), journal.record(entry, durable))
    }
  })
)

/** Who began the runs of a journal, as `user@host`, by the name of the run. */
export const read = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const runs = yield* Effect.orElseSucceed(
    sql<{ readonly run: string; readonly who: string }>`SELECT run, who FROM upload_runs`,
    () => []
  )
  return new Map(runs.map(({ run, who }) => [run, who]))
})

const who = (): string => {
  // A container may run as a user without a name.
  const name = Option.getOrElse(Option.liftThrowable(() => userInfo().username)(), () => `${process.getuid?.()}`)
  return `${name}@${hostname()}`
}
