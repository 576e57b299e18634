/**
 * The simulator's record of calls and uploads, as `GET /__simulator/state` returns it.
 *
 * **Example** (What a new simulator has recorded)
 *
 * ```ts import.meta.vitest
 * import { Simulator, type SimulatorState } from "@effect-resilience/tbm-simulator"
 * import { Effect } from "effect"
 *
 * const calls = ({ logins, requests, uploads }: SimulatorState.SimulatorState) => [logins, requests, uploads.length]
 *
 * const program = Effect.flatMap(Simulator.Simulator, ({ state }) => Effect.map(state, calls))
 * await Effect.runPromise(Effect.provide(program, Simulator.layer())) // => [0, 0, 0]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * One stored upload. Names are decoded. `md5` and `sha256` are hexadecimal digests of the file's bytes as received, so of
 * the compressed bytes of a `.gz`. `storedAt` is an ISO instant.
 *
 * @category models
 * @since 0.1.0
 */
export const StoredUpload = Schema.Struct({
  domain: Schema.String,
  project: Schema.String,
  table: Schema.String,
  period: Schema.String,
  action: Schema.Literals(["overwrite", "append"]),
  fileName: Schema.String,
  bytes: Schema.Int,
  md5: Schema.String,
  sha256: Schema.String,
  storedAt: Schema.String
})

/**
 * One stored upload, as the schema of the same name describes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredUpload extends Schema.Schema.Type<typeof StoredUpload> {}

/**
 * A table's content in one period: the last overwrite and all appends since.
 *
 * **Details**
 *
 * `md5` is of the concatenated bytes. `rows` counts lines, with the header, as `wc -l` does, plus a last line without a
 * line break; a line break inside quotes does not count, and a `.gz` is counted unpacked. `versions` counts the stored
 * uploads, overwritten ones included.
 *
 * @category models
 * @since 0.1.0
 */
export const StoredTable = Schema.Struct({
  bytes: Schema.Int,
  rows: Schema.Int,
  md5: Schema.String,
  versions: Schema.Int
})

/**
 * The content of a table in one period, as the schema of the same name describes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredTable extends Schema.Schema.Type<typeof StoredTable> {}

/**
 * The status of a processing request.
 *
 * @category models
 * @since 0.1.0
 */
export const ProcessStatus = Schema.Literals([
  "InProcess",
  "Success",
  "Failed",
  "IncompleteGroupSession",
  "FailedGroupCheckin"
])

/**
 * One of the names that the schema of the same name lists.
 *
 * @category models
 * @since 0.1.0
 */
export type ProcessStatus = typeof ProcessStatus.Type

/**
 * The uploads and processes of the uploader service, in order of arrival. `single` is true for a file in one request;
 * `puts` counts how many times a part was accepted.
 *
 * @category models
 * @since 0.1.0
 */
export const UploaderRecord = Schema.Struct({
  sessions: Schema.Array(Schema.Struct({
    uploadId: Schema.String,
    table: Schema.String,
    single: Schema.Boolean,
    state: Schema.Literals(["open", "finalized", "aborted"]),
    parts: Schema.Array(
      Schema.Struct({ number: Schema.Int, bytes: Schema.Int, md5: Schema.String, puts: Schema.Int })
    )
  })),
  processes: Schema.Array(
    Schema.Struct({ processId: Schema.String, uploadIds: Schema.Array(Schema.String), status: ProcessStatus })
  )
})

/**
 * What the uploader service was sent, as the schema of the same name describes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface UploaderRecord extends Schema.Schema.Type<typeof UploaderRecord> {}

/**
 * The record. `logins`, `environmentLookups` and `requests` (all API calls) count calls, with or without a response.
 * `uploads` is in the order of storing; `tables` has keys `project/table/period`; `uploader` is the uploader service's,
 * whose uploads join the others after processing.
 *
 * @category models
 * @since 0.1.0
 */
export const SimulatorState = Schema.Struct({
  logins: Schema.Int,
  environmentLookups: Schema.Int,
  requests: Schema.Int,
  uploads: Schema.Array(StoredUpload),
  tables: Schema.Record(Schema.String, StoredTable),
  uploader: UploaderRecord,
  tokens: Schema.Struct({ issued: Schema.Int, expired: Schema.Int })
})

/**
 * The record of calls and uploads, as the schema of the same name describes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface SimulatorState extends Schema.Schema.Type<typeof SimulatorState> {}
