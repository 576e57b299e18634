/**
 * Reads a CSV or TSV before anything is sent, and reports what is wrong with it by file and line.
 *
 * **Why**
 *
 * A server that finds line 80,000 malformed says so after the upload, in its own words, or loads half of it. Reading the
 * file first costs a fraction of sending it.
 *
 * **Details**
 *
 * Fields may be quoted, and then contain delimiters, line breaks and doubled quotes (RFC 4180). Lines end with LF or CRLF.
 * Blank lines are ignored. Text must be UTF-8, with or without a byte order mark. Each column needs a name of its own. Workbooks,
 * web pages, UTF-16 and Windows-1252 are named. A source whose name ends in `.gz` is
 * decompressed, with all members that it has (`UploadSource.gunzip`). Memory stays constant.
 *
 * **Example** (A row with a field too many)
 *
 * ```ts import.meta.vitest
 * import { Preflight, UploadSource } from "@effect-resilience/upload"
 * import { Effect } from "effect"
 *
 * const ledger = UploadSource.bytes("gl.csv", "Account,Amount\n4711,10.00\n4712,1,000.00\n")
 * const error = await Effect.runPromise(Effect.flip(Preflight.csv(ledger, { header: ["Account", "Amount"] })))
 * error.message // => "gl.csv, line 3: has 3 fields where the header has 2"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as BufferReuse from "@effect-resilience/http/BufferReuse"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Hint from "@effect-resilience/kernel/Hint"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Stream from "effect/Stream"
import * as CsvReader from "./CsvReader.ts"
import * as FileFormat from "./FileFormat.ts"
import * as NumberText from "./internal/numberText.ts"
import * as WholeBody from "./internal/wholeBody.ts"
import type * as UploadError from "./UploadError.ts"
import * as UploadSource from "./UploadSource.ts"

/**
 * What a file must look like.
 *
 * @category models
 * @since 0.1.0
 */
export interface CsvOptions {
  /** Default the one that the header contains most often. If it contains none, a tab for `.tsv`, otherwise a comma. */
  readonly delimiter?: CsvReader.Delimiter | undefined
  /** The names of the columns, in order; default any. */
  readonly header?: ReadonlyArray<string> | undefined
  /** The names of columns that must be there, in any order; default none. */
  readonly required?: ReadonlyArray<string> | undefined
  /**
   * The names of columns that must be there, and whose cells must be numbers with a decimal point, or empty; default none.
   * Reading takes several times as long with any.
   */
  readonly numbers?: ReadonlyArray<string> | undefined
  /** How many rows there must be, without the header; default 0. */
  readonly minRows?: number | undefined
  /** After how many problems reading stops; default 10. */
  readonly maxProblems?: number | undefined
}

/**
 * What was read.
 *
 * @category models
 * @since 0.1.0
 */
export interface CsvSummary {
  /** The names of the columns. */
  readonly header: ReadonlyArray<string>
  /** Without the header. */
  readonly rows: number
  /** How many were read. */
  readonly bytes: number
}

/**
 * A file is not what it must be.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidFile extends ErrorMessage.TaggedError("InvalidFile")<{
  /** The name of the file. */
  readonly source: string
  /** What was found, at most `maxProblems` of them. */
  readonly problems: ReadonlyArray<CsvReader.Problem>
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  /** The message, line by line. */
  get lines(): ReadonlyArray<string> {
    return this.problems.map(({ description, line }) => `${this.source}, line ${line}: ${description}`)
  }
  override get message(): string {
    return this.lines.join("\n")
  }
}

/**
 * Checks that a source is well-formed CSV with a header, and that each row has as many fields as the header.
 *
 * @category checking
 * @since 0.1.0
 */
export const csv = Effect.fnUntraced(function*<R>(
  source: UploadSource.UploadSource<R>,
  options: CsvOptions = {}
): Effect.fn.Return<CsvSummary, InvalidFile | UploadError.UploadError, R> {
  const { name } = source
  const { delimiter, header: expected, maxProblems = 10, minRows = 0, numbers = [], required = [] } = options
  const compressed = /\.gz$/i.test(name)
  const opened = yield* (compressed ? UploadSource.gunzip(source) : source).open
  const problems: Array<CsvReader.Problem> = []
  const onProblem = (problem: CsvReader.Problem) => {
    if (problems.length < maxProblems) problems.push(problem)
  }
  let header: ReadonlyArray<string> | undefined
  let rows = 0
  let numberColumns: ReadonlyArray<readonly [name: string, index: number]> = []
  const reader = CsvReader.make({
    delimiter,
    cells: numbers.length > 0,
    usual: /\.tsv(\.gz)?$/i.test(name) ? "\t" : ",",
    onProblem,
    onRecord: ({ cells, fields, line }) => {
      if (header === undefined) {
        header = cells ?? []
        const names = header.map((name) => name.trim())
        numberColumns = numbers.flatMap((name) => names.includes(name) ? [[name, names.indexOf(name)] as const] : [])
        const found = [
          ...misnamed(header),
          ...differences(header, expected),
          ...missing(names, new Set([...required, ...numbers]))
        ]
        for (const description of found) onProblem({ line, description })
        return
      }
      rows++
      for (const [name, index] of numberColumns) {
        const cell = cells?.[index] ?? ""
        const problem = NumberText.problemOf(cell)
        if (problem !== undefined) onProblem({ line, description: `${name} is ${JSON.stringify(cell)}, ${problem}` })
      }
      if (fields === header.length) return
      const has = fields === 1 ? "1 field" : `${fields} fields`
      onProblem({ line, description: `has ${has} where the header has ${header.length}` })
    }
  })
  let head = new Uint8Array(0)
  let format: FileFormat.FileFormat | undefined
  const read = (chunk: Uint8Array): boolean => {
    if (head.length < FileFormat.headBytes) {
      head = new Uint8Array([...head, ...chunk.subarray(0, FileFormat.headBytes - head.length)])
      format = FileFormat.of(head)
    }
    return format === undefined && reader.read(chunk)
  }
  const content = opened.bytes()
  const whole = WholeBody.of(content)
  if (whole !== undefined) read(yield* whole(0, 0))
  else {
    yield* content.pipe(
      Stream.runForEachWhile((chunk) => Effect.sync(() => read(chunk) && problems.length < maxProblems)),
      // No chunk is used after the next is read, unless they are decompressed in between.
      compressed ? identity : Effect.provideService(BufferReuse.Current, 0)
    )
  }
  if (format !== undefined) {
    const description = FileFormat.describe(format)
    return yield* Effect.fail(new InvalidFile({ source: name, problems: [{ line: 1, description }] }))
  }
  reader.end()
  if (header === undefined && problems.length === 0) {
    onProblem({ line: 1, description: "is empty: it has no header" })
  }
  if (header !== undefined && problems.length === 0 && rows < minRows) {
    onProblem(
      rows === 0
        ? { line: 1, description: "has a header and no rows", kind: "noRows" }
        : {
          line: 1,
          description: `has ${rows === 1 ? "1 row" : `${rows} rows`} where at least ${minRows} are expected`
        }
    )
  }
  if (problems.length > 0) return yield* Effect.fail(new InvalidFile({ source: name, problems }))
  return { header: header ?? [], rows, bytes: reader.bytes }
})

const missing = (names: ReadonlyArray<string>, wanted: Iterable<string>): ReadonlyArray<string> =>
  [...wanted].flatMap((name) => {
    if (names.includes(name)) return []
    const near = Hint.nearest(name, names)
    return [
      `has no column ${JSON.stringify(name)}${near === undefined ? "" : `, but one named ${JSON.stringify(near)}`}`
    ]
  })

const misnamed = (header: ReadonlyArray<string>): ReadonlyArray<string> => {
  const columns = new Map<string, Array<number>>()
  for (const [i, name] of header.entries()) {
    const trimmed = name.trim()
    columns.set(trimmed, [...columns.get(trimmed) ?? [], i + 1])
  }
  return [...columns].flatMap(([name, places]) => {
    const last = places.pop()
    const which = places.length === 0 ? `column ${last}` : `columns ${places.join(", ")} and ${last}`
    if (name === "") return [`${which} ${places.length === 0 ? "has" : "have"} no name: name or delete what is empty`]
    return places.length === 0 ? [] : [`${which} have one name, ${JSON.stringify(name)}`]
  })
}

const differences = (
  header: ReadonlyArray<string>,
  expected: ReadonlyArray<string> | undefined
): ReadonlyArray<string> => {
  if (expected === undefined) return []
  if (header.length !== expected.length) return [`has ${header.length} columns where ${expected.length} are expected`]
  return expected.flatMap((name, i) =>
    header[i] === name ? [] : [`column ${i + 1} is ${JSON.stringify(header[i])}, not ${JSON.stringify(name)}`]
  )
}
