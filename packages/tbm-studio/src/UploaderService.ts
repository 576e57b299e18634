/**
 * Uploads large files to TBM Studio, in parts, through its uploader service.
 *
 * **When to use**
 *
 * Use for files that are too large for one request, or for lines that break. `TableUploads` answers at once, can write over a
 * checked-out table (`force`) and confirms the md5 of the whole; here the service confirms each part's, and processes the
 * file afterwards.
 *
 * **Details**
 *
 * A file of more than 5 MiB is sent in parts of 16 MiB, four at a time, each with its md5; a part that fails is sent again
 * alone. Then the service is asked to process the file, and asked again until it has. Up to the request that starts the
 * processing nothing reaches the table, so even an `append` is repeated until there; after it, an `append` whose fate is
 * unknown is reported, never repeated.
 *
 * An upload that fails or is interrupted is aborted on the server, unless there is a store to resume it from: see
 * `UploadSessions`.
 *
 * **Gotchas**
 *
 * For the `Uploader`, processing is the wait for the answer. Give it time: pass this module's `responseTimeout`. The digests of
 * its report stay empty for a file in parts, and `verified` false.
 *
 * **Example** (Uploading a large file)
 *
 * ```ts
 * import { TableUploads, UploaderService } from "@effect-resilience/tbm-studio"
 * import { Uploader, UploadSource } from "@effect-resilience/upload"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { target } = yield* UploaderService.UploaderService
 *   const upload = yield* TableUploads.make({
 *     source: UploadSource.file("gl-2024.csv"),
 *     project: "Cost Transparency",
 *     table: "GL Data",
 *     period: "January:2024"
 *   })
 *   return yield* Uploader.upload(target, upload, { responseTimeout: UploaderService.responseTimeout })
 * })
 * ```
 *
 * @since 0.1.0
 */
import type * as AuthError from "@effect-resilience/auth/AuthError"
import type * as ApiError from "@effect-resilience/errors/ApiError"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Frontdoor } from "./Frontdoor.ts"
import { stepNames } from "./internal/uploaderCalls.ts"
import * as codec from "./internal/uploaderCodec.ts"
import * as uploaderTarget from "./internal/uploaderTarget.ts"
import { Settings } from "./Settings.ts"
import type { TableUpload } from "./TableUploads.ts"
import type * as UploaderError from "./UploaderError.ts"

/**
 * What became of an upload: its ids at the service, in how many parts it went (0 for one request), and how many of those an
 * earlier run had sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receipt {
  readonly uploadId: string
  readonly processId: string
  readonly parts: number
  readonly resumed: number
}

/**
 * - `partSize`: in bytes, from 5 MiB to 5 GiB; default 16 MiB, more where a file would have more than 10,000 parts.
 * - `concurrency`: parts of one file on their way at once; default 4.
 * - `smallest`: a file of at most so many bytes goes in one request; default 5 MiB.
 * - `policy`: how parts, and the requests after them, are repeated; default 8 times, with full jitter up to 500 millis,
 *   doubling to 20 seconds.
 * - `stallTimeout`: a part of which no byte moves for so long is sent again; default 20 seconds. Keep it below the
 *   uploader's own.
 * - `poll`: the waits between questions after the processing; default 500 millis, growing by half to 15 seconds.
 * - `processingTimeout`: how long to ask; default 30 minutes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly partSize?: number | undefined
  readonly concurrency?: number | undefined
  readonly smallest?: number | undefined
  readonly policy?: RetryPolicy.RetryPolicy | undefined
  readonly stallTimeout?: Duration.Input | undefined
  readonly poll?: Schedule.Schedule<unknown> | undefined
  readonly processingTimeout?: Duration.Input | undefined
}

/**
 * Where uploads go. Its target takes the same items as that of `TableUploads`.
 *
 * @category services
 * @since 0.1.0
 */
export class UploaderService extends Context.Service<UploaderService, {
  readonly target: UploadTarget.UploadTarget<
    TableUpload,
    Receipt,
    ApiError.ApiError | AuthError.AuthError | CircuitBreaker.CircuitOpen | UploaderError.UploaderError,
    FileSystem.FileSystem
  >
}>()("@effect-resilience/tbm-studio/UploaderService") {
  /** The service of the region that the settings name, with all defaults. */
  static readonly layer: Layer.Layer<UploaderService, never, Settings | Frontdoor | HttpClient.HttpClient> = Layer
    .effect(
      UploaderService,
      Effect.suspend(() => make())
    )
  /** The same, with other numbers. Throws `RangeError` where one makes no sense. */
  static readonly layerOptions = (
    options: Options
  ): Layer.Layer<UploaderService, never, Settings | Frontdoor | HttpClient.HttpClient> =>
    Layer.effect(UploaderService, make(options))
}

/**
 * How long the `Uploader` should wait for an answer of this service: as long as the processing may take by default, and 5
 * minutes more.
 *
 * @category constants
 * @since 0.1.0
 */
export const responseTimeout: Duration.Duration = Duration.minutes(35)

/**
 * The names of the calls that an upload makes here, as access logs and metrics have them.
 *
 * @category constants
 * @since 0.1.0
 */
export const steps: ReadonlySet<string> = stepNames

const make = (options: Options = {}) => {
  const { concurrency = 4, partSize = 16 * mebibyte, smallest = 5 * mebibyte } = options
  requireArgument(
    Number.isInteger(partSize) && partSize >= codec.partSizes.least && partSize <= codec.partSizes.most,
    "UploaderService.partSize",
    "from 5 MiB to 5 GiB",
    `${partSize} bytes`
  )
  requireArgument(
    Number.isInteger(concurrency) && concurrency >= 1,
    "UploaderService.concurrency",
    "an integer of at least 1",
    concurrency
  )
  requireArgument(smallest >= 0, "UploaderService.smallest", "0 or more", smallest)
  const resolved = {
    partSize,
    concurrency,
    smallest,
    policy: options.policy ?? patient,
    stallTimeout: Duration.fromInputUnsafe(options.stallTimeout ?? "20 seconds"),
    poll: options.poll ?? everSlower,
    processingTimeout: Duration.fromInputUnsafe(options.processingTimeout ?? "30 minutes")
  }
  return Effect.gen(function*() {
    const settings = yield* Settings
    const frontdoor = yield* Frontdoor
    const client = yield* HttpClient.HttpClient
    const key = settings.datalink ?? "uploader service"
    const breaker = yield* CircuitBreaker.make({ name: key, tripPolicy: CircuitBreaker.consecutive(10) })
    return UploaderService.of({ target: uploaderTarget.make({ settings, frontdoor, client, breaker, ...resolved }) })
  })
}

const mebibyte = 1024 * 1024

const patient = RetryPolicy.make({ times: 8, backoff: Backoff.exponential({ base: 500, cap: 20_000 }) })

const everSlower = Schedule.min([Schedule.exponential("500 millis", 1.5), Schedule.spaced("15 seconds")])
