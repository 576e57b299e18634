/**
 * Turns rows into the tables of RESULTS.md.
 *
 * @since 0.1.0
 */
import type { Row } from "./Measurement.ts"
import type { Case, Suite } from "./Suite.ts"

/**
 * The section of one suite, from its heading on.
 *
 * @category rendering
 * @since 0.1.0
 */
export const section = (suite: Suite, rows: ReadonlyArray<Row>, conditions: string): string =>
  [`## ${suite.name}`, "", conditions, "", ...suite.cases.flatMap((case_) => caseLines(case_, rows))].join("\n")

/**
 * Puts a section into a document, in place of an older one of the same suite or at the end.
 *
 * @category rendering
 * @since 0.1.0
 */
export const insert = (document: string, suite: string, text: string): string => {
  const parts = document.split(/^(?=## )/m)
  const at = parts.findIndex((part) => part.startsWith(`## ${suite}\n`))
  const fresh = `${text.trimEnd()}\n`
  return (at < 0 ? [...parts, `\n${fresh}`] : parts.with(at, at === parts.length - 1 ? fresh : `${fresh}\n`)).join("")
}

const caseLines = (case_: Case, rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const own = rows.filter((row) => row.case === case_.name)
  return [...new Set(own.map((row) => row.unit))].flatMap((unit) => {
    const table = own.filter((row) => row.unit === unit)
    const ours = table.find((row) => row.subject === case_.ours)
    return [
      `### ${case_.name} (${unit})`,
      "",
      `| subject | median | p25 | p75 | ${case_.ours} / subject | at most |`,
      "| --- | --: | --: | --: | --: | --: |",
      ...table.map((row) => {
        const ratio = ours?.ratios[row.subject]
        const judged = judge(case_, row, ours, ratio)
        return `| ${row.subject} | ${number(row.median)} | ${number(row.p25)} | ${number(row.p75)} | ${
          ratio === undefined ? "" : ratio.toFixed(2)
        } | ${judged} |`
      }),
      ""
    ]
  })
}

const judge = (case_: Case, row: Row, ours: Row | undefined, ratio: number | undefined): string => {
  if (row.unit === "MB" && case_.megabytesAtMost !== undefined) {
    if (row !== ours) return ""
    return `${case_.megabytesAtMost} MB ${row.median <= case_.megabytesAtMost ? "✓" : "✗"}`
  }
  if (row === ours && row.unit === "ns/call" && case_.nanosAtMost !== undefined) {
    return `${number(case_.nanosAtMost)} ns ${row.median <= case_.nanosAtMost ? "✓" : "✗"}`
  }
  if (row === ours && row.unit === "s on the clock" && case_.clockSecondsAtMost !== undefined) {
    return `${case_.clockSecondsAtMost} s ${row.median <= case_.clockSecondsAtMost ? "✓" : "✗"}`
  }
  const seconds = row.unit === "s" ? case_.secondsAtMost?.[row.subject] : undefined
  if (seconds !== undefined) return `${seconds} s ${row.median <= seconds ? "✓" : "✗"}`
  const atMost = case_.atMost?.[row.subject]
  const more = case_.moreAtMost?.[row.subject]
  if (ours === undefined || ratio === undefined) return ""
  if (atMost !== undefined) return `${atMost} ${ratio <= atMost ? "✓" : "✗"}`
  return more === undefined
    ? ""
    : `+${more} (is ${number(ours.median - row.median)}) ${ours.median - row.median <= more ? "✓" : "✗"}`
}

const number = (value: number): string =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3)
