import * as ForeignText from "@effect-resilience/errors/ForeignText"
import * as Console from "effect/Console"
import type * as Effect from "effect/Effect"

/** One document on standard output. */
export const json = (command: string, document: object): Effect.Effect<void> =>
  Console.log(JSON.stringify({ version: 1, command, ...document }, undefined, 2))

/** Text that came from a file, without what a terminal would obey. */
export const shown = (text: string): string => ForeignText.oneLine(text, 2000)

/** Rows with aligned columns; numbers to the right. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)))
  return all.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))
      .join("  ").trimEnd()
  ).join("\n")
}
