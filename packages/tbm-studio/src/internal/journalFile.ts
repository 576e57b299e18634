import * as Recovery from "@effect-resilience/errors/Recovery"
import * as SqliteClient from "@effect-resilience/sqlite/SqliteClient"
import * as Journal from "@effect-resilience/upload/Journal"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schema from "effect/Schema"
import type * as SqlError from "effect/sql/SqlError"
import * as Period from "../Period.ts"
import type { Settings } from "../Settings.ts"
import * as TableAddress from "../TableAddress.ts"
import type { TableUpload } from "../TableUploads.ts"
import { failAs, InvalidOption } from "./runtime.ts"

/** The journal of a manifest: a SQLite file beside it. */
export const beside = (manifest: string): string => `${manifest}.journal.sqlite`

/** A journal in a file. */
export const layer = (path: string) =>
  failAs(Layer.provide(Journal.layerSql(), SqliteClient.layer({ filename: path })), () => cannotBeOpened(path))

/**
 * A journal in a file, for one process at a time: two that upload the same would send twice what either has not begun. The
 * lock is that of a transaction, which the system ends with the process, however that ends.
 */
export const layerExclusive = (path: string) =>
  Layer.merge(
    layer(path),
    Layer.effectDiscard(lock(path)).pipe(
      Layer.catch((error) =>
        Layer.effectDiscard(Effect.fail(
          isTaken(error)
            ? new JournalInUse({ path })
            : new InvalidOption({ message: cannotBeOpened(path) })
        ))
      )
    )
  )

/** Whether a process uploads by the word of this journal now. */
export const isInUse = (path: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    // To ask would make the file.
    if (!(yield* (yield* FileSystem.FileSystem).exists(lockOf(path)))) return false
    return yield* Effect.match(lock(path), { onFailure: isTaken, onSuccess: () => false })
  }).pipe(Effect.scoped, Effect.orElseSucceed(() => false))

const lockOf = (path: string): string => `${path}.lock`

const lock = (path: string) =>
  Effect.gen(function*() {
    const sql = yield* SqliteClient.make({ filename: lockOf(path), busyTimeout: 0 })
    const take = sql.unsafe("BEGIN IMMEDIATE").unprepared
    yield* Effect.acquireRelease(take, () => Effect.ignore(sql.unsafe("ROLLBACK").unprepared))
  }).pipe(Effect.provide(Reactivity.layer))

const isTaken = (error: SqlError.SqlError): boolean => error.reason._tag === "LockTimeoutError"

const cannotBeOpened = (path: string) =>
  `The journal ${path} cannot be opened: name another with --journal FILE, or go without one with --no-journal.`

/** Another process uploads by the word of this journal. */
export class JournalInUse extends Data.TaggedError("JournalInUse")<{ readonly path: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return `The journal ${this.path} is in use by another tbm-studio: wait until it ends, or stop it.`
  }
}

/** What a person can do about appends that the journal holds as begun, and nothing else is known of. */
export const doubts = (inDoubt: ReadonlyArray<{ readonly action: TableAddress.Action }>): ReadonlyArray<string> => {
  const count = inDoubt.filter(({ action }) => action === "append").length
  if (count === 0) return []
  const [subject, object] = count === 1 ? ["One append", "it"] : [`${count} appends`, "them"]
  return [
    "",
    `${subject} may have arrived or not. Look at what is stored; then run the batch again with --unknown skip to take ${object} ` +
    `for done, or with --unknown retry to send ${object} again.`
  ]
}

// In this order, as a JSON array: a manifest may need a hundred thousand of them.
const Subject = Schema.fromJsonString(Schema.Tuple([
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.Literals(TableAddress.actions),
  Schema.Int
]))

/** Reads the id of an entry. */
export const subjectOf = (id: string) =>
  Effect.map(
    Schema.decodeEffect(Subject)(id),
    ([api, domain, environment, file, project, table, period, action, occurrence]) => ({
      api,
      domain,
      environment,
      file,
      project,
      table,
      period,
      action,
      occurrence
    })
  )

/** What an upload is named by. */
export interface Named extends Pick<TableUpload, "address" | "action"> {
  readonly file: string
}

/**
 * Names uploads by what they are: where each goes, however its period is spelled, from which file, and the how-manieth of
 * its kind it is. `index` is an upload's place among all of them.
 */
export const identify = ({ api, domain, environment }: Settings["Service"], all: ReadonlyArray<Named>) => {
  const named = ({ action, address: { period, project, table }, file }: Named, occurrence: number): string =>
    JSON.stringify([api, domain, environment, file, project, table, Period.key(period), action, occurrence])
  const firsts = new Set<string>()
  const occurrences = new Map<string, number>()
  const ids = all.map((upload) => {
    const first = named(upload, 1)
    if (firsts.size < firsts.add(first).size) return first
    const occurrence = (occurrences.get(first) ?? 1) + 1
    occurrences.set(first, occurrence)
    return named(upload, occurrence)
  })
  return (upload: Named, index: number): string => ids[index] ?? named(upload, 1)
}
