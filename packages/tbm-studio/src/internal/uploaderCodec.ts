/**
 * The requests and responses of the uploader service: what is documented, and what this module assumes.
 *
 * Source: the vendor's page *Uploader Service API* (TBM Studio, SaaS documentation). It names paths, parameters and the
 * bodies of initiate, process and status. It does not document the following, so this module makes assumptions:
 *
 * - The response to a file in one request ("N/A"). It is read as `{uploadId}`; without one, the file is sent as a single part.
 * - How the status of a group relates to `statusMap`. It is read as the `statusCode` of the entry in `statuses`, or of any in
 *   the map. An unknown code counts as being processed, until the time is up.
 * - The response to a wrong md5 of a part. A message that contains md5, digest or checksum is read as one, and the part is
 *   sent again; any other 400 ends the upload.
 * - What "errors if any" looks like in a 2xx response. `reportedErrorOf` reads the usual shapes, such as `error`, `errors` and
 *   `"status": "error"`; a `message` alone counts as an error too.
 */
import type * as ApiError from "@effect-resilience/errors/ApiError"
import type * as MessagePattern from "@effect-resilience/errors/MessagePattern"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Multipart from "@effect-resilience/upload/Multipart"
import type * as UploadError from "@effect-resilience/upload/UploadError"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Settings from "../Settings.ts"
import type { TableUpload } from "../TableUploads.ts"
import * as UploaderError from "../UploaderError.ts"
import { Id } from "../UploadSessions.ts"
import { reportedErrorOf, undecodable } from "./reportedError.ts"

export const headers = { "app-type": "UploaderService", "app-version": "1.00.0" }

/** The size of a part in bytes; the last one may be smaller. */
export const partSizes = { least: 5 * 1024 ** 2, most: 5 * 1024 ** 3 }

/** The limit of Amazon S3, where the service stores files. */
export const maxParts = 10_000

const root = "/uls/api/v1"
const session = `${root}/upload/multipart/{uploadId}`

export const endpoints = {
  single: `${root}/upload`,
  initiate: `${root}/upload/multipart`,
  part: `${session}/part/{part}`,
  session,
  process: `${root}/process`,
  status: `${root}/status/{processId}`
}

export const patterns: ReadonlyArray<MessagePattern.MessagePattern> = [{
  pattern: /\b(content-)?md5\b|digest|checksum/i,
  means: "the part did not arrive intact",
  remedy: "It is sent again.",
  recovery: Recovery.retry
}]

type Bytes = Stream.Stream<Uint8Array, UploadError.UploadError>

export const single = (file: {
  readonly table: string
  readonly name: string
  readonly size: number
  readonly stream: Bytes
}) =>
  HttpClientRequest.post(endpoints.single, { urlParams: { partSize: String(file.size) } }).pipe(
    HttpClientRequest.setBody(Multipart.toBody(Multipart.make([
      Multipart.field("metadata", JSON.stringify({ name: file.table })),
      Multipart.file("data", { fileName: file.name, contentType: octets, size: file.size, stream: file.stream })
    ])))
  )

export const initiate = (table: string) =>
  HttpClientRequest.post(endpoints.initiate).pipe(HttpClientRequest.bodyJsonUnsafe({ name: table }))

export const part = (uploadId: string, part: {
  readonly number: number
  readonly last: boolean
  readonly md5: string
  readonly size: number
  readonly stream: Bytes
}) =>
  HttpClientRequest.put(`${sessionUrl(uploadId)}/part/${part.number}`, {
    urlParams: { lastPart: String(part.last), md5: part.md5, partSize: String(part.size) }
  }).pipe(
    HttpClientRequest.setBody(
      part.size === 0 ? HttpBody.uint8Array(new Uint8Array(0), octets) : HttpBody.stream(part.stream, octets, part.size)
    )
  )

export const finalize = (uploadId: string) => HttpClientRequest.post(sessionUrl(uploadId))

export const abort = (uploadId: string) => HttpClientRequest.delete(sessionUrl(uploadId))

/** A file that has arrived at the service. */
export interface Member {
  readonly uploadId: string
  readonly upload: TableUpload
  readonly fileName: string
}

export type Members = readonly [Member, ...ReadonlyArray<Member>]

/** Several members are a group, which is checked in as a whole. */
export const process = (members: Members, settings: Settings.Settings["Service"]) => {
  const metadata = ({ fileName, upload: { action, address } }: Member) => ({
    period: address.period,
    domain: settings.domain,
    name: fileName,
    host: new URL(settings.api).hostname,
    format: formatOf(fileName),
    project: address.project,
    source: "S3",
    overwrite: String(action === "overwrite"),
    autoCheckin: "true"
  })
  return HttpClientRequest.post(endpoints.process).pipe(HttpClientRequest.bodyJsonUnsafe({
    metadata: metadata(members[0]),
    uploadIds: members.map(({ uploadId }) => uploadId),
    ...(members.length === 1
      ? {}
      : { uploadTargetMapping: Object.fromEntries(members.map((member) => [member.uploadId, metadata(member)])) })
  }))
}

export const status = (processId: string) => HttpClientRequest.get(`${root}/status/${encodeURIComponent(processId)}`)

/** The id of a file that was sent in one request, if the service returns it. */
export const singleId = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(acknowledged(response), (body) => body?.uploadId)

export const initiated = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(ResponseBody.json(response, Schema.Struct({ uploadId: Id })), ({ uploadId }) => uploadId)

/** Accepts an empty body, or JSON that reports no error. Anything else, such as a login page, is a failure. */
export const acknowledged = (response: HttpClientResponse.HttpClientResponse) =>
  ResponseBody.json(response, Acknowledgement).pipe(
    Effect.tap((body) => {
      const reported = reportedErrorOf(body, body.uploadId !== undefined)
      return reported === undefined ? Effect.void : undecodable(response, "an acknowledgement", reported)
    }),
    Effect.catchIf(isEmptyBody, () => Effect.undefined)
  )

export const processId = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(ResponseBody.json(response, Schema.Struct({ processId: Id })), ({ processId }) => processId)

/** The state of the processing: still running (`undefined`), succeeded, or failed for a reason. */
export const outcome = (response: HttpClientResponse.HttpClientResponse, processId: string) =>
  Effect.map(Effect.all([ResponseBody.json(response, Status), Scrubber.Current]), (
    [{ statuses }, { scrub }]
  ): "Success" | UploaderError.Reason | undefined => {
    const entries = statuses.flatMap(({ statusMap }) => Object.values(statusMap ?? {}))
    const group = statuses.flatMap(({ statusCode }) => statusCode ?? [])
    const codes = [...group, ...entries.flatMap(({ statusCode }) => statusCode ?? [])]
    const details = entries.flatMap(({ detail, errorCode }) => [errorCode, detail].flatMap((text) => text ?? []))
    const processing = {
      processId: scrub(processId),
      detail: details.length === 0 ? undefined : scrub(details.join(": "))
    }
    if (codes.includes("FailedGroupCheckin")) return new UploaderError.FailedGroupCheckin(processing)
    if (codes.includes("IncompleteGroupSession")) return new UploaderError.IncompleteGroupSession(processing)
    if (codes.includes("Failed")) return new UploaderError.ProcessingFailed(processing)
    return codes.length > 0 && codes.every((code) => succeeded.has(code)) ? "Success" : undefined
  })

// The tables of the vendor's page have Success, its example has Finished.
const succeeded: ReadonlySet<string> = new Set(["Success", "Finished"])

const octets = "application/octet-stream"

const sessionUrl = (uploadId: string) => `${endpoints.initiate}/${encodeURIComponent(uploadId)}`

const formatOf = (fileName: string): string => /\.([^.]+?)(?:\.gz)?$/i.exec(fileName)?.[1]?.toLowerCase() ?? "csv"

const Acknowledgement = Schema.StructWithRest(Schema.Struct({ uploadId: Schema.optional(Id) }), [
  Schema.Record(Schema.String, Schema.Unknown)
])

const isEmptyBody = ({ reason }: ApiError.ApiError): boolean =>
  reason._tag === "UndecodableAnswer" && reason.got === "an empty body"

const Text = Schema.optional(Schema.NullOr(Schema.String))
const Status = Schema.Struct({
  statuses: Schema.Array(Schema.Struct({
    statusCode: Text,
    statusMap: Schema.optional(
      Schema.NullOr(
        Schema.Record(Schema.String, Schema.Struct({ statusCode: Text, errorCode: Text, detail: Text }))
      )
    )
  }))
})
