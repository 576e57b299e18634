import * as CliOutput from "effect/cli/CliOutput"
import * as Output from "./output.ts"

export interface Column<Row> {
  readonly title: string
  readonly align?: "left" | "right"
  readonly cell: (row: Row) => string
}

/** Lines of a table for a terminal: a header, a rule, one line a row. */
export const render = <Row>(rows: ReadonlyArray<Row>, columns: ReadonlyArray<Column<Row>>): ReadonlyArray<string> => {
  const cells = rows.map((row) => columns.map((column) => Output.plain(column.cell(row))))
  const widths = columns.map((column, at) =>
    cells.reduce((widest, row) => Math.max(widest, widthOf(row[at] ?? "")), widthOf(column.title))
  )
  const format = (texts: ReadonlyArray<string>) =>
    columns.map((column, at) => {
      const text = texts[at] ?? ""
      const space = " ".repeat(Math.max(0, (widths[at] ?? 0) - widthOf(text)))
      return column.align === "right" ? space + text : text + space
    }).join("  ").trimEnd()
  return [
    format(columns.map((column) => column.title)),
    widths.map((width) => "─".repeat(width)).join("  "),
    ...cells.map(format)
  ]
}

// A table can have a hundred thousand lines, and finding graphemes takes time.
const widthOf = (text: string): number => /^[ -~]*$/.test(text) ? text.length : CliOutput.displayWidth(text)
