import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Period from "@effect-resilience/tbm-studio/Period"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import { TableDownloads } from "@effect-resilience/tbm-studio/TableDownloads"
import type * as TableUploads from "@effect-resilience/tbm-studio/TableUploads"
import type * as Uploader from "@effect-resilience/upload/Uploader"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Semaphore from "effect/Semaphore"
import { linesOf } from "./commandOutput.ts"
import * as LookAgain from "./lookAgain.ts"
import type * as Looks from "./looks.ts"
import * as Output from "./output.ts"
import type * as Report from "./report.ts"
import { InvalidOption } from "./runtime.ts"
import * as TableCopy from "./tableCopy.ts"
import * as units from "./units.ts"
import * as words from "./words.ts"

/** The flags of the commands that upload. */
export const flags = {
  look: Flag.Boolean("look").pipe(
    Flag.withDescription(
      "Download the table before each append; if the outcome of one is unknown, download it again and tell what has changed"
    ),
    Flag.withDefault(false)
  ),
  backup: Flag.String("backup").pipe(
    Flag.withMetavar("DIRECTORY"),
    Flag.withDescription(
      "Before each overwrite, keep here what it replaces; an overwrite whose backup cannot be made is not sent"
    ),
    Flag.optional
  )
}

/** What is kept of what an overwrite replaces, and what was seen of what an append adds to. */
export interface Precautions<Upload extends TableUploads.TableUpload = TableUploads.TableUpload> {
  /** The target, which keeps what an overwrite replaces before it sends. */
  readonly guard: <Receipt, E, R>(
    target: UploadTarget.UploadTarget<TableUploads.TableUpload, Receipt, E, R>
  ) => UploadTarget.UploadTarget<TableUploads.TableUpload, Receipt, E | BackupFailed, R>
  /** Looks at the table before an append is sent. */
  readonly onEvent: (event: Uploader.Event, upload: Upload) => Effect.Effect<void>
  /** What the report says of an upload besides its outcome. It looks again if that is unknown. */
  readonly report: (upload: Upload, ended: Report.Ended<Upload>) => Effect.Effect<Seen>
}

/** See `Report.ItemReport`. */
export type Seen = Pick<Report.ItemReport, "backup" | "look">

/** The rows that an overwrite would have replaced could not be kept. */
export class BackupFailed extends Data.TaggedError("BackupFailed")<{
  readonly reason: { readonly _tag: string; readonly message: string }
}> {
  override get message(): string {
    return `It was not sent, since what it replaces could not be kept: ${linesOf(this.reason).join(" ")}`
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.of(this.reason)
  }
}

/** Where a person finds what overwrites replaced. */
export const advice = (items: ReadonlyArray<Seen>, directory: Option.Option<string>): ReadonlyArray<string> => {
  const kept = items.filter(({ backup }) => backup !== undefined).length
  return kept === 0 || Option.isNone(directory)
    ? []
    : [`What ${units.plural(kept, "overwrite")} replaced is in ${directory.value}.`]
}

export const none: Precautions = {
  guard: (target) => target,
  onEvent: () => Effect.void,
  report: () => Effect.succeed({})
}

/** Fails if the folder for backups cannot be used, long before the first is made. */
export const check = ({ backup }: Pick<Options, "backup">) =>
  Option.isSome(backup) ? Effect.asVoid(ownDirectory(backup.value)) : Effect.void

export interface Options<in Upload = never> {
  readonly look: boolean
  readonly backup: Option.Option<string>
  readonly looks: Looks.Looks
  /** Identifies an upload among the looks. */
  readonly keyOf: (upload: Upload) => readonly [place: string, name: string]
  /** How many rows a file has, where the preflight has counted them. */
  readonly rowsOf: (upload: Upload) => number | undefined
}

export const make = <Upload extends TableUploads.TableUpload>(options: Options<Upload>) =>
  options.look || Option.isSome(options.backup)
    ? Effect.provide(active(options), TableDownloads.layer)
    : Effect.succeed(none)

const active = Effect.fnUntraced(function*<Upload extends TableUploads.TableUpload>(
  { backup, keyOf, look, looks, rowsOf }: Options<Upload>
) {
  const context = yield* Effect.context<TableDownloads | FileSystem.FileSystem | Path.Path>()
  const directory = Option.isSome(backup) ? yield* ownDirectory(backup.value) : undefined
  if (directory !== undefined) yield* TableCopy.removePartials(directory)
  // All uploads of a group run at once.
  const downloads = yield* Semaphore.make(mostDownloads)
  const kept = new WeakMap<TableUploads.TableUpload, string | undefined>()

  const lookFirst = Effect.fnUntraced(function*(upload: Upload) {
    const [place, name] = keyOf(upload)
    const held = yield* Effect.result(TableCopy.look(upload.address))
    if (held._tag === "Success") {
      const at = yield* Clock.currentTimeMillis
      return yield* looks.save(place, name, {
        ...held.success,
        period: upload.address.period,
        adds: rowsOf(upload),
        at
      })
    }
    yield* looks.forget(place, name)
    yield* Output.print("stderr", [
      `${TableAddress.format(upload.address)} could not be looked at before ${name} is appended: ${
        linesOf(held.failure).join(" ")
      }`
    ])
  })

  const precautions: Precautions<Upload> = {
    guard: (target) =>
      directory === undefined ? target : {
        ...target,
        send: (upload, payload) =>
          upload.action !== "overwrite" || kept.has(upload) ?
            target.send(upload, payload) :
            keep(directory, upload.address).pipe(
              downloads.withPermit,
              Effect.mapError((reason) => new BackupFailed({ reason })),
              Effect.provide(context),
              Effect.flatMap((path) => {
                // A retry may find its own rows there.
                kept.set(upload, path)
                return target.send(upload, payload)
              })
            )
      },
    onEvent: (event, upload) =>
      look && event._tag === "Started" && upload.action === "append"
        ? downloads.withPermit(Effect.provide(lookFirst(upload), context))
        : Effect.void,
    report: Effect.fnUntraced(
      function*(upload, ended) {
        const path = kept.get(upload)
        const backup = path === undefined ? {} : { backup: path }
        // What a signal abandons is looked at by the next run.
        const unknown = ended._tag === "Failed" && Recovery.of(ended.error)._tag === "Verify"
        if (!look || !unknown || upload.action !== "append") return backup
        const before = yield* looks.find(...keyOf(upload))
        if (before === undefined) return backup
        return { ...backup, look: yield* downloads.withPermit(LookAgain.compare(upload.address, before)) }
      },
      Effect.provide(context)
    )
  }
  return precautions
})

const mostDownloads = 4

const isFile = "it is a file. Name a folder"

/** A folder that only this user can enter. It is made if it is missing. */
const ownDirectory = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const failed = (why: string) => new InvalidOption({ message: `--backup ${path} cannot be used: ${why}.` })
  const { mode, type } = yield* fs.makeDirectory(path, { recursive: true, mode: 0o700 }).pipe(
    Effect.andThen(fs.stat(path)),
    Effect.mapError(({ reason }) => failed(reason._tag === "AlreadyExists" ? isFile : words.ofSystem(reason)))
  )
  if (type !== "Directory") return yield* failed(isFile)
  // Windows has no such modes.
  if (paths.sep === "/" && (mode & 0o077) !== 0) {
    return yield* failed("others may read it, and tables may be confidential. Run chmod 700 on it, or name another")
  }
  return path
})

/**
 * Keeps a table and period in a new file, unless the last one has the same content: an overwrite that fails may be tried each half a
 * minute. Returns the path, or `undefined` if there is no such table and period.
 */
const keep = Effect.fnUntraced(function*(directory: string, address: TableAddress.TableAddress) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const now = DateTime.formatIso(yield* DateTime.now).replace(/:|\.\d+/g, "")
  const place = `${[address.project, address.table, Period.format(address.period)].map(fileName).join(" ")} `
  const name = `${place}${fileName(now)}`
  const copies = yield* Effect.orElseSucceed(fs.readDirectory(directory), () => [])
  const latest = copies.filter((file) => file.startsWith(place) && file.endsWith(".tsv")).toSorted().at(-1)
  const last = latest === undefined ? undefined : paths.join(directory, latest)
  for (let copy = 1;; copy++) {
    // A later one of the same second sorts after the first.
    const path = paths.join(directory, `${name}${copy === 1 ? "" : `_${copy}`}.tsv`)
    const saved = yield* Effect.result(TableCopy.save(address, path, last))
    if (saved._tag === "Success") return saved.success.path
    if (TableCopy.isMissing(saved.failure)) return undefined
    if (!(saved.failure instanceof TableCopy.FileExists) || copy === mostCopies) {
      return yield* Effect.fail(saved.failure)
    }
  }
})

const mostCopies = 100

// Other characters may mean something to a file system or a shell.
const fileName = (text: string): string =>
  text.normalize("NFC").replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^\.+/, "_").slice(0, 50)
