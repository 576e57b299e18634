/**
 * Uploads large files to TBM Studio, in parts, through its uploader service.
 *
 * **When to use**
 *
 * Use it for files that are too large for one request, or over unreliable connections. `TableUploads` responds at once, can
 * overwrite a checked-out table (`force`) and confirms the md5 of the file. The uploader service confirms the md5 of each
 * part, and processes the file afterwards.
 *
 * **Details**
 *
 * A file of more than 5 MiB is sent in parts of 16 MiB, four at a time, each with its md5. A part that fails is sent again
 * alone. Then a request starts the processing of the file, and further requests ask for its outcome. Nothing reaches the
 * table before the request that starts the processing, so until then even an `append` is retried. After it, an `append`
 * whose outcome is unknown is reported and never retried.
 *
 * The uploads of a `group` are sent in the same way. When all have arrived, one request starts the processing of all, and all are
 * checked in, or none.
 *
 * An upload that fails or is interrupted is aborted on the server, unless there is a store to resume it from: see
 * `UploadSessions`.
 *
 * **Gotchas**
 *
 * For the `Uploader`, the processing is part of the response. Pass this module's `responseTimeout`, so that it waits long
 * enough; in a group, `Duration.infinity`, since each upload waits for all others. In the report of a file in parts, the digests
 * are empty and `verified` is false.
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
 * @stability stable
 * @since 0.1.0
 */
import { requireArgument } from "@effect-resilience/kernel/Argument"
import type * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as Backoff from "@effect-resilience/retry/Backoff"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import type * as UploadTarget from "@effect-resilience/upload/UploadTarget"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type CallError, Frontdoor } from "./Frontdoor.ts"
import { description as uploaderDescription, makeClient, stepNames } from "./internal/uploaderCalls.ts"
import * as codec from "./internal/uploaderCodec.ts"
import * as UploaderGroup from "./internal/uploaderGroup.ts"
import * as uploaderTarget from "./internal/uploaderTarget.ts"
import { Settings } from "./Settings.ts"
import type { TableUpload } from "./TableUploads.ts"
import type * as UploaderError from "./UploaderError.ts"

/**
 * What the service did with an upload.
 *
 * - `uploadId`, `processId`: its ids at the service.
 * - `parts`: the number of parts; 0 for one request.
 * - `resumed`: how many of the parts an earlier run had sent.
 *
 * @category models
 * @since 0.1.0
 */
export type Receipt = uploaderTarget.Receipt

/**
 * How files are sent to the uploader service, and how long their processing is waited for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** In bytes, from 5 MiB to 5 GiB; default 16 MiB, larger for a file that would have more than 10,000 parts. */
  readonly partSize?: number | undefined
  /** How many parts of one file are sent at once; default 4. */
  readonly concurrency?: number | undefined
  /** A file of at most this many bytes is sent in one request; default 5 MiB. */
  readonly smallest?: number | undefined
  /**
   * How parts, and the requests after them, are retried; default 8 times, with full jitter up to 500 millis, doubling to 20
   * seconds.
   */
  readonly policy?: RetryPolicy.RetryPolicy | undefined
  /** A part is sent again if none of its bytes moves for this long; default 20 seconds. Keep it below that of the uploader. */
  readonly stallTimeout?: Duration.Input | undefined
  /** The waits between requests for the outcome of the processing; default 500 millis, growing by half to 15 seconds. */
  readonly poll?: Schedule.Schedule<unknown> | undefined
  /** How long to wait for the outcome of the processing; default 30 minutes. */
  readonly processingTimeout?: Duration.Input | undefined
}

/**
 * The target of uploads through the uploader service.
 *
 * @category models
 * @stability rests on effect/FileSystem, effect/http
 * @since 0.1.0
 */
export type Target = UploadTarget.UploadTarget<
  TableUpload,
  Receipt,
  CallError | CircuitBreaker.CircuitOpen | UploaderError.UploaderError,
  FileSystem.FileSystem
>

/**
 * Uploads that the service processes and checks in together, all or none.
 *
 * @category models
 * @stability rests on effect/FileSystem, effect/http
 * @since 0.1.0
 */
export interface Group {
  /**
   * Its uploads end when the group has been processed, so all of them must run at once. They are sent a few at a time. An upload waits
   * for the largest: give the `Uploader` an infinite `responseTimeout`, or it sends the file again.
   */
  readonly target: Target
  /**
   * Say with it that an upload has ended, and whether it is `stored`. Otherwise the others wait for one that failed before it
   * arrived. If it failed, they fail with `GroupNotProcessed`.
   */
  readonly leave: (upload: TableUpload, stored: boolean) => Effect.Effect<void>
}

/**
 * The uploader service as a target of uploads: it takes large files in parts.
 *
 * - `target`: accepts the same items as the target of `TableUploads`.
 * - `group`: a group of these uploads, of one project, each to another table or period; `concurrency` of them are sent at once,
 *   default 4. Its processing ends with the scope.
 *
 * @category services
 * @stability rests on effect/FileSystem, effect/http
 * @since 0.1.0
 */
export class UploaderService extends Context.Service<UploaderService, {
  readonly target: Target
  readonly group: (
    uploads: ReadonlyArray<TableUpload>,
    concurrency?: number
  ) => Effect.Effect<Group, never, Scope.Scope>
}>()("@effect-resilience/tbm-studio/UploaderService") {
  /** The service of the region that the settings name, with all defaults. */
  static readonly layer: Layer.Layer<UploaderService, never, Settings | Frontdoor | HttpClient.HttpClient> = Layer
    .effect(
      UploaderService,
      Effect.suspend(() => make())
    )
  /** `layer` with other options. Throws `RangeError` if an option is out of range. */
  static readonly layerOptions = (
    options: Options
  ): Layer.Layer<UploaderService, never, Settings | Frontdoor | HttpClient.HttpClient> =>
    Layer.effect(UploaderService, make(options))
}

/**
 * How long the `Uploader` should wait for a response of this service: the default `processingTimeout` and 5 minutes more.
 *
 * @category constants
 * @since 0.1.0
 */
export const responseTimeout: Duration.Duration = Duration.minutes(35)

/**
 * The names of the calls of an upload, as access logs and metrics report them.
 *
 * @category constants
 * @since 0.1.0
 */
export const steps: ReadonlySet<string> = stepNames

/**
 * The client of the service. It has no retry: `policy` repeats parts and the calls between them, the `Uploader` an upload.
 *
 * @category models
 * @since 0.1.0
 */
export const description: typeof uploaderDescription = uploaderDescription

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
    policy: options.policy ?? defaultPolicy,
    stallTimeout: Duration.fromInputUnsafe(options.stallTimeout ?? "20 seconds"),
    poll: options.poll ?? defaultPoll,
    processingTimeout: Duration.fromInputUnsafe(options.processingTimeout ?? "30 minutes")
  }
  return Effect.gen(function*() {
    const settings = yield* Settings
    const frontdoor = yield* Frontdoor
    const client = settings.datalink === undefined ? undefined : yield* makeClient(settings.datalink, frontdoor)
    const environment = { settings, frontdoor, client, ...resolved }
    return UploaderService.of({
      target: uploaderTarget.make(environment),
      group: (uploads, concurrency = 4) =>
        Effect.map(UploaderGroup.make(uploads, concurrency), (group) => ({
          target: uploaderTarget.make(environment, group),
          leave: group.leave
        }))
    })
  })
}

const mebibyte = 1024 * 1024

const defaultPolicy = RetryPolicy.make({ times: 8, backoff: Backoff.exponential({ base: 500, cap: 20_000 }) })

const defaultPoll = Schedule.min([Schedule.exponential("500 millis", 1.5), Schedule.spaced("15 seconds")])
