import * as Hint from "@effect-resilience/kernel/Hint"
import * as CsvReader from "@effect-resilience/upload/CsvReader"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { ManifestText } from "./manifestText.ts"

/** The columns that each manifest has. */
export const required = ["file", "project", "table", "period"] as const
/** All columns that a manifest may have. */
export const columns = [...required, "action"] as const

type Column = typeof columns[number]
export type Cells = { readonly [column in Column]?: unknown }

/** A row, or why it is invalid. */
export interface Record {
  readonly row: number
  readonly cells: Result.Result<Cells, string>
}

/** Some rows, and problems where no row can be read. */
export type Page = ReadonlyArray<Result.Result<Record, string>>

/** Whether a column is to be ignored, by its name. */
export type Ignored = (name: string) => boolean

export const isColumn = (name: string): name is Column => columns.some((column) => column === name)

/** Piece by piece, so that memory is freed before the next piece is read. */
export const ofCsv = function*({ bytes, text }: ManifestText, isIgnored: Ignored): Generator<Page> {
  const preamble = preambleOf(text)
  if (Result.isFailure(preamble)) return yield [Result.fail(preamble.failure)]
  const { delimiter, length, lines, rows } = preamble.success
  let page: Array<Result.Result<Record, string>> = []
  let header: Result.Result<Header, string> | undefined
  const reader = CsvReader.make({
    delimiter,
    cells: true,
    strictQuotes: true,
    onProblem: ({ description, line }) =>
      page.push(Result.fail(`line ${line + lines} is not valid CSV: ${description}.`)),
    onRecord: ({ cells = [], row, wellFormed }) => {
      if (header === undefined) {
        header = readHeader(cells, isIgnored)
        if (Result.isFailure(header)) {
          page.push(Result.succeed({ row: row + rows, cells: Result.fail(header.failure) }))
        }
      } else if (wellFormed && Result.isSuccess(header) && cells.some((cell) => cell.trim() !== "")) {
        page.push(Result.succeed({ row: row + rows, cells: cellsOf(header.success, cells) }))
      }
    }
  })
  const mark = bytes[0] === 0xef ? 3 : 0
  for (let from = mark + length; from < bytes.length; from += pieceBytes) {
    reader.read(bytes.subarray(from, from + pieceBytes))
    yield page
    page = []
  }
  reader.end()
  yield page
}

const pieceBytes = 65_536

/** What stands before the header: empty rows, and the line `sep=;` of Excel, which is no row there. */
interface Preamble {
  readonly delimiter: CsvReader.Delimiter | undefined
  readonly length: number
  readonly lines: number
  readonly rows: number
}

const preambleOf = (text: string): Result.Result<Preamble, string> => {
  const [before = ""] = emptyRows.exec(text) ?? []
  const [told = "", separator] = /^"?sep=([^\r\n]?)"?[,;\t|]*\r?\n/i.exec(text.slice(before.length)) ?? []
  const [after = ""] = emptyRows.exec(text.slice(before.length + told.length)) ?? []
  const rows = linesIn(before) + linesIn(after)
  const lines = rows + linesIn(told)
  const delimiter = delimiters.find((known) => known === separator)
  return separator === undefined || delimiter !== undefined
    ? Result.succeed({ delimiter, length: before.length + told.length + after.length, lines, rows })
    : Result.fail(`line ${linesIn(before) + 1} has the separator ${JSON.stringify(separator)}: use , ; | or a tab.`)
}

const emptyRows = /^(?:[ ,;\t|]*\r?\n)+/
const delimiters = [",", ";", "\t", "|"] as const

const linesIn = (text: string): number => text.split("\n").length - 1

/** The number of columns, and the index of each known column. */
type Header = { readonly [column in Column]?: number } & { readonly length: number }

const readHeader = (cells: ReadonlyArray<string>, isIgnored: Ignored): Result.Result<Header, string> => {
  const names = cells.map((name) => name.trim().toLowerCase())
  // Spreadsheets save columns that were formatted once, or whose content was deleted.
  while (names.at(-1) === "") names.pop()
  const wanted = names.map((name) => isIgnored(name) ? undefined : name)
  const missing = required.filter((name) => !wanted.includes(name))
  const unknown = wanted.flatMap((name, i) =>
    name === undefined || isColumn(name)
      ? []
      : [name === "" ? `column ${i + 1}, which has no name` : `${name} (${adviceOn(name, missing)})`]
  )
  const twice = wanted.filter((name, i) => name !== undefined && name !== "" && wanted.indexOf(name) < i)
  const problems = [["missing", missing], ["unknown", unknown], ["twice", twice]] as const
  if (problems.every(([, names]) => names.length === 0)) {
    const indices = wanted.flatMap((name, i) => name === undefined ? [] : [[name, i] as const])
    return Result.succeed({ ...Object.fromEntries(indices), length: names.length })
  }
  const said = problems.flatMap(([what, names]) => names.length === 0 ? [] : [`; ${what}: ${names.join(", ")}`])
  return Result.fail(`the header is ${names.join(",")} where ${columns.join(",")} is expected${said.join("")}.`)
}

const adviceOn = (name: string, missing: ReadonlyArray<string>): string => {
  const meant = Hint.nearest(name, missing.length > 0 ? missing : columns)
  return meant === undefined ? `leave it out with --ignore-column ${quoted(name)}` : `did you mean ${meant}?`
}

const quoted = (name: string): string => /^[\w.-]+$/.test(name) ? name : `"${name}"`

const cellsOf = (header: Header, line: ReadonlyArray<string>): Result.Result<Cells, string> => {
  if (line.length > header.length && line.slice(header.length).some((cell) => cell.trim() !== "")) {
    return Result.fail(
      `has ${line.length} cells where the header has ${header.length}: a name that contains the delimiter stands in quotes.`
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

/** An array of objects, or one object a line (JSON Lines). */
export const ofJson = function*(text: string, isIgnored: Ignored): Generator<Page> {
  const whole = Result.try((): unknown => JSON.parse(text))
  if (Result.isSuccess(whole)) {
    const rows = Array.isArray(whole.success) ? whole.success : Predicate.isObject(whole.success) ? [whole.success] : []
    if (rows.length === 0 && !Array.isArray(whole.success)) return yield [Result.fail(notJson)]
    for (let from = 0; from < rows.length; from += pageRows) {
      yield rows.slice(from, from + pageRows).map((cells: unknown, i) =>
        Result.succeed({ row: from + i + 1, cells: cellsOfJson(cells, isIgnored) })
      )
    }
    return
  }
  const lines = text.split("\n")
  if (!text.trimStart().startsWith("{") || lines.filter((line) => line.trim() !== "").length === 1) {
    return yield [Result.fail(notJson)]
  }
  for (let from = 0; from < lines.length; from += pageRows) {
    yield lines.slice(from, from + pageRows).flatMap((line, i): Page => {
      if (line.trim() === "") return []
      const row = from + i + 1
      const cells = Result.mapError(
        Result.try((): unknown => JSON.parse(line)),
        () => `is not JSON: write one object with ${columns.join(", ")} on each line, or an array of them.`
      )
      return [Result.succeed({ row, cells: Result.flatMap(cells, (cells) => cellsOfJson(cells, isIgnored)) })]
    })
  }
}

const pageRows = 4_096

const notJson = `is not a JSON array of objects with ${columns.join(", ")}.`

const cellsOfJson = (cells: unknown, isIgnored: Ignored): Result.Result<Cells, string> => {
  if (!Predicate.isObject(cells)) return Result.fail(`is not an object with ${columns.join(", ")}.`)
  const names = Object.keys(cells)
  const missing = required.filter((name) => !names.includes(name))
  const unknown = names.filter((name) => !isColumn(name) && !isIgnored(name))
  return unknown.length === 0
    ? Result.succeed(cells)
    : Result.fail(
      `has the unknown ${unknown.map((name) => `${name} (${adviceOn(name, missing)})`).join(", ")}; known are ${
        columns.join(", ")
      }.`
    )
}
