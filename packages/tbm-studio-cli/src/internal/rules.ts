import type * as TableAddress from "@effect-resilience/tbm-studio/TableAddress"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { InvalidInput } from "./runtime.ts"
import * as WatchRules from "./watchRules.ts"
import * as words from "./words.ts"

const Names = Schema.optionalKey(Schema.Array(Schema.String))

const Rule = Schema.Struct({
  project: Schema.optionalKey(Schema.String),
  table: Schema.optionalKey(Schema.String),
  required: Names,
  numbers: Names,
  rowsChange: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
  leastRows: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
}).annotate({
  messageUnexpectedKey: "no such option: a rule has project, table, required, numbers, rowsChange and leastRows"
})

/** What the files of some tables must have: of those with this project and table, or of all. */
export type Rule = typeof Rule.Type

const File = Schema.fromJsonString(
  Schema.Struct({
    tables: Schema.optionalKey(Schema.Array(Rule)),
    watch: Schema.optionalKey(Schema.Array(WatchRules.WatchRule))
  }).annotate({ messageUnexpectedKey: "no such list: there are tables and watch" })
)

/** Reads the rules for tables in the file of `--rules`. */
export const read = (path: string) => Effect.map(readFile(path), ({ tables = [] }) => tables)

/** Reads the file of `--rules` of a command that watches a directory. */
export const readWatch = Effect.fnUntraced(function*(path: string) {
  const { tables = [], watch } = yield* readFile(path)
  if (watch === undefined) {
    return yield* new InvalidInput({
      message: `--rules ${path} does not say where files go: add "watch", a list of rules such as ` +
        "{\"files\": \"gl-{year}-{month}.csv\", \"project\": \"P\", \"table\": \"T\"}."
    })
  }
  const made = WatchRules.make(watch)
  if (Result.isFailure(made)) {
    return yield* new InvalidInput({ message: `--rules ${path} is invalid: ${made.failure}` })
  }
  return { tables, watch: made.success }
})

const readFile = Effect.fnUntraced(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(
    fs.readFileString(path),
    ({ reason }) => new InvalidInput({ message: `--rules ${path} cannot be read: ${words.ofSystem(reason)}.` })
  )
  return yield* Effect.mapError(
    Schema.decodeEffect(File, { onExcessProperty: "error" })(text),
    ({ message }) => new InvalidInput({ message: `--rules ${path} is invalid: ${message.replace(/\s*\n\s*/g, " ")}.` })
  )
})

/** What all rules together demand of the files for a table. */
export const of = (rules: ReadonlyArray<Rule>, addresses: ReadonlyArray<TableAddress.TableAddress>) => {
  const applied = rules.filter(({ project, table }) =>
    addresses.some((address) =>
      (project === undefined || project === address.project) && (table === undefined || table === address.table)
    )
  )
  return {
    apply: applied.length > 0,
    required: [...new Set(applied.flatMap(({ required = [] }) => required))],
    numbers: [...new Set(applied.flatMap(({ numbers = [] }) => numbers))],
    /** By what share the rows may differ from those of the period before. */
    rowsChange: applied.reduce((least, { rowsChange = Infinity }) => Math.min(least, rowsChange), Infinity),
    leastRows: applied.reduce((most, { leastRows = 0 }) => Math.max(most, leastRows), 0)
  }
}
