import * as Flag from "effect/cli/Flag"
import * as textTable from "./textTable.ts"

/** The most uploads that are listed one by one. Of more, only those that need attention are. */
const usualMost = 25

/** The flag of the commands that list uploads. */
export const all = Flag.Boolean("all").pipe(
  Flag.withDescription(
    `List every upload (default: of more than ${usualMost} uploads, those that need attention)`
  ),
  Flag.withDefault(false)
)

/**
 * A table of uploads with an empty line below, and a line that counts those that are not listed.
 *
 * - `most`: how many are listed one by one.
 * - `attention`: why an upload needs attention, as an index of what comes first; -1 if it needs none.
 */
export const uploads = <Row>(
  rows: ReadonlyArray<Row>,
  { all, attention, most = usualMost, width }: {
    readonly all: boolean
    readonly attention: (row: Row) => number
    readonly most?: number
    readonly width: number
  },
  columns: ReadonlyArray<textTable.Column<Row>>
): { readonly table: ReadonlyArray<string>; readonly more: ReadonlyArray<string> } => {
  const listed = all || rows.length <= most
    ? rows
    : rows.filter((row) => attention(row) >= 0).toSorted((a, b) => attention(a) - attention(b)).slice(0, most)
  const left = rows.length - listed.length
  return {
    table: rows.length > 0 && listed.length === 0 ? [] : [...textTable.render(listed, columns, width), ""],
    more: left === 0 ? [] : [`${left} ${left === 1 ? "upload is" : "uploads are"} not listed: --all lists all.`]
  }
}
