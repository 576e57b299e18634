import * as Recovery from "@effect-resilience/errors/Recovery"
import * as SqliteClient from "@effect-resilience/sqlite/SqliteClient"
import * as Journal from "@effect-resilience/upload/Journal"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as Place from "./place.ts"
import { InvalidInput, InvalidOption } from "./runtime.ts"

/** The journal of a manifest: a SQLite file beside it, wherever links lead. */
export const beside = Effect.fnUntraced(function*(manifest: string) {
  const fs = yield* FileSystem.FileSystem
  const real = (path: string) => Effect.orElseSucceed(fs.realPath(path), () => undefined)
  const path = `${(yield* real(manifest)) ?? manifest}${extension}`
  const asTyped = `${manifest}${extension}`
  const found = yield* real(asTyped)
  if (found === undefined || found === ((yield* real(path)) ?? path)) return path
  return yield* new InvalidInput({
    message:
      `There is a journal beside a link to the manifest, ${asTyped}. Move it to ${path}, where it is looked for, ` +
      "or name it with --journal."
  })
})

const extension = ".journal.sqlite"

/** A journal in a file that exists. */
export const layer = (path: string) => Layer.unwrap(Effect.as(check(path), open(path)))

/**
 * A journal in a file, which is made where there is none, for one process at a time: two that upload the same would send
 * twice what either has not begun.
 */
export const layerExclusive = (path: string) =>
  Layer.provideMerge(
    Layer.unwrap(Effect.as(Effect.andThen(check(path), create(path)), open(path))),
    layerLock(path)
  )

// The lock is that of a transaction, which the system ends with the process, however that ends.
const layerLock = (path: string) =>
  Layer.effectDiscard(
    Effect.mapError(lock(path), (error) => isTaken(error) ? new JournalInUse({ path }) : cannotBeOpened(path, error))
  )

const open = (path: string, options?: Parameters<typeof Journal.layerSql>[0]) =>
  Layer.effectContext(
    Effect.mapError(
      Layer.build(Layer.provideMerge(Journal.layerSql(options), SqliteClient.layer({ filename: path }))),
      (error) => cannotBeOpened(path, error)
    )
  )

// What was cut off to nothing would be taken for a new journal, and everything be sent again.
const check = Effect.fnUntraced(function*(path: string) {
  const info = yield* Effect.option(Effect.flatMap(FileSystem.FileSystem, (fs) => fs.stat(path)))
  if (Option.isNone(info) || info.value.size > 0n) return
  return yield* new InvalidInput({
    message: `The journal ${path} is empty, so what it held is lost. Restore it, or look at what is stored; ` +
      "where nothing is, delete it, and everything is sent."
  })
})

// A journal has its table from its first moment on, whenever the process is killed.
const create = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const unfinished = `${path}.new`
  const failed = Effect.mapError((error: unknown) => cannotBeOpened(path, error))
  if (yield* failed(fs.exists(path))) return
  yield* failed(fs.remove(unfinished, { force: true }))
  yield* Effect.scoped(Layer.build(open(unfinished)))
  yield* failed(fs.rename(unfinished, path))
})

/** What `adopt` has changed. */
export interface Adopted {
  /** How many entries an earlier build had written. */
  readonly outdated: number
  /** How many uploads that went to another address, domain or environment now count for this one. */
  readonly moved: number
}

/**
 * Takes over what an earlier build left in a journal, and what the journal holds of another address, domain or environment.
 *
 * - `names`: a file as a manifest names it, by its path.
 */
export const adopt = Effect.fnUntraced(function*(path: string, scope: Place.Scope, names: (file: string) => string) {
  yield* check(path)
  if (!(yield* Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.orElseSucceed(fs.exists(path), () => false)))) {
    return yield* new InvalidInput({ message: `There is no journal ${path}.` })
  }
  let outdated = 0
  const takeOver = ({ at, id }: Journal.OutdatedEntry): Journal.Adopted | undefined => {
    const adopted = Option.map(Place.ofOutdated(id, at), ({ action, file, place }): Journal.Adopted => ({
      place,
      action: action === "append" ? "add" : "replace",
      name: names(file)
    }))
    if (Option.isSome(adopted)) outdated++
    return Option.getOrUndefined(adopted)
  }
  return yield* Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly place: string; readonly uploads: number }>`
      SELECT place, COUNT(*) AS uploads FROM upload_history GROUP BY place`
    let moved = 0
    const move = Effect.fnUntraced(function*(place: string, uploads: number) {
      const elsewhere = Option.getOrUndefined(Place.parse(place))
      if (elsewhere === undefined || Place.sameScope(elsewhere, scope)) return
      moved += uploads
      yield* sql`UPDATE upload_history SET place = ${Place.format({ ...elsewhere, ...scope })} WHERE place = ${place}`
    })
    yield* sql.withTransaction(Effect.forEach(rows, ({ place, uploads }) => move(place, Number(uploads))))
    const adopted: Adopted = { outdated, moved }
    return adopted
  }).pipe(
    Effect.catchIf(isSqlError, () => new InvalidInput({ message: `The journal ${path} ${bothAddresses}` })),
    Effect.provide(Layer.provideMerge(open(path, { adopt: takeOver }), layerLock(path)))
  )
})

const isSqlError = (error: unknown): error is SqlError.SqlError => Predicate.isTagged(error, "SqlError")

const bothAddresses = "holds uploads to one table for both addresses: it cannot be taken over."

/** Whether a process uploads with this journal now. */
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

const cannotBeOpened = (path: string, error: unknown): InvalidOption | InvalidInput =>
  error instanceof Journal.JournalError && error.cause instanceof Journal.OutdatedJournal
    ? new InvalidInput({
      message:
        `The journal ${path} was written by an earlier build of tbm-studio, and nothing is sent before it is taken ` +
        "over: run tbm-studio adopt MANIFEST."
    })
    : new InvalidOption({
      message:
        `The journal ${path} cannot be opened${
          error instanceof Journal.JournalError && error.why !== "" ? `: ${error.why}` : ""
        }. Name another with --journal FILE, or go without one ` +
        "with --no-journal."
    })

/** The journal cannot be read or written while a batch runs. */
export class JournalFailed extends Data.TaggedError("JournalError")<{
  readonly path: string
  readonly operation: string
  readonly why: string
}> {
  override get message(): string {
    return `The journal ${this.path} could not be ${this.operation === "write" ? "written" : "read"}: ${this.why}. ` +
      "Nothing more was sent; what is listed as uploaded is stored. Run the batch again when the journal can be used."
  }
}

/** Another process uploads with this journal. */
export class JournalInUse extends Data.TaggedError("JournalInUse")<{ readonly path: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return `The journal ${this.path} is in use by another tbm-studio: wait until it ends, or stop it.`
  }
}

/** Fails where a journal holds uploads, but none to a place of the manifest. */
export const checkFit = Effect.fnUntraced(function*(path: string, scope: Place.Scope) {
  const sql = yield* SqlClient.SqlClient
  const [entry] = yield* Effect.orElseSucceed(
    sql<{ readonly place: string }>`SELECT place FROM upload_history LIMIT 1`,
    () => []
  )
  if (entry === undefined) return
  const place = Option.getOrUndefined(Place.parse(entry.place))
  return yield* new InvalidInput({
    message: place === undefined || Place.sameScope(place, scope)
      ? `The journal ${path} holds uploads, but none to a table and period of this manifest. If that is right, run the batch ` +
        "again with --accept-journal; otherwise name its own with --journal FILE."
      : `The journal ${path} holds uploads to ${Place.describe(place)}, but this batch goes to ${
        Place.describe(scope)
      }. ` +
        "If both are the same, take the journal over: tbm-studio adopt MANIFEST. If not, name another with --journal FILE."
  })
})

/** What a person can do about the uploads that only a person can judge. */
export const advice = (items: ReadonlyArray<Asked>): ReadonlyArray<string> => {
  const asked = (reason: string) => items.filter(({ error }) => error?.reason === reason).length
  const doubts = items.filter(({ action, status }) => action === "append" && status === "unknown").length
  const changed = asked("ChangedSinceUpload") + asked("SurplusAdditions")
  return [
    ...(doubts === 0 ? [] : [
      "",
      `${
        doubts === 1 ? "One append" : `${doubts} appends`
      } may have arrived or not. Look at what is stored; then run the batch ` +
      `again with --unknown skip to take ${doubts === 1 ? "it" : "them"} for done, or with --unknown retry to send ` +
      `${doubts === 1 ? "it" : "them"} again.`
    ]),
    ...(changed === 0 ? [] : [
      "",
      "What is stored is not what the manifest lists now. Run the batch again with --changed skip to leave it so, or with " +
      "--changed send to send the new content: from its overwrite on where the manifest has one, otherwise in addition to " +
      "what is stored."
    ])
  ]
}

interface Asked {
  readonly action: string
  readonly status: string
  readonly error?: { readonly reason: string } | undefined
}
