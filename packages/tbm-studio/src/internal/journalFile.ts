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

/**
 * Names uploads by what they are: where each goes, from which file, and the how-manieth of its kind it is. They have to be
 * asked for in the order of the manifest, the first time.
 */
export const identify = ({ api, domain, environment }: Settings["Service"]) => {
  const named = new Map<TableUpload, string>()
  const seen = new Map<string, number>()
  return (upload: TableUpload, file: string): string => {
    const known = named.get(upload)
    if (known !== undefined) return known
    const { action, address: { period, project, table } } = upload
    const kind = JSON.stringify({ api, domain, environment, file, project, table, period, action })
    const occurrence = (seen.get(kind) ?? 0) + 1
    seen.set(kind, occurrence)
    // The text of `{...kind, occurrence}`.
    const id = `${kind.slice(0, -1)},"occurrence":${occurrence}}`
    named.set(upload, id)
    return id
  }
}
