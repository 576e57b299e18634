/**
 * The list of files that a batch uploads: a CSV or JSON file with the columns file, project, table, period and action.
 *
 * **Details**
 *
 * A file whose name ends in `.json` holds an array of objects. Any other file is CSV with a header row and its columns in any
 * order. The default `action` is `overwrite`. A relative `file` is relative to the folder of the manifest. All problems are
 * reported at once, row by row, before anything is sent.
 *
 * **Example** (A manifest)
 *
 * ```csv
 * file,project,table,period,action
 * gl-2024-01.csv,Cost Transparency,GL Data,January:2024,overwrite
 * ```
 *
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as CsvReader from "@effect-resilience/upload/CsvReader"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"

/**
 * One upload of a manifest.
 *
 * - `row`: counts as a spreadsheet does: the header of a CSV is row 1.
 * - `name`: the same for every spelling of the file's path.
 * - `file`: the file's absolute path.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly row: number
  readonly name: string
  readonly file: string
  readonly address: TableAddress.TableAddress
  readonly action: TableAddress.Action
}

/**
 * The manifest cannot be read, or is invalid. Each problem is one line.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidManifest extends Data.TaggedError("InvalidManifest")<{
  readonly path: string
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
 * Reads and checks a manifest.
 *
 * @category parsing
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const invalid = (problem: string) => new InvalidManifest({ path, problems: [problem] })

  const readable = <A>(self: Effect.Effect<A, PlatformError.PlatformError>) =>
    Effect.mapError(self, (error) => invalid(unreadable(error.reason._tag)))
  const { type } = yield* readable(fs.stat(path))
  if (type === "Directory") return yield* invalid("is a folder, not a file.")
  const bytes = yield* readable(fs.readFile(path))
  const text = yield* Effect.mapError(decode(bytes), invalid)
  if (text.trim() === "") return yield* invalid("is empty.")

  const folder = paths.resolve(paths.dirname(path))
  const folders = [folder, yield* Effect.orElseSucceed(fs.realPath(folder), () => folder)]
  const rows: Array<Row> = []
  const problems: Array<string> = []
  const pages = paths.extname(path).toLowerCase() === ".json" ? pagesOfJson(text) : pagesOfCsv(text, bytes)
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
  if (problems.length > 0) return yield* new InvalidManifest({ path, problems })
  return rows.length > 0 ? rows : yield* invalid("lists no uploads: add a row for each file.")
})

const maxProblems = 20

const required = ["file", "project", "table", "period"] as const
const columns = [...required, "action"] as const

type Column = typeof columns[number]
type Cells = { readonly [column in Column]?: unknown }

/** A row, or why it is invalid. */
interface Record {
  readonly row: number
  readonly cells: Result.Result<Cells, string>
}

/** Some rows, and problems where no row can be read. */
type Page = ReadonlyArray<Result.Result<Record, string>>

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

const checkRecord = ({ cells, row }: Record): Result.Result<Omit<Row, "name">, string> =>
  Result.mapBoth(Result.flatMap(cells, check), {
    onSuccess: (checked) => ({ row, ...checked }),
    onFailure: (problem) => `row ${row}: ${problem}`
  })

const check = (cells: Cells): Result.Result<Omit<Row, "row" | "name">, string> => {
  for (const name of columns) {
    const cell = cells[name] ?? ""
    if (typeof cell !== "string") return Result.fail(`${name} is ${JSON.stringify(cell)}, not a text.`)
  }
  const file = textOf(cells.file)
  const project = textOf(cells.project)
  const table = textOf(cells.table)
  const period = textOf(cells.period)
  if (file === undefined || project === undefined || table === undefined || period === undefined) {
    const missing = required.filter((name) => textOf(cells[name]) === undefined)
    return Result.fail(`${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing.`)
  }
  const wanted = textOf(cells.action) ?? "overwrite"
  const lowered = wanted.toLowerCase()
  const action = TableAddress.actions.find((known) => known === lowered)
  if (action === undefined) {
    return Result.fail(`the action ${JSON.stringify(wanted)} is neither overwrite nor append.`)
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

// In another encoding, a name with an umlaut would name another table.
const decode = (bytes: Uint8Array): Effect.Effect<string, string> =>
  Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    catch: () => {
      const [good = ""] = new TextDecoder().decode(bytes).split("\ufffd", 1)
      return `line ${good.split("\n").length} is not UTF-8: save the manifest with that encoding.`
    }
  })

/** Piece by piece, so that memory is freed before the next piece is read. */
const pagesOfCsv = function*(text: string, bytes: Uint8Array): Generator<Page> {
  let page: Array<Result.Result<Record, string>> = []
  let header: Result.Result<Header, string> | undefined
  const reader = CsvReader.make({
    delimiter: ",",
    cells: true,
    strictQuotes: true,
    onProblem: ({ description, line }) => page.push(Result.fail(`line ${line} is not valid CSV: ${description}.`)),
    onRecord: ({ cells = [], row, wellFormed }) => {
      if (header === undefined) {
        header = readHeader(cells)
        if (Result.isFailure(header)) page.push(Result.succeed({ row, cells: Result.fail(header.failure) }))
      } else if (wellFormed && Result.isSuccess(header) && cells.some((cell) => cell.trim() !== "")) {
        page.push(Result.succeed({ row, cells: cellsOf(header.success, cells) }))
      }
    }
  })
  // Some programs still end lines with a carriage return, as old Macs did.
  const content = text.includes("\n") ? bytes : new TextEncoder().encode(text.replaceAll("\r", "\n"))
  for (let from = 0; from < content.length; from += pieceBytes) {
    reader.read(content.subarray(from, from + pieceBytes))
    yield page
    page = []
  }
  reader.end()
  yield page
}

const pieceBytes = 65_536

/** The number of columns, and the index of each known column. */
type Header = { readonly [column in Column]?: number } & { readonly length: number }

const readHeader = (cells: ReadonlyArray<string>): Result.Result<Header, string> => {
  const names = cells.map((name) => name.trim().toLowerCase())
  const problems = [
    ["missing", required.filter((name) => !names.includes(name))],
    ["unknown", names.filter((name) => !isColumn(name))],
    ["twice", names.filter((name, i) => names.indexOf(name) < i)]
  ] as const
  if (problems.every(([, names]) => names.length === 0)) {
    return Result.succeed({ ...Object.fromEntries(names.map((name, i) => [name, i])), length: names.length })
  }
  const said = problems.flatMap(([what, names]) => names.length === 0 ? [] : [`; ${what}: ${names.join(", ")}`])
  return Result.fail(`the header is ${names.join(",")} where ${columns.join(",")} is expected${said.join("")}.`)
}

const isColumn = (name: string): name is Column => columns.some((column) => column === name)

const cellsOf = (header: Header, line: ReadonlyArray<string>): Result.Result<Cells, string> => {
  if (line.length > header.length && line.slice(header.length).some((cell) => cell.trim() !== "")) {
    return Result.fail(
      `has ${line.length} cells where the header has ${header.length}: a name with a comma stands in quotes.`
    )
  }
  const at = (place: number | undefined) => place === undefined ? undefined : line[place]
  const { action, file, period, project, table } = header
  return Result.succeed({
    file: at(file),
    project: at(project),
    table: at(table),
    period: at(period),
    action: at(action)
  })
}

const pagesOfJson = function*(text: string): Generator<Page> {
  const rows = Result.try((): unknown => JSON.parse(text))
  if (Result.isFailure(rows) || !Array.isArray(rows.success)) return yield [Result.fail(notJson)]
  for (let from = 0; from < rows.success.length; from += pageRows) {
    yield rows.success.slice(from, from + pageRows).map((cells: unknown, i) =>
      Result.succeed({ row: from + i + 1, cells: cellsOfJson(cells) })
    )
  }
}

const pageRows = 4_096

const notJson = `is not a JSON array of objects with ${columns.join(", ")}.`

const cellsOfJson = (cells: unknown): Result.Result<Cells, string> => {
  if (!Predicate.isObject(cells)) return Result.fail(`is not an object with ${columns.join(", ")}.`)
  const unknown = Object.keys(cells).filter((name) => !isColumn(name))
  return unknown.length === 0
    ? Result.succeed(cells)
    : Result.fail(`has the unknown ${unknown.join(", ")}; known are ${columns.join(", ")}.`)
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
