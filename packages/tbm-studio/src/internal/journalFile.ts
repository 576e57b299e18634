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

/** Names each upload by what it is: where it goes, from which file, and the how-manieth of its kind it is. */
export const identify = (
  settings: Settings["Service"],
  jobs: ReadonlyArray<{ readonly file: string; readonly upload: TableUpload }>
): ReadonlyMap<TableUpload, string> => {
  const seen = new Map<string, number>()
  const { api, domain, environment } = settings
  return new Map(jobs.map(({ file, upload }) => {
    const kind = { api, domain, environment, file, ...upload.address, action: upload.action }
    const text = JSON.stringify(kind)
    const occurrence = (seen.get(text) ?? 0) + 1
    seen.set(text, occurrence)
    return [upload, JSON.stringify({ ...kind, occurrence })]
  }))
}
