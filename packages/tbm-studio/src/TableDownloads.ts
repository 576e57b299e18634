/**
 * Downloads tables from TBM Studio.
 *
 * **When to use**
 *
 * Use it to keep what an upload replaces, or to look whether an `append` of unknown outcome has arrived.
 *
 * **Details**
 *
 * A table and period is downloaded as TSV, through the v2 path whatever version uploads use. A download succeeds only if it is
 * whole: as long as the response announces. Where the connection breaks, it begins again, since the service names no version
 * that could be continued. A page, JSON or a file of another format with status 200 is a failure.
 *
 * **Gotchas**
 *
 * What was uploaded just now may be missing: the vendor's pages do not say when a table shows it.
 *
 * **Example** (Counting the bytes of a table)
 *
 * ```ts import.meta.vitest
 * import { TableAddress, TableDownloads } from "@effect-resilience/tbm-studio"
 * import { Effect, Layer, Stream } from "effect"
 *
 * const bytesOf = Effect.gen(function*() {
 *   const { read } = yield* TableDownloads.TableDownloads
 *   const address = yield* Effect.fromResult(
 *     TableAddress.make({ project: "Cost Transparency", table: "GL Data", period: "January:2024" })
 *   )
 *   return yield* read(address, (bytes) => Stream.runFold(bytes, () => 0, (sum, chunk) => sum + chunk.length))
 * })
 *
 * // Instead of `TableDownloads.TableDownloads.layer`, a table for a test:
 * const table = Layer.succeed(TableDownloads.TableDownloads, {
 *   read: (_, use) => use(Stream.make(new TextEncoder().encode("Account\tAmount\n")))
 * })
 * await Effect.runPromise(Effect.provide(bytesOf, table)) // => 15
 * ```
 *
 * @stability rests on effect/http
 * @since 0.1.0
 */
import * as Download from "@effect-resilience/client/Download"
import * as ResilientClient from "@effect-resilience/client/ResilientClient"
import * as PartsDelivered from "@effect-resilience/errors/PartsDelivered"
import * as AccessLog from "@effect-resilience/http/AccessLog"
import * as Operation from "@effect-resilience/http/Operation"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Telemetry from "@effect-resilience/http/Telemetry"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as FileFormat from "@effect-resilience/upload/FileFormat"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { attach, type CallError, Frontdoor } from "./Frontdoor.ts"
import { reportedErrorOf, undecodable } from "./internal/reportedError.ts"
import * as Messages from "./Messages.ts"
import { Settings } from "./Settings.ts"
import * as TableAddress from "./TableAddress.ts"

/**
 * What a download fails with.
 *
 * @category errors
 * @since 0.1.0
 */
export type Failure = CallError | Download.DownloadError

/**
 * The bytes of a table, in UTF-8.
 *
 * @category models
 * @since 0.1.0
 */
export type Bytes = Stream.Stream<Uint8Array, Failure>

/**
 * Reads tables.
 *
 * - `read`: gives the bytes of a table to `use`, and runs it again from the beginning where the connection breaks: up to 4
 *   attempts in all, by `RetryPolicy.standard`.
 *
 * @category services
 * @since 0.1.0
 */
export class TableDownloads extends Context.Service<TableDownloads, {
  readonly read: <A, E, R>(
    address: TableAddress.TableAddress,
    use: (bytes: Bytes) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}>()("@effect-resilience/tbm-studio/TableDownloads") {
  /** Downloads from the API that the settings name, with a token of the frontdoor. */
  static readonly layer: Layer.Layer<TableDownloads, never, Settings | Frontdoor | HttpClient.HttpClient> = Layer
    .effect(
      TableDownloads,
      Effect.suspend(() => makeService)
    )
}

const operation: Operation.Operation = {
  name: "download table",
  endpoint: TableAddress.downloadTemplate,
  idempotent: true
}

const description = (settings: { readonly api: string }) => ({
  name: `${settings.api} downloads`,
  baseUrl: settings.api,
  // A large table takes as long as it takes, but its bytes move.
  timeouts: { attempt: "5 minutes", idle: "1 minute", total: "Infinity" },
  pipeline: {}
} as const)

const makeService = Effect.gen(function*() {
  const settings = yield* Settings
  const frontdoor = yield* Frontdoor
  const client = HttpClient.transformResponse(
    yield* ResilientClient.make({
      ...description(settings),
      auth: ResilientClient.tokens(frontdoor.tokens, { attach })
    }, { patterns: Messages.patterns }),
    Effect.tap(notAPage)
  )

  const bytesOf = (address: TableAddress.TableAddress): Bytes =>
    Stream.unwrap(Effect.map(frontdoor.environmentId, (environmentId) => {
      const request = HttpClientRequest.get(TableAddress.downloadPath(address, settings.domain), {
        headers: { accept: tsv, "apptio-current-environment": environmentId }
      })
      let begun = false
      return Stream.tap(Download.stream(client, request), (chunk) => {
        if (begun) return Effect.void
        begun = true
        const format = FileFormat.of(chunk)
        return format === undefined ? Effect.void : Effect.fail(
          new Download.DownloadError({ reason: "Unexpected", got: `a file that ${FileFormat.describe(format)}` })
        )
      })
    })).pipe(Stream.mapError((error) => error instanceof PartsDelivered.PartsDelivered ? error.failure : error))

  return TableDownloads.of({
    read: (address, use) =>
      Effect.suspend(() => {
        let broken: unknown
        const bytes = Stream.tapError(bytesOf(address), (error) =>
          Effect.sync(() => {
            broken = error
          }))
        return use(bytes).pipe(
          RetryPolicy.retry(RetryPolicy.standard, {
            // What the client has retried is not retried again, nor is a failure of `use`.
            when: (error) => error === broken && RetryPolicy.history(error) === undefined
          }),
          Telemetry.observeCall,
          AccessLog.logCall,
          Operation.within(operation)
        )
      })
  })
})

const tsv = "text/tab-separated-values"

/** Fails with what a response with status 200 contains if its type shows that it is no table. */
const notAPage = (response: HttpClientResponse.HttpClientResponse) => {
  const type = response.headers["content-type"] ?? ""
  if (/\bhtml\b/i.test(type)) return undecodable(response, tsv, "an HTML page")
  return /\bjson\b/i.test(type)
    ? Effect.flatMap(
      ResponseBody.json(response, Schema.Unknown),
      (body) => undecodable(response, tsv, reportedErrorOf(body, false) ?? "JSON")
    )
    : Effect.void
}
