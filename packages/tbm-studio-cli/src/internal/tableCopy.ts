import * as ApiError from "@effect-resilience/errors/ApiError"
import type * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as TableDownloads from "@effect-resilience/tbm-studio/TableDownloads"
import * as CsvReader from "@effect-resilience/upload/CsvReader"
import * as Hashing from "@effect-resilience/upload/Hashing"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { CannotWrite, InvalidOption } from "./runtime.ts"
import * as words from "./words.ts"

/** What a table and period contained when it was read. `rows` is without the header; `md5` is that of the TSV. */
export interface Held {
  readonly rows: number
  readonly bytes: number
  readonly md5: string
}

/** The content of a table and period that does not exist. */
const nothing: Held = { rows: 0, bytes: 0, md5: "d41d8cd98f00b204e9800998ecf8427e" }

/** Reads a table and period, and keeps only what it contains in numbers. */
export const look = (address: TableAddress.TableAddress) =>
  Effect.flatMap(TableDownloads.TableDownloads, ({ read }) => read(address, (bytes) => measure(bytes))).pipe(
    Effect.catchIf(isMissing, () => Effect.succeed(nothing))
  )

/** Whether a download failed because there is no such table or period. */
export const isMissing = (error: unknown): boolean =>
  error instanceof ApiError.ApiError && error.reason._tag === "NotFound"

/**
 * Downloads a table and period into a new file that only its owner can read. It is written beside that file and gets its name
 * when it is whole. It never replaces a file. If `last` is a file with the same content, there is no new one.
 */
export const save = Effect.fnUntraced(function*(address: TableAddress.TableAddress, path: string, last?: string) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const { read } = yield* TableDownloads.TableDownloads
  if (yield* isThere(path)) return yield* new FileExists({ path })
  yield* removePartials(paths.dirname(path), paths.basename(path))
  const partial = `${path}.${(yield* Random.nextInt).toString(36).replace("-", "")}.part`
  const remove = Effect.ignore(fs.remove(partial, { force: true }))
  const write = Effect.mapError((error: PlatformError.PlatformError) => cannotWrite(path, error))
  return yield* Effect.ensuring(
    Effect.gen(function*() {
      const held = yield* read(address, (bytes) =>
        Effect.scoped(Effect.gen(function*() {
          yield* remove
          const file = yield* write(fs.open(partial, { flag: "wx", mode: 0o600 }))
          const held = yield* measure(bytes, (chunk) => write(file.writeAll(chunk)))
          yield* write(file.sync)
          return held
        })))
      if (last !== undefined && (yield* isCopy(last, held))) return { ...held, path: last }
      yield* fs.link(partial, path).pipe(
        Effect.catchIf(
          ({ reason }) => reason._tag !== "AlreadyExists",
          // Some file systems have no links.
          (error) => Effect.flatMap(isThere(path), (there) => there ? Effect.fail(error) : fs.rename(partial, path))
        ),
        Effect.catch((error) =>
          Effect.flatMap(
            isThere(path),
            (there) => Effect.fail(there ? new FileExists({ path }) : cannotWrite(path, error))
          )
        )
      )
      return { ...held, path }
    }),
    remove
  )
})

/** Whether a file has this content. One that cannot be read has another. */
const isCopy = (path: string, { bytes, md5 }: Held) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.gen(function*() {
      return (yield* fs.stat(path)).size === BigInt(bytes) && (yield* measure(fs.stream(path))).md5 === md5
    })).pipe(Effect.orElseSucceed(() => false))

/**
 * Removes what killed processes had begun to write: partial files of a file, or of all files of a folder. A download writes more often
 * than once an hour.
 */
export const removePartials = Effect.fnUntraced(function*(directory: string, file?: string) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const now = yield* Clock.currentTimeMillis
  for (const name of yield* Effect.orElseSucceed(fs.readDirectory(directory), () => [])) {
    const [, of] = /^(.+)\.[0-9a-z]+\.part$/.exec(name) ?? []
    if (of === undefined || (file !== undefined && of !== file)) continue
    const path = paths.join(directory, name)
    const { mtime, type } = yield* Effect.orElseSucceed(fs.stat(path), () => gone)
    const isOld = Option.exists(mtime, (at) => now - at.getTime() > staleMillis)
    if (type === "File" && isOld) yield* Effect.ignore(fs.remove(path))
  }
})

const gone = { type: "Unknown", mtime: Option.none<Date>() } as const

const staleMillis = 3_600_000

/** There is a file where a download is to be written. */
export class FileExists extends InvalidOption {
  readonly path: string
  constructor({ path }: { readonly path: string }) {
    super({
      message:
        `${path} exists already, and a download never replaces a file. Name another, or move that one away first.`
    })
    this.path = path
  }
}

// A link that leads nowhere is there, too.
const isThere = (path: string) =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (fs) =>
      Effect.orElseSucceed(
        Effect.catch(Effect.as(fs.readLink(path), true), () => fs.exists(path)),
        () => false
      )
  )

const cannotWrite = (path: string, { reason }: PlatformError.PlatformError): InvalidOption | CannotWrite =>
  reason._tag === "NotFound" || reason._tag === "PermissionDenied" || reason._tag === "BadResource"
    ? new InvalidOption({
      message: `${path} cannot be written: ${
        reason._tag === "PermissionDenied" ? "you may not write there" : "there is no such folder"
      }.`
    })
    : new CannotWrite({ message: `${path} cannot be written: ${words.ofSystem(reason)}.` })

const measure = Effect.fnUntraced(
  function*<E = never, F = never>(
    bytes: Stream.Stream<Uint8Array, F>,
    write: (chunk: Uint8Array) => Effect.Effect<void, E> = () => Effect.void
  ) {
    const hashing = yield* Hashing.Current
    const hasher = yield* Effect.orDie(hashing.start(["md5"], { size: undefined }))
    let size = 0
    let rows = -1
    const reader = CsvReader.make({
      delimiter: "\t",
      onRecord: () => {
        rows++
      },
      onProblem: () => undefined
    })
    yield* Stream.runForEach(bytes, (chunk) => {
      size += chunk.length
      reader.read(chunk)
      return Effect.andThen(Effect.orDie(hasher.update(chunk)), write(chunk))
    })
    reader.end()
    const { md5 = "" } = yield* Effect.orDie(hasher.digest)
    const held: Held = { rows: Math.max(0, rows), bytes: size, md5 }
    return held
  },
  Effect.scoped
)
