import * as Output from "./output.ts"
import { clip, clipName, padEnd, widthOf } from "./textWidth.ts"

export interface Column<Row> {
  readonly title: string
  readonly align?: "left" | "right"
  /** The columns with the highest numbers are left out first if the table is too wide. Those without a number stay. */
  readonly dispensable?: number
  /** The width to which a column of names may shrink, which loses the middle of the names, or what is before their tail. */
  readonly least?: number
  readonly tail?: (row: Row) => string
  readonly cell: (row: Row) => string
}

/**
 * Lines of a table: a header, a rule, one line a row. None is wider than `width`: columns are left out, empty ones first,
 * then names lose their middle.
 */
export const render = <Row>(
  rows: ReadonlyArray<Row>,
  columns: ReadonlyArray<Column<Row>>,
  width = Infinity
): ReadonlyArray<string> => {
  const all = columns.map((column) => {
    const cells = rows.map((row) => Output.plain(column.cell(row)))
    const widest = cells.reduce((widest, cell) => Math.max(widest, widthOf(cell)), 0)
    return { ...column, cells, empty: widest === 0, width: Math.max(widest, widthOf(column.title)) }
  })
  type Measured = typeof all[number]

  const least = (column: Measured) => Math.min(column.width, column.least ?? column.width)
  const total = (shown: ReadonlyArray<Measured>, of: (column: Measured) => number) =>
    shown.reduce((sum, column) => sum + of(column), gap.length * (shown.length - 1))
  let shown: ReadonlyArray<Measured> = all
  // Empty columns first, then by their numbers.
  const order = all.filter(({ dispensable }) => dispensable !== undefined)
    .toSorted((a, b) => Number(b.empty) - Number(a.empty) || (b.dispensable ?? 0) - (a.dispensable ?? 0))
  for (const column of order) {
    if (total(shown, column.empty ? (column) => column.width : least) <= width) break
    shown = shown.filter((other) => other !== column)
  }
  let excess = total(shown, (column) => column.width) - width
  const fitted = shown.map((column) => {
    const shrinkable = excess > 0 ? Math.min(excess, column.width - least(column)) : 0
    excess -= shrinkable
    return { ...column, width: column.width - shrinkable }
  })

  const line = (textOf: (column: Measured) => string, row?: Row) => {
    const cells = fitted.map((column) => {
      const tail = row === undefined ? undefined : column.tail?.(row)
      const text = clipName(textOf(column), column.width, tail === undefined ? "" : Output.plain(tail))
      return column.align === "right"
        ? " ".repeat(Math.max(0, column.width - widthOf(text))) + text
        : padEnd(text, column.width)
    })
    return clip(cells.join(gap).trimEnd(), width)
  }
  return [
    line(({ title }) => title),
    clip(fitted.map(({ width }) => "─".repeat(width)).join(gap), width),
    ...rows.map((row, at) => line(({ cells }) => cells[at] ?? "", row))
  ]
}

const gap = "  "
