import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as Time from "@effect-resilience/kernel/Time"
import * as SqliteClient from "@effect-resilience/node/SqliteClient"
import * as Journal from "@effect-resilience/upload/Journal"
import * as SqlJournal from "@effect-resilience/upload/SqlJournal"
import * as Cause from "effect/Cause"
import * as Flag from "effect/cli/Flag"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import * as duration from "./duration.ts"
import * as Output from "./output.ts"
import * as Place from "./place.ts"
import * as Runs from "./runs.ts"
import { CannotWrite, InvalidInput, InvalidOption } from "./runtime.ts"
import * as units from "./units.ts"

/** The journal of a manifest: a SQLite file beside the real file of the manifest. */
export const beside = Effect.fnUntraced(function*(manifest: string) {
  const fs = yield* FileSystem.FileSystem
  const real = (path: string) => Effect.orElseSucceed(fs.realPath(path), () => undefined)
  const path = `${(yield* real(manifest)) ?? manifest}${extension}`
  const asTyped = `${manifest}${extension}`
  const found = yield* real(asTyped)
  if (found === undefined || found === ((yield* real(path)) ?? path)) return path
  return yield* new InvalidInput({
    message:
      `There is a journal beside a link to the manifest, ${asTyped}. Move it to ${path}, where it is expected, ` +
      "or name it with --journal."
  })
})

const extension = ".journal.sqlite"

/** The journal that a person names: by its manifest, or by itself. */
export const find = Effect.fnUntraced(function*(file: string) {
  const path = yield* beside(file)
  if (yield* isThere(path)) return path
  const isJournal = (yield* FileSystem.FileSystem).stream(file, { bytesToRead: 16 }).pipe(
    Stream.decodeText(),
    Stream.mkString,
    Effect.map((head) => head.startsWith("SQLite format 3"))
  )
  if (yield* Effect.orElseSucceed(isJournal, () => false)) return file
  return yield* new InvalidInput({
    message: `${file} is not a journal, and there is none beside it. Name a manifest that was uploaded, or its journal.`
  })
})

/**
 * Opens an existing journal to read it. If a process died while writing it, the files beside it stay there. If nothing can be
 * written beside it, for example on a read-only file system, a copy of it is read.
 */
export const layer = (path: string) =>
  Layer.unwrap(Effect.map(locate(path), ({ leftOpen, real }) =>
    Layer.effectContext(
      Effect.catch(
        Layer.build(open(real, { readOnly: leftOpen })),
        (error) =>
          Effect.flatMap(copied(real), (copy) => copy === undefined ? Effect.fail(error) : Layer.build(open(copy)))
      )
    )))

// SQLite reads a journal only if it can write the files beside it, or if a process has them open.
const copied = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const isWritable = fs.access(paths.dirname(path), { writable: true })
    if (yield* Effect.isSuccess(isWritable)) return undefined
    const copy = paths.join(yield* fs.makeTempDirectoryScoped({ prefix: "tbm-studio-" }), paths.basename(path))
    for (const suffix of ["", "-wal"]) {
      if (suffix === "" || (yield* isThere(path + suffix))) {
        yield* fs.writeFile(copy + suffix, yield* fs.readFile(path + suffix))
      }
    }
    return copy
  }).pipe(Effect.orElseSucceed(() => undefined))

/** For the commands that write a journal. */
export const waitFlag = duration.flag("wait").pipe(
  Flag.withOptionalValue("1000h"),
  Flag.withDescription("Wait until another command that uses the journal has ended, or at most --wait=DURATION"),
  Flag.optional
)

/** Opens a journal as `layerExclusive` does, to read it without a lock. */
export const layerUnused = (path: string, options: Exclusively) =>
  Layer.unwrap(Effect.gen(function*() {
    if (yield* isInUse(path)) yield* Effect.scoped(locked(yield* realPathOf(path), false, options.wait))
    const { leftOpen, real } = yield* locate(path, options)
    return open(real, { readOnly: leftOpen })
  }))

/** Whether there is no journal, and nothing that is left of one. */
export const isMissing = (path: string) => Effect.map(locate(path, { incomplete: true }), ({ exists }) => !exists)

interface Exclusively {
  /** Continues with a journal whose `-wal` file is lost. */
  readonly incomplete: boolean
  /** For how long to wait for another process that uses the journal; default not at all. */
  readonly wait?: Duration.Duration | undefined
}

/**
 * Opens a journal, or creates it if it is missing, for one process at a time: two processes with the same uploads would
 * send each one twice.
 */
export const layerExclusive = (path: string, options: Exclusively) => exclusive(path, { ...options, missing: create })

const exclusive = (path: string, { adopt, incomplete, missing, wait }: Exclusively & {
  readonly missing: typeof create
  readonly adopt?: Adopt | undefined
}) =>
  Layer.unwrap(Effect.gen(function*() {
    const real = yield* realPathOf(path)
    const isNew = !(yield* isThere(real))
    const found = Effect.flatMap(locate(real, { incomplete }), ({ exists }) => exists ? Effect.void : missing(real))
    const journal = Layer.provideMerge(
      Layer.merge(Layer.effectDiscard(inUse(real)), Runs.layer),
      open(real, { adopt })
    )
    return Layer.provideMerge(
      Layer.unwrap(Effect.as(found, journal)),
      Layer.effectDiscard(locked(real, isNew, wait))
    )
  }))

// The lock is that of a transaction, which the system ends with the process, however the process ends.
const locked = (path: string, isNew: boolean, wait: Duration.Duration = Duration.zero) =>
  Effect.catch(
    lockWithin(path, wait),
    (error): Effect.Effect<never, JournalInUse | Unusable, FileSystem.FileSystem | Path.Path> =>
      isTaken(error) ? Effect.fail(new JournalInUse({ path })) : cannotBeOpened(path, error, { isNew })
  )

type Adopt = SqlJournal.Options["adopt"]

const open = (path: string, { adopt, isNew = false, readOnly = false }: {
  readonly adopt?: Adopt | undefined
  readonly isNew?: boolean | undefined
  readonly readOnly?: boolean | undefined
} = {}) => {
  const file = SqliteClient.layer({ filename: path, readOnly })
  const ours = Layer.effectDiscard(isNew ? Effect.void : checkTables(path))
  return Layer.effectContext(
    Effect.catch(
      Layer.build(Layer.provideMerge(SqlJournal.layer({ adopt }), Layer.provideMerge(ours, file))),
      (error) => error._tag === "InvalidInput" ? Effect.fail(error) : cannotBeOpened(path, error, { isNew })
    )
  )
}

// If another program's database were opened as a journal, it would get our tables, and have no uploads.
const checkTables = Effect.fnUntraced(function*(path: string) {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE name IN ('upload_history', 'upload_journal')`
  if (tables.length === 0) return yield* new InvalidInput({ message: `${path} is not a journal of tbm-studio.` })
})

/** Checks a journal before SQLite opens it. SQLite would accept the rest of a journal as a whole one. */
const locate = Effect.fnUntraced(function*(path: string, { incomplete = false } = {}) {
  const fs = yield* FileSystem.FileSystem
  const real = yield* realPathOf(path)
  const beside = `${real}-wal`
  const sizeOf = (path: string) => Effect.map(Effect.option(fs.stat(path)), Option.map(({ size }) => size))
  const hasBeside = Option.exists(yield* sizeOf(beside), (size) => size > 0n)
  const size = yield* sizeOf(real)
  const invalid = (message: string) => new InvalidInput({ message })
  if (Option.isNone(size)) {
    if (yield* Effect.isSuccess(fs.readLink(real))) {
      return yield* invalid(
        `The journal ${path} is a link to a file that is missing. Restore that file, or look at what is stored; if nothing ` +
          "is stored, delete the link, and everything is sent."
      )
    }
    if (hasBeside) {
      return yield* invalid(
        `There is no journal ${real}, but there is ${beside}, which has its last records. Restore the journal, or look at ` +
          "what is stored; if nothing is stored, delete that file too, and everything is sent."
      )
    }
    return { real, exists: false, leftOpen: false }
  }
  if (size.value === 0n) return yield* invalid(`The journal ${path} is empty, so its records are lost. ${restore}`)
  const head = yield* fs.stream(real, { bytesToRead: 100 }).pipe(
    Stream.runCollect,
    Effect.map((chunks) => Buffer.concat(chunks)),
    Effect.catch(({ reason }) =>
      reason._tag === "PermissionDenied" || isOfDisk(reason) ? cannotBeOpened(path, reason) : Effect.fail(damaged(path))
    )
  )
  if (head.length < 100 || !head.toString("latin1").startsWith("SQLite format 3\0")) return yield* damaged(path)
  const leftOpen = head.readUInt32BE(userVersion) === 1
  if (leftOpen && !hasBeside && !incomplete) {
    return yield* invalid(
      `The journal ${path} is incomplete: its process was killed, and ${beside}, which has its last records, is missing. ` +
        "Restore that file; or look at what is stored, and run the batch again with --accept-journal to continue with what " +
        "the journal has."
    )
  }
  return { real, exists: true, leftOpen }
})

/** The offset of the number of `PRAGMA user_version` in a SQLite file. */
const userVersion = 60

const restore = "Restore it, or look at what is stored; if nothing is stored, delete it, and everything is sent."

const damaged = (path: string) =>
  new InvalidInput({ message: `The journal ${path} is damaged, or not a journal. ${restore}` })

const isThere = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.orElseSucceed(fs.exists(path), () => false))

const realPathOf = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.orElseSucceed(fs.realPath(path), () => path))

// Most records stay in the `-wal` file until the journal is closed cleanly, and that file is easily lost. The mark shows it.
const inUse = Effect.fnUntraced(function*(path: string) {
  const sql = yield* SqlClient.SqlClient
  const mark = (version: number) => sql.unsafe(`PRAGMA user_version = ${version}`).unprepared
  const begin = Effect.andThen(mark(1), sql.unsafe("PRAGMA wal_checkpoint(RESTART)").unprepared)
  // On a full disk, the space for the mark is that of the records, which move into the journal.
  const makeRoom = sql.unsafe("PRAGMA wal_checkpoint(TRUNCATE)").unprepared
  yield* Effect.acquireRelease(
    Effect.mapError(begin, (cause) => failure(path, new Journal.JournalError({ operation: "write", cause }))),
    () => Effect.ignore(Effect.catch(mark(0), () => Effect.andThen(makeRoom, mark(0))))
  )
})

// Creates the journal under another name and renames it, so that it always has its table, whenever the process is killed.
const create: (
  path: string
) => Effect.Effect<void, Unusable, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function*(path) {
    const fs = yield* FileSystem.FileSystem
    const unfinished = `${path}.new`
    const failed = Effect.catch((error: unknown) => cannotBeOpened(path, error, { isNew: true }))
    for (const suffix of ["", "-wal", "-shm"]) yield* failed(fs.remove(`${unfinished}${suffix}`, { force: true }))
    yield* Effect.scoped(Layer.build(open(unfinished, { isNew: true })))
    yield* failed(fs.rename(unfinished, path))
  }
)

/** What `adopt` changed. */
export interface Adopted {
  /** How many entries an earlier build had written. */
  readonly outdated: number
  /** How many uploads to another address, domain or environment now count for this one. */
  readonly moved: number
}

/**
 * Takes over the entries of an earlier build in a journal, and those of another address, domain or environment.
 *
 * - `names`: gives the name of a file in a manifest, by its path.
 */
export const adopt = Effect.fnUntraced(function*(path: string, scope: Place.Scope, { names, wait }: {
  readonly names: (file: string) => string
  readonly wait?: Duration.Duration | undefined
}) {
  const missing = () => Effect.fail(new InvalidInput({ message: `There is no journal ${path}. Check its name.` }))
  let outdated = 0
  const takeOver = ({ at, id }: SqlJournal.OutdatedEntry): SqlJournal.Adopted | undefined => {
    const adopted = Option.map(Place.ofOutdated(id, at), ({ action, file, place }): SqlJournal.Adopted => ({
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
    Effect.mapError((error) =>
      error.reason._tag === "UniqueViolation" || error.reason._tag === "ConstraintError"
        ? new InvalidInput({ message: `The journal ${path} ${bothAddresses}` })
        : failure(path, new Journal.JournalError({ operation: "write", cause: error }))
    ),
    Effect.provide(exclusive(path, { adopt: takeOver, incomplete: false, missing, wait }))
  )
})

const bothAddresses = "has uploads to one table for both addresses, so it cannot be taken over. Look at the " +
  "tables, then name a new journal with --journal FILE."

/** Whether a process uses this journal now. */
export const isInUse = (path: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const real = yield* realPathOf(path)
    // Taking the lock would create the file.
    if (!(yield* (yield* FileSystem.FileSystem).exists(lockOf(real)))) return false
    return yield* Effect.match(lock(real), { onFailure: isTaken, onSuccess: () => false })
  }).pipe(Effect.scoped, Effect.orElseSucceed(() => false))

const lockOf = (path: string): string => `${path}.lock`

const lock = (path: string) =>
  Effect.gen(function*() {
    const sql = yield* SqliteClient.make({ filename: lockOf(path), busyTimeout: 0 })
    const take = sql.unsafe("BEGIN IMMEDIATE").unprepared
    yield* Effect.acquireRelease(take, () => Effect.ignore(sql.unsafe("ROLLBACK").unprepared))
  }).pipe(Effect.provide(Reactivity.layer))

const lockWithin = Effect.fnUntraced(function*(path: string, wait: Duration.Duration) {
  const scope = yield* Effect.scope
  const until = (yield* Time.now) + Duration.toMillis(wait)
  let said = false
  while (true) {
    // An attempt that fails keeps nothing open.
    const attempt = yield* Scope.fork(scope)
    const exit = yield* Effect.exit(Scope.provide(lock(path), attempt))
    if (Exit.isSuccess(exit)) return
    yield* Scope.close(attempt, exit)
    const error = Cause.findErrorOption(exit.cause)
    const left = until - (yield* Time.now)
    if (left <= 0 || !Option.exists(error, isTaken)) return yield* exit
    if (!said) {
      yield* Output.print("stderr", [`Waiting for another tbm-studio, which uses the journal ${path}.`])
    }
    said = true
    yield* Effect.sleep(Math.min(left, 500))
  }
})

const isTaken = (error: SqlError.SqlError): boolean => error.reason._tag === "LockTimeoutError"

type Unusable = InvalidInput | InvalidOption | CannotWrite

const cannotBeOpened = Effect.fnUntraced(function*(
  path: string,
  error: unknown,
  { isNew = false }: { readonly isNew?: boolean | undefined } = {}
): Effect.fn.Return<never, Unusable, FileSystem.FileSystem | Path.Path> {
  if (isDamage(error)) return yield* damaged(path)
  if (isForeign(error)) return yield* foreign(path)
  if (error instanceof Journal.JournalError && error.cause instanceof SqlJournal.OutdatedJournal) {
    return yield* new InvalidInput({
      message:
        `The journal ${path} was written by an earlier build of tbm-studio, and nothing is sent until it is taken over: run ` +
        "tbm-studio adopt MANIFEST."
    })
  }
  // Only for a new journal: without an existing one, its uploads would be sent again.
  const another = isNew ? " Name another with --journal FILE; a batch can do without one (--no-journal)." : ""
  const ofDisk = isOfDisk(error) ? error : yield* readOnlyDisk(path)
  if (ofDisk !== undefined) {
    return yield* new CannotWrite({
      message: `The journal ${path} cannot be opened${why(ofDisk)}. Run this again when it can be written.${another}`
    })
  }
  const remedy = isNew ? another : " Check that you may read and write it, and files beside it."
  return yield* new InvalidOption({ message: `The journal ${path} cannot be opened${why(error)}.${remedy}` })
})

const why = (error: unknown): string => {
  const { why } = error instanceof Journal.JournalError
    ? error
    : new Journal.JournalError({ operation: "open", cause: error })
  return why === "" ? "" : `: ${why}`
}

// SQLite reports the same error for a read-only file system as for a missing folder.
const readOnlyDisk = (path: string) =>
  Effect.gen(function*() {
    const folder = (yield* Path.Path).dirname(path)
    const error = yield* Effect.flip((yield* FileSystem.FileSystem).access(folder, { writable: true }))
    return isOfDisk(error) ? error : undefined
  }).pipe(Effect.orElseSucceed(() => undefined))

const hasCause = (error: unknown, test: (error: object) => boolean, depth = 0): boolean =>
  Predicate.isObject(error) && depth < 8 &&
  (test(error) ||
    hasCause(Predicate.hasProperty(error, "reason") ? error.reason : undefined, test, depth + 1) ||
    hasCause(Predicate.hasProperty(error, "cause") ? error.cause : undefined, test, depth + 1))

// SQLite's error codes for a damaged file, and for a file that is not a database.
const isDamage = (error: unknown): boolean =>
  hasCause(error, (cause) => Predicate.hasProperty(cause, "errcode") && (cause.errcode === 11 || cause.errcode === 26))

// Someone or something else wrote a row that no build of this command writes, or changed the tables (SQLite's error code 1).
const isForeign = (error: unknown): boolean =>
  hasCause(
    error,
    (cause) =>
      ErrorName.tagOf(cause) === "MalformedEntry" || (Predicate.hasProperty(cause, "errcode") && cause.errcode === 1)
  )

const foreign = (path: string) =>
  new InvalidInput({
    message:
      `The journal ${path} has a record that this tbm-studio cannot read: another program or a later version has ` +
      `changed it. Nothing is sent as long as it is there. ${restore}`
  })

// SQLite's error codes for a disk that fails to read or write, and for a full one. The lowest byte is the kind.
const isOfDisk = (error: unknown): boolean =>
  hasCause(error, (cause) =>
    (Predicate.hasProperty(cause, "errcode") && typeof cause.errcode === "number" &&
      ((cause.errcode & 0xff) === 10 || (cause.errcode & 0xff) === 13)) ||
    (Predicate.hasProperty(cause, "code") && diskCodes.has(cause.code)))

const diskCodes: ReadonlySet<unknown> = new Set(["EDQUOT", "EFBIG", "EIO", "ENOSPC", "EROFS"])

/** The error of a command whose journal failed. */
export const failure = (path: string, error: Journal.JournalError): InvalidInput | JournalFailed =>
  isDamage(error)
    ? damaged(path)
    : isForeign(error)
    ? foreign(path)
    : new JournalFailed({ path, operation: error.operation, why: error.why })

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

/** Another process uses this journal. */
export class JournalInUse extends Data.TaggedError("JournalInUse")<{ readonly path: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return `The journal ${this.path} is in use by another tbm-studio: wait until it ends (--wait does), or stop it.`
  }
}

/** Fails if a journal has uploads, but none to a place of the manifest. */
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
      ? `The journal ${path} has uploads, but none to a table and period of this manifest. If that is right, run the batch ` +
        "again with --accept-journal; otherwise name its own with --journal FILE."
      : `The journal ${path} has uploads to ${Place.describe(place)}, but this batch goes to ${
        Place.describe(scope)
      }. ` +
        "If both are the same, take the journal over: tbm-studio adopt MANIFEST. If not, name another with --journal FILE."
  })
})

/** The next steps for the uploads that a person must decide about. */
export const advice = (items: ReadonlyArray<Asked>): ReadonlyArray<string> => {
  const asked = (reason: string) => items.filter(({ error }) => error?.reason === reason).length
  const unknown = items.filter(({ action, status }) => action === "append" && status === "unknown").length
  const changed = asked("ChangedSinceUpload") + asked("SurplusAdditions")
  return [
    ...(unknown === 0 ? [] : [
      "",
      `${
        unknown === 1 ? "One append" : `${unknown} appends`
      } may have arrived or not. Look at what is stored; then run the batch ` +
      `again with --unknown skip to treat ${unknown === 1 ? "it" : "them"} as done, or with --unknown retry to send ` +
      `${unknown === 1 ? "it" : "them"} again. tbm-studio resolve asks about each of them.`
    ]),
    ...(changed === 0 ? [] : [
      "",
      "The stored rows differ from the manifest. Run the batch again with --changed skip to leave them, or with --changed " +
      "send to send the new content: starting with its overwrite if the manifest has one, otherwise in addition to what is " +
      "stored."
    ])
  ]
}

/** The next steps for appends that an interrupted overwrite may have replaced. */
export const adviceOnOverwrites = (endangered: number): ReadonlyArray<string> =>
  endangered === 0 ? [] : [
    "",
    `An overwrite that may have arrived or not may have replaced ${
      units.plural(endangered, "append")
    }. A batch whose ` +
    "manifest still lists that overwrite sends it again, with what follows it; otherwise the batch asks about the appends."
  ]

interface Asked {
  readonly action: string
  readonly status: string
  readonly error?: { readonly reason: string } | undefined
}
