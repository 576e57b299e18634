/** A cell of a CSV file. */
export type Cell = string | number | boolean | null

/**
 * A line of CSV after RFC 4180, without its end. A spreadsheet takes a text that begins with `=`, `+`, `-` or `@` for a formula, so
 * such a text gets an apostrophe.
 */
export const line = (cells: ReadonlyArray<Cell>): string => cells.map(cellOf).join(",")

const cellOf = (cell: Cell): string => {
  if (typeof cell !== "string") return cell === null ? "" : String(cell)
  const text = /^\s*[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell
  return /[",;\s]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text
}
