/**
 * The list of files that a batch uploads: a CSV or JSON file with the columns file, project, table, period and action.
 *
 * **Details**
 *
 * A file whose name ends in `.json` holds an array of objects; any other is CSV with a header row, in any order of
 * columns. `action` is `overwrite` where it is left out. A relative `file` counts from the folder of the manifest.
 * Everything that is wrong is reported at once, row by row, before anything is sent.
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
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Csv from "effect/encoding/Csv"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TableAddress from "./TableAddress.ts"

/**
 * One upload of a manifest. `row` counts as a spreadsheet does: the header of a CSV is row 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly row: number
  readonly file: string
  readonly address: TableAddress.TableAddress
  readonly action: TableAddress.Action
}

/**
 * The manifest cannot be read, or says something that makes no sense. Each problem is one line.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidManifest extends Data.TaggedError("InvalidManifest")<{
  readonly path: string
  readonly problems: ReadonlyArray<string>
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    const shown = this.problems.slice(0, maxProblems)
    const more = this.problems.length - shown.length
    return shown.map((problem) => `${this.path}: ${problem}`).join("\n") + (more > 0 ? `\n… and ${more} more` : "")
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
  const invalid = (problem: string) => Effect.fail(new InvalidManifest({ path, problems: [problem] }))

  const readable = <A>(self: Effect.Effect<A, PlatformError.PlatformError>) =>
    Effect.catch(self, (error) => invalid(unreadable(error.reason._tag)))
  const { type } = yield* readable(fs.stat(path))
  if (type === "Directory") return yield* invalid("is a folder, not a file.")
  const text = yield* readable(fs.readFileString(path))
  const records = yield* (paths.extname(path).toLowerCase() === ".json" ? parseJson(text) : parseCsv(text)).pipe(
    Effect.catch((problem) => invalid(problem))
  )
  if (records.length === 0) return yield* invalid("lists no uploads: add a row for each file.")

  const folder = paths.resolve(paths.dirname(path))
  const rows: Array<Row> = []
  const problems: Array<string> = []
  for (const record of records) {
    const checked = check(record, (file) => paths.resolve(folder, file))
    if (Result.isSuccess(checked)) rows.push(checked.success)
    else problems.push(`row ${record.row}: ${checked.failure}`)
  }
  return problems.length > 0 ? yield* new InvalidManifest({ path, problems }) : rows
})

const maxProblems = 20

interface Record {
  readonly row: number
  readonly cell: (column: string) => unknown
}

const required = ["file", "project", "table", "period"] as const
const columns: ReadonlyArray<string> = [...required, "action"]

const check = (record: Record, resolve: (file: string) => string): Result.Result<Row, string> => {
  const cell = (name: string): string | undefined => {
    const value = record.cell(name)
    const text = typeof value === "string" ? value.trim() : ""
    return text === "" ? undefined : text
  }
  const [file, project, table, period] = [cell("file"), cell("project"), cell("table"), cell("period")]
  if (file === undefined || project === undefined || table === undefined || period === undefined) {
    const missing = required.filter((name) => cell(name) === undefined)
    return Result.fail(`${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing.`)
  }
  const action = TableAddress.actions.find((known) => known === (cell("action") ?? "overwrite").toLowerCase())
  if (action === undefined) {
    return Result.fail(`the action ${JSON.stringify(cell("action"))} is neither overwrite nor append.`)
  }
  return Result.mapBoth(TableAddress.make({ project, table, period }), {
    onSuccess: (address) => ({ row: record.row, file: resolve(file), address, action }),
    onFailure: (error) => error.message
  })
}

const parseCsv = (text: string): Effect.Effect<ReadonlyArray<Record>, string> =>
  Stream.make(text).pipe(
    Stream.pipeThroughChannel(Csv.decodeString()),
    Stream.runCollect,
    Effect.mapError((error) => `line ${error.line} is not valid CSV: ${error.message}`),
    Effect.flatMap(([header, ...rest]) => {
      if (header === undefined || header.every((cell) => cell.trim() === "")) return Effect.fail("is empty.")
      const names = header.map((name) => name.trim().toLowerCase())
      const missing = required.filter((name) => !names.includes(name))
      const unknown = names.filter((name) => !columns.includes(name))
      if (missing.length > 0 || unknown.length > 0) {
        return Effect.fail(
          `the header is ${names.join(",")} where ${columns.join(",")} is expected${
            missing.length > 0 ? `; missing: ${missing.join(", ")}` : ""
          }${unknown.length > 0 ? `; unknown: ${unknown.join(", ")}` : ""}.`
        )
      }
      return Effect.succeed(
        rest.flatMap((cells, index) =>
          cells.every((cell) => cell.trim() === "")
            ? []
            : [{ row: index + 2, cell: (name) => cells[names.indexOf(name)] }]
        )
      )
    })
  )

const parseJson = (text: string): Effect.Effect<ReadonlyArray<Record>, string> =>
  Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Schema.Record(Schema.String, Schema.Unknown))))(
    text.replace(/^\ufeff/, "")
  ).pipe(
    Effect.mapError(() => `is not a JSON array of objects with ${columns.join(", ")}.`),
    Effect.flatMap((rows) => {
      const unknownIn = (cells: object) => Object.keys(cells).filter((name) => !columns.includes(name))
      const odd = rows.findIndex((cells) => unknownIn(cells).length > 0)
      if (odd < 0) return Effect.succeed(rows.map((cells, index) => ({ row: index + 1, cell: (name) => cells[name] })))
      const unknown = unknownIn(rows[odd] ?? {})
      return Effect.fail(`row ${odd + 1} has the unknown ${unknown.join(", ")}; known are ${columns.join(", ")}.`)
    })
  )

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
