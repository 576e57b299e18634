/**
 * The list of files that a batch uploads: a CSV or JSON file with the columns file, project, table, period and action.
 *
 * **Details**
 *
 * A file whose name ends in `.json`, `.jsonl` or `.ndjson` holds an array of objects, or one object on each line. Any other file
 * is CSV as spreadsheets save it: its columns in any order, separated by commas, semicolons, tabs or bars, with or without a
 * line `sep=;`, in UTF-8 or UTF-16. Empty rows and empty columns at the end do not count. The default `action` is `overwrite`. A
 * relative `file` is relative to the folder of the manifest. All problems are reported at once, row by row, before anything is
 * sent.
 *
 * **Example** (A manifest)
 *
 * ```csv
 * file,project,table,period,action
 * gl-2024-01.csv,Cost Transparency,GL Data,January:2024,overwrite
 * ```
 *
 * **Example** (Reading it)
 *
 * ```ts import.meta.vitest
 * import { Manifest } from "@effect-resilience/tbm-studio-cli"
 * import { NodeServices } from "@effect/platform-node"
 * import { Effect, FileSystem } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const files = yield* FileSystem.FileSystem
 *   const folder = yield* files.makeTempDirectoryScoped()
 *   yield* files.writeFileString(
 *     `${folder}/batch.csv`,
 *     "file,project,table,period,action\ngl-2024-01.csv,Cost Transparency,GL Data,January:2024,overwrite\n"
 *   )
 *   return (yield* Manifest.read(`${folder}/batch.csv`)).map(({ action, name, row }) => [row, name, action])
 * })
 * await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(NodeServices.layer)))
 * // => [[2, "gl-2024-01.csv", "overwrite"]]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Hint from "@effect-resilience/kernel/Hint"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Records from "./internal/manifestRecords.ts"
import * as ManifestText from "./internal/manifestText.ts"

/**
 * One upload of a manifest.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  /** Counts as a spreadsheet does: the header of a CSV is row 1. */
  readonly row: number
  /** The same for every spelling of the file's path. */
  readonly name: string
  /** The file's absolute path. */
  readonly file: string
  /** The table and the period. */
  readonly address: TableAddress.TableAddress
  /** What the upload does with the existing rows. */
  readonly action: TableAddress.Action
}

/**
 * The manifest cannot be read, or is invalid. Each problem is one line.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidManifest extends ErrorMessage.TaggedError("InvalidManifest")<{
  /** The file. */
  readonly path: string
  /** One line for each, with its row. */
  readonly problems: ReadonlyArray<string>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  /** The message, line by line. */
  get lines(): ReadonlyArray<string> {
    const shown = this.problems.slice(0, maxProblems)
    const more = this.problems.length - shown.length
    return [...shown.map((problem) => `${this.path}: ${problem}`), ...more > 0 ? [`… and ${more} more`] : []]
  }
  override get message(): string {
    return this.lines.join("\n")
  }
}

/**
 * The columns of a manifest.
 *
 * @category constants
 * @since 0.1.0
 */
export const columns: ReadonlyArray<string> = Records.columns

/**
 * How strictly a manifest is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The names of other columns than these, such as a comment, which are not read; default none. */
  readonly ignoreColumns?: ReadonlyArray<string> | undefined
  /** Whether two rows may append one file to one table and period, so that its rows are stored twice; default false. */
  readonly allowDuplicateRows?: boolean | undefined
}

/**
 * Reads and checks a manifest.
 *
 * @category parsing
 * @stability rests on effect/FileSystem, effect/Path
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(path: string, options: Options = {}) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const invalid = (problem: string) => new InvalidManifest({ path, problems: [problem] })

  const readable = <A>(self: Effect.Effect<A, PlatformError.PlatformError>) =>
    Effect.mapError(self, (error) => invalid(unreadable(error.reason._tag)))
  const { type } = yield* readable(fs.stat(path))
  if (type === "Directory") return yield* invalid("is a folder, not a file.")
  const decoded = ManifestText.decode(yield* readable(fs.readFile(path)))
  if (Result.isFailure(decoded)) return yield* invalid(decoded.failure)
  const { text } = decoded.success
  if (text.trim() === "") return yield* invalid("is empty.")

  const folder = paths.resolve(paths.dirname(path))
  const folders = [folder, yield* Effect.orElseSucceed(fs.realPath(folder), () => folder)]
  const rows: Array<Row> = []
  const problems: Array<string> = []
  const ignored = new Set((options.ignoreColumns ?? []).map((name) => name.trim().toLowerCase()))
  for (const column of columns) ignored.delete(column)
  const isIgnored = (name: string) => ignored.has(name.trim().toLowerCase())
  const pages = /\.(json|jsonl|ndjson)$/i.test(path)
    ? Records.ofJson(text, isIgnored)
    : Records.ofCsv(decoded.success, isIgnored)
  yield* Stream.runForEach(Stream.fromIterable(pages, { chunkSize: 1 }), (page) => {
    for (const record of page) {
      const checked = Result.flatMap(record, checkRecord)
      if (Result.isFailure(checked)) problems.push(checked.failure)
      else {
        const { action, address, file, row } = checked.success
        rows.push({ row, name: nameOf(paths, folders, file), file: paths.resolve(folder, file), address, action })
      }
    }
    // Nothing here is asynchronous, but signals need a pause.
    return Effect.yieldNow
  })
  if (options.allowDuplicateRows !== true) problems.push(...duplicates(rows))
  if (problems.length > 0) return yield* new InvalidManifest({ path, problems })
  return rows.length > 0 ? rows : yield* invalid("lists no uploads: add a row for each file.")
})

// An overwrite between two appends wipes out the first.
const duplicates = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const appended = new Map<string, Map<string, number>>()
  return rows.flatMap(({ action, address, name, row }) => {
    const place = TableAddress.key(address)
    if (action === "overwrite") {
      appended.delete(place)
      return []
    }
    const files = appended.get(place) ?? new Map<string, number>()
    appended.set(place, files)
    const first = files.get(name)
    if (first === undefined) {
      files.set(name, row)
      return []
    }
    return [
      `row ${row}: appends ${name} to ${
        TableAddress.format(address)
      }, as row ${first} does, so its rows would be stored twice: ` +
      "remove one, or use --allow-duplicate-rows."
    ]
  })
}

const maxProblems = 20

// Relative to the manifest's folder if the file is inside it, however its path is spelled.
const nameOf = (paths: Path.Path, folders: ReadonlyArray<string>, file: string): string => {
  const path = paths.normalize(file)
  const inside = paths.isAbsolute(path) || path.startsWith("..")
    ? folders.map((folder) => paths.relative(folder, paths.resolve(folder, path))).find((name) => isBelow(paths, name))
    : undefined
  // Some systems compose accents, some do not. On Windows, both slashes separate.
  const name = (inside ?? path).normalize("NFC")
  return paths.sep === "\\" ? name.replaceAll("\\", "/") : name
}

const isBelow = (paths: Path.Path, name: string): boolean => !name.startsWith("..") && !paths.isAbsolute(name)

const checkRecord = ({ cells, row }: Records.Record): Result.Result<Omit<Row, "name">, string> =>
  Result.mapBoth(Result.flatMap(cells, check), {
    onSuccess: (checked) => ({ row, ...checked }),
    onFailure: (problem) => `row ${row}: ${problem}`
  })

const check = (cells: Records.Cells): Result.Result<Omit<Row, "row" | "name">, string> => {
  for (const name of Records.columns) {
    const cell = cells[name] ?? ""
    if (typeof cell !== "string") return Result.fail(`${name} is ${JSON.stringify(cell)}, not a text.`)
  }
  const file = textOf(cells.file)
  const project = textOf(cells.project)
  const table = textOf(cells.table)
  const period = textOf(cells.period)
  if (file === undefined || project === undefined || table === undefined || period === undefined) {
    const missing = Records.required.filter((name) => textOf(cells[name]) === undefined)
    return Result.fail(`${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing.`)
  }
  const wanted = textOf(cells.action) ?? "overwrite"
  const lowered = wanted.toLowerCase()
  const action = TableAddress.actions.find((known) => known === lowered)
  if (action === undefined) {
    const said = `the action ${JSON.stringify(wanted)} is neither overwrite nor append`
    return Result.fail(`${said}${Hint.hint(lowered, TableAddress.actions) || "."}`)
  }
  return Result.mapBoth(TableAddress.make({ project, table, period }), {
    onSuccess: (address) => ({ file, address, action }),
    onFailure: (error) => error.message
  })
}

const textOf = (cell: unknown): string | undefined => {
  const text = typeof cell === "string" ? cell.trim() : ""
  return text === "" ? undefined : text
}

const unreadable = (reason: string): string => {
  switch (reason) {
    case "NotFound":
      return "there is no such file."
    case "PermissionDenied":
      return "may not be read: check its permissions."
    default:
      return "cannot be read."
  }
}
