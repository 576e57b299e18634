import * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as Effect from "effect/Effect"
import { linesOf } from "./commandOutput.ts"
import type * as Looks from "./looks.ts"
import * as TableCopy from "./tableCopy.ts"
import * as units from "./units.ts"

/**
 * What two looks at a table say about an append between them.
 *
 * - `unchanged`: the table is as it was.
 * - `grown`: it has as many rows more as the file has.
 * - `changed`: something else.
 * - `unread`: it could not be read again.
 */
export interface LookReport {
  readonly says: "unchanged" | "grown" | "changed" | "unread"
  readonly message: string
  readonly before: TableCopy.Held
  readonly after: TableCopy.Held | null
}

/** Looks at a table again, and compares it with how it was before an append whose outcome is unknown. */
export const compare = (address: TableAddress.TableAddress, { adds, bytes, md5, rows }: Looks.Look) =>
  Effect.match(TableCopy.look(address), {
    onFailure: (error): LookReport => ({
      says: "unread",
      message: `${TableAddress.format(address)} could not be looked at again: ${linesOf(error).join(" ")}`,
      before: { rows, bytes, md5 },
      after: null
    }),
    onSuccess: (after): LookReport => {
      const says = verdictOf({ rows, bytes, md5 }, after, adds)
      return {
        says,
        message: `${TableAddress.format(address)} ${sentences[says]({ rows, bytes, md5 }, after, adds)} ${doubts}`,
        before: { rows, bytes, md5 },
        after
      }
    }
  })

const doubts = "A table may show an upload late, and others may have changed it: look at it yourself before you decide."

const verdictOf = (before: TableCopy.Held, after: TableCopy.Held, adds: number | undefined) =>
  before.md5 === after.md5 && before.bytes === after.bytes
    ? "unchanged"
    : adds !== undefined && after.rows - before.rows === adds
    ? "grown"
    : "changed"

const sentences: {
  readonly [S in Exclude<LookReport["says"], "unread">]: (
    before: TableCopy.Held,
    after: TableCopy.Held,
    adds: number | undefined
  ) => string
} = {
  unchanged: ({ rows }) =>
    `is as it was before this append, with ${units.plural(rows, "row")}: it has probably not arrived.`,
  grown: (before, after) =>
    `has ${units.plural(after.rows - before.rows, "row")} more than before this append, as many as the file: it has ` +
    "probably arrived.",
  changed: (before, after, adds) =>
    `had ${units.plural(before.rows, "row")} before this append and has ${after.rows} now${
      adds === undefined ? "" : `, where the file has ${adds}`
    }: whether these are its rows is not certain.`
}
