/**
 * Uploads tables to TBM Studio.
 *
 * **Details**
 *
 * `target` is what `Uploader.upload` and `Batch.run` of `@effect-resilience/upload` send to. Requests carry the shared
 * token and the environment. After a 401 the client logs in again and replays the request once. An `overwrite` may be sent
 * twice. An `append` may not, so an append whose outcome is unknown is reported and never retried. After 10 failures in a
 * row a circuit breaker rejects all uploads for a while. The md5 and length in the response are compared with what was
 * sent. A 2xx response whose body reports an error (`{"message": "Access denied"}`, `{"status": "error"}`) is a failure:
 * an overwrite has failed, the outcome of an append is unknown.
 *
 * **Example** (Uploading one table)
 *
 * ```ts
 * import { TableUploads } from "@effect-resilience/tbm-studio"
 * import { Uploader, UploadSource } from "@effect-resilience/upload"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { target } = yield* TableUploads.TableUploads
 *   const upload = yield* TableUploads.make({
 *     source: UploadSource.file("gl.csv"),
 *     project: "Cost Transparency",
 *     table: "GL Data",
 *     period: "January:2024"
 *   })
 *   return yield* Uploader.upload(target, upload)
 * })
 * ```
 *
 * @stability rests on effect/FileSystem, effect/http
 * @since 0.1.0
 */
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import type * as Operation from "@effect-resilience/http/Operation"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as Multipart from "@effect-resilience/upload/Multipart"
import type * as UploadSource from "@effect-resilience/upload/UploadSource"
import * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { attach, type CallError, Frontdoor } from "./Frontdoor.ts"
import { reportedErrorOf, undecodable } from "./internal/reportedError.ts"
import * as Messages from "./Messages.ts"
import type * as Period from "./Period.ts"
import { Settings } from "./Settings.ts"
import * as TableAddress from "./TableAddress.ts"

/**
 * One upload: its bytes, its table and period, and what it does with the existing rows. `force` overwrites a table that is
 * checked out.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableUpload {
  /** Where its bytes come from. */
  readonly source: UploadSource.UploadSource<FileSystem.FileSystem>
  /** The table and the period. */
  readonly address: TableAddress.TableAddress
  /** What it does with the existing rows. */
  readonly action: TableAddress.Action
  readonly force: boolean
}

/**
 * What the server confirms: whether it created the table, and what it received, as far as its response reports it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receipt {
  /** Whether the table is new. */
  readonly created: boolean
  /** The digest of what was received, in hexadecimal; `undefined` if the response does not say. */
  readonly md5: string | undefined
  /** How many bytes were received; `undefined` if the response does not say. */
  readonly length: number | undefined
  /** The name under which the file was received; `undefined` if the response does not say. */
  readonly fileName: string | undefined
}

/**
 * The target of uploads. Provide another target to test without a network.
 *
 * - `target`: sends an upload to its table.
 *
 * @category services
 * @since 0.1.0
 */
export class TableUploads extends Context.Service<TableUploads, {
  readonly target: UploadTarget.UploadTarget<
    TableUpload,
    Receipt,
    CallError | CircuitBreaker.CircuitOpen,
    FileSystem.FileSystem
  >
}>()("@effect-resilience/tbm-studio/TableUploads") {
  /** Uploads to the API that the settings name, with a token of the frontdoor. */
  static readonly layer: Layer.Layer<TableUploads, never, Settings | Frontdoor | HttpClient.HttpClient> = Layer.effect(
    TableUploads,
    Effect.suspend(() => makeService)
  )
}

/**
 * Makes an upload from plain names. The default action is `overwrite`.
 *
 * - `source`: where its bytes come from.
 * - `project`: the name of the project, not encoded.
 * - `table`: the name of the table, not encoded.
 * - `period`: the period as text, such as `Jan:2024`.
 * - `action`: what it does with the existing rows; default `overwrite`.
 * - `force`: overwrites a table that is checked out; default false.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly source: UploadSource.UploadSource<FileSystem.FileSystem>
  readonly project: string
  readonly table: string
  readonly period: string
  readonly action?: TableAddress.Action | undefined
  readonly force?: boolean | undefined
}): Effect.Effect<TableUpload, TableAddress.InvalidName | Period.InvalidPeriod> =>
  Effect.fromResult(Result.map(TableAddress.make(options), (address) => ({
    source: options.source,
    address,
    action: options.action ?? "overwrite",
    force: options.force ?? false
  })))

/**
 * The operation of an upload. An overwrite is idempotent, an append is not. The default version of the API is `v1`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const operationOf = (upload: TableUpload, version: TableAddress.Version = "v1"): Operation.Operation =>
  operations[version][upload.action]

const operationsOf = (
  version: TableAddress.Version
): { readonly [action in TableAddress.Action]: Operation.Operation } => {
  const endpoint = TableAddress.pathTemplates[version]
  return {
    overwrite: { name: "overwrite table", endpoint, idempotent: true },
    append: { name: "append to table", endpoint, idempotent: false }
  }
}

const operations = { v1: operationsOf("v1"), v2: operationsOf("v2") }

/**
 * The client of uploads. It has no retry: that of the `Uploader` is the only one. It has no limit of time either, since the `Uploader`
 * watches whether bytes move.
 *
 * - `api`: the origin of the API, such as `https://acme.apptio.com`.
 *
 * **Example** (What happens to an upload)
 *
 * ```ts import.meta.vitest
 * import { TableUploads } from "@effect-resilience/tbm-studio"
 *
 * const description = TableUploads.description({ api: "https://acme.example.com" })
 * Object.keys(description.pipeline) // => ["circuitBreaker"]
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const description = (settings: { readonly api: string }) => ({
  name: settings.api,
  baseUrl: settings.api,
  timeouts: { attempt: "Infinity", total: "Infinity" },
  pipeline: { circuitBreaker: { tripPolicy: CircuitBreaker.consecutive(10) } }
} as const)

const makeService = Effect.gen(function*() {
  const settings = yield* Settings
  const { apiVersion } = settings
  const frontdoor = yield* Frontdoor
  const client = yield* ResilientClient.make({
    ...description(settings),
    auth: ResilientClient.tokens(frontdoor.tokens, { attach })
  }, { patterns: Messages.patterns })

  const request = Effect.fnUntraced(function*(upload: TableUpload, payload: UploadTarget.Payload) {
    const environmentId = yield* frontdoor.environmentId
    const path = TableAddress.path(upload.address, settings.domain, upload.action, apiVersion)
    const force = upload.force ? [Multipart.field("force", "true"), Multipart.field("action", upload.action)] : []
    const file = Multipart.file("myfile", {
      fileName: payload.name,
      contentType: contentType(payload.name),
      size: payload.size,
      stream: payload.stream
    })
    return HttpClientRequest.post(path).pipe(
      HttpClientRequest.acceptJson,
      HttpClientRequest.setHeader("apptio-current-environment", environmentId),
      HttpClientRequest.setBody(Multipart.toBody(Multipart.make([...force, file])))
    )
  })

  return TableUploads.of({
    target: UploadTarget.http({
      client,
      operation: (upload: TableUpload) => operationOf(upload, apiVersion),
      source: (upload: TableUpload) => upload.source,
      key: (upload) => TableAddress.key(upload.address),
      digests: ["md5"],
      request,
      receive: Effect.fnUntraced(function*(response) {
        const stored = yield* ResponseBody.json(response, Stored)
        const { length, md5: digest, fileName: name } = stored
        const confirmed = digest !== undefined || length !== undefined || name !== undefined
        const reported = reportedErrorOf(stored, confirmed)
        if (reported !== undefined) return yield* undecodable(response, receiptShape, reported)
        if (!confirmed && Object.keys(stored).length > 0) {
          return yield* undecodable(response, receiptShape, "JSON without any of these")
        }
        const { scrub } = yield* Scrubber.Current
        const scrubbed = (text: string | undefined) => text === undefined ? undefined : scrub(text)
        const [md5, fileName] = [scrubbed(stored.md5), scrubbed(stored.fileName)]
        return {
          receipt: { created: response.status === created, md5, length: stored.length, fileName },
          stored: { md5: md5?.toLowerCase(), bytes: stored.length }
        }
      })
    })
  })
})

const created = 201

const receiptShape = "a receipt (md5, length or fileName)"

const Stored = Schema.StructWithRest(
  Schema.Struct({
    md5: Schema.optional(Schema.String),
    length: Schema.optional(Schema.Number),
    fileName: Schema.optional(Schema.String)
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const contentType = (name: string): string => {
  if (/\.gz$/i.test(name)) return "application/gzip"
  return /\.tsv$/i.test(name) ? "text/tab-separated-values" : "text/csv"
}
