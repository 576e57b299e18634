import * as SqliteClient from "@effect-resilience/sqlite/SqliteClient"
import * as Journal from "@effect-resilience/upload/Journal"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Settings } from "../Settings.ts"
import * as TableAddress from "../TableAddress.ts"
import type { TableUpload } from "../TableUploads.ts"
import { failAs } from "./runtime.ts"

/** The journal of a manifest: a SQLite file beside it. */
export const beside = (manifest: string): string => `${manifest}.journal.sqlite`

/** A journal in a file. */
export const layer = (path: string) =>
  failAs(
    Layer.provide(Journal.layerSql(), SqliteClient.layer({ filename: path })),
    () => `The journal ${path} cannot be opened: name another with --journal FILE, or go without one with --no-journal.`
  )

/** What an entry of the journal is about. */
export const Subject = Schema.Struct({
  api: Schema.String,
  domain: Schema.String,
  environment: Schema.String,
  file: Schema.String,
  project: Schema.String,
  table: Schema.String,
  period: Schema.String,
  action: Schema.Literals(TableAddress.actions),
  occurrence: Schema.Int
})

const SubjectJson = Schema.fromJsonString(Subject)

/** Reads the id of an entry. */
export const subjectOf = Schema.decodeUnknownEffect(SubjectJson)

/** What an upload is named by. */
export interface Named extends Pick<TableUpload, "address" | "action"> {
  readonly file: string
}

/**
 * Names uploads by what they are: where each goes, from which file, and the how-manieth of its kind it is. `index` is an
 * upload's place among all of them.
 */
export const identify = ({ api, domain, environment }: Settings["Service"], all: ReadonlyArray<Named>) => {
  const kindOf = ({ action, address: { period, project, table }, file }: Named) =>
    JSON.stringify({ api, domain, environment, file, project, table, period, action })
  const seen = new Map<string, number>()
  const occurrences = all.map((upload) => {
    const kind = kindOf(upload)
    const occurrence = (seen.get(kind) ?? 0) + 1
    seen.set(kind, occurrence)
    return occurrence
  })
  // The text of `{...kind, occurrence}`. Not kept, as a manifest may have a hundred thousand rows.
  return (upload: Named, index: number): string => `${kindOf(upload).slice(0, -1)},"occurrence":${occurrences[index]}}`
}
