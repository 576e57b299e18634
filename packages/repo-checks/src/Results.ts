/** The tables of `packages/bench/RESULTS.md`. */

/** A row beside the row of ours that it is compared with. */
export interface Row {
  /** `suite › case (unit) › subject`. */
  readonly id: string
  readonly suite: string
  /** When the suite was measured: `2026-11-29`. */
  readonly date: string
  readonly unit: string
  readonly subject: string
  readonly median: string
  /** Ours divided by the subject; absent in the row of ours. */
  readonly ratio: string
  readonly ours: { readonly subject: string; readonly median: string }
}

/** The cells of a line of a table. */
export const cellsOf = (line: string): ReadonlyArray<string> => line.split("|").slice(1, -1).map((cell) => cell.trim())

const tableRows = (lines: ReadonlyArray<string>) =>
  lines.filter((line) => line.startsWith("| ") && !line.startsWith("| -")).map(cellsOf)

/** All rows, by their id. */
export const rowsOf = (results: string): ReadonlyMap<string, Row> => {
  const rows = new Map<string, Row>()
  for (const part of results.split(/^## /m).slice(1)) {
    const [head = "", ...cases] = part.split(/^### /m)
    const [suite = ""] = head.split("\n")
    const date = /^(\d{4}-\d\d-\d\d) ·/m.exec(head)?.[1] ?? ""
    for (const text of cases) {
      const [title = "", ...lines] = text.split("\n")
      const [header = [], ...table] = tableRows(lines)
      const name = header[4]?.replace(/ \/ subject$/, "") ?? ""
      const ours = { subject: name, median: table.find(([subject]) => subject === name)?.[1] ?? "" }
      for (const [subject = "", median = "", , , ratio = ""] of table) {
        const id = `${suite} › ${title} › ${subject}`
        rows.set(id, { id, suite, date, unit: /\(([^()]*)\)$/.exec(title)?.[1] ?? "", subject, median, ratio, ours })
      }
    }
  }
  return rows
}
