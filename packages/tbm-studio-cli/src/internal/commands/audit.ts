import * as Journal from "@effect-resilience/upload/Journal"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as ExitStatus from "../../ExitStatus.ts"
import { printOutput } from "../commandOutput.ts"
import type * as CsvText from "../csvText.ts"
import * as JournalEntries from "../journalEntries.ts"
import * as journalFile from "../journalFile.ts"
import { tail } from "../report.ts"
import * as RowHistory from "../rowHistory.ts"
import * as Runs from "../runs.ts"
import * as textTable from "../textTable.ts"

const flags = {
  file: Argument.String("file").pipe(Argument.withDescription("A manifest that was uploaded, or its journal")),
  csv: Flag.Boolean("csv").pipe(
    Flag.withDescription("Print CSV with all columns, for a spreadsheet"),
    Flag.withDefault(false)
  )
}

export const audit = Command.make("audit", flags, ({ csv, file }) =>
  Effect.gen(function*() {
    const path = yield* journalFile.find(file)
    const items = yield* read.pipe(
      Effect.mapError((error) => error instanceof Journal.JournalError ? journalFile.failure(path, error) : error),
      Effect.provide(journalFile.layer(path))
    )
    const lines = items.map((item): ReadonlyArray<CsvText.Cell> => columns.map((name) => item[name]))
    return {
      json: { journal: path, items },
      ...csv ? { csv: [columns, ...lines] } : {},
      text: (width: number) => textTable.render(items, table, width),
      exitStatus: ExitStatus.done
    }
  }).pipe(printOutput)).pipe(
    Command.withDescription("List who uploaded what and when, from a journal"),
    Command.withExamples([
      { command: "tbm-studio audit january.csv", description: "Who uploaded January?" },
      { command: "tbm-studio audit january.csv --csv >january-audit.csv", description: "The same for a spreadsheet" }
    ])
  )

const read = Effect.gen(function*() {
  const { entries, history } = yield* JournalEntries.read
  const whoOf = yield* Runs.read
  const rowsOf = yield* RowHistory.counts
  return entries.map(({ at, ordinal: _, state, ...entry }, i) => ({
    ...entry,
    when: at,
    who: whoOf.get(history[i]?.run ?? "") ?? null,
    rows: entry.md5 === null ? null : rowsOf.get(entry.md5) ?? null,
    outcome: state
  })).toSorted((a, b) => a.when < b.when ? -1 : a.when > b.when ? 1 : 0)
})

type Item = Effect.Success<typeof read>[number]

const columns = [
  "when",
  "who",
  "file",
  "md5",
  "bytes",
  "rows",
  "service",
  "domain",
  "environment",
  "project",
  "table",
  "period",
  "action",
  "outcome",
  "verified",
  "attempts",
  "note"
] as const satisfies ReadonlyArray<keyof Item>

const table: ReadonlyArray<textTable.Column<Item>> = [
  { title: "When (UTC)", cell: ({ when }) => when.slice(0, 16).replace("T", " ") },
  { title: "Who", dispensable: 3, cell: ({ who }) => who ?? "" },
  { title: "Table", least: 28, cell: ({ period, project, table }) => `${project} / ${table} / ${period}`, tail },
  { title: "Action", dispensable: 4, cell: ({ action }) => action },
  { title: "Outcome", cell: ({ outcome }) => outcome },
  { title: "Rows", align: "right", dispensable: 2, cell: ({ rows }) => rows === null ? "" : String(rows) },
  { title: "File", dispensable: 1, least: 12, cell: ({ file }) => file },
  { title: "md5", dispensable: 5, cell: ({ md5 }) => md5 ?? "" }
]
