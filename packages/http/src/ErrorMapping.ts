/**
 * Turns every failure of an `HttpClient` into an `ApiError`.
 *
 * **Details**
 *
 * A status other than 2xx fails with the server's own message (at most 64 KiB of the body are read), scrubbed of registered
 * secrets and explained by the integration's message patterns. Redirects are responses like any other: nothing follows
 * them, not even `fetch`, since credentials would travel with them; `Redirects.follow`, below this, lifts that. If a request
 * that is not idempotent may have been applied, the reason is `OutcomeUnknown`: from its first byte on, or from its last if
 * the `Operation` is `appliedWhenWhole`. `Connections` of `@effect-resilience/node` knows how far a request came. With other
 * transports, `fetch` among them, only failures that name themselves count as not applied, such as a refused connection.
 *
 * A response is mapped to its last byte: `text`, `json`, `stream` and the others also fail with an `ApiError`. Their type
 * says `HttpClientError`, since `HttpClientResponse` has no room for another. So no request with a token in it is printed.
 * The attempt reads a JSON body itself: see `body` of the options. If what calls itself JSON is not, such as a page or a text that was
 * cut off, the attempt fails with `UndecodableResponse`.
 *
 * **When to use**
 *
 * Use next to the transport, below retries and authentication: both read the `Recovery` that this produces. Set an
 * attempt's `timeout` here too, since this middleware knows how far the request had come.
 *
 * **Example** (A client with typed failures)
 *
 * ```ts import.meta.vitest
 * import { ErrorMapping, Operation } from "@effect-resilience/http"
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 *
 * const fake = HttpClient.make((request) =>
 *   Effect.succeed(
 *     HttpClientResponse.fromWeb(request, new Response(`{"message":"Table not found"}`, { status: 404 }))
 *   )
 * )
 * const client = ErrorMapping.mapErrors(fake)
 *
 * const failure = client.get("https://api.example.com/tables/GL").pipe(
 *   Operation.within({ name: "read table", endpoint: "/tables/{table}" }),
 *   Effect.flip
 * )
 * const error = await Effect.runPromise(failure)
 * error.reason._tag // => "NotFound"
 * error.message // => "GET /tables/{table} returned 404 Not Found: Table not found. Check the names in the address."
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as ApiError from "@effect-resilience/errors/ApiError"
import * as ErrorBody from "@effect-resilience/errors/ErrorBody"
import * as MessagePattern from "@effect-resilience/errors/MessagePattern"
import type * as Recovery from "@effect-resilience/errors/Recovery"
import * as Repetition from "@effect-resilience/errors/Repetition"
import * as RetryHeaders from "@effect-resilience/errors/RetryHeaders"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as Direct from "@effect-resilience/kernel/Direct"
import * as ManualRedirects from "@effect-resilience/kernel/ManualRedirects"
import * as Rejected from "@effect-resilience/kernel/Rejected"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Tracer from "effect/Tracer"
import * as attemptLimits from "./internal/attemptLimits.ts"
import { attemptOf } from "./internal/call.ts"
import { isBodiless } from "./internal/completeness.ts"
import { apiError, bodyFailure, type FirstReason, isSent, requestIdOf, transportReason } from "./internal/failure.ts"
import type { Malformed } from "./internal/malformed.ts"
import { arrivedWhole, type MapError, MappedResponse, whole, WholeResponse } from "./internal/mappedResponse.ts"
import { watch } from "./internal/requestBody.ts"
import * as Scrubber from "./internal/scrub/current.ts"
import { around, send } from "./internal/sending.ts"
import * as KeptResponse from "./KeptResponse.ts"
import * as Operation from "./Operation.ts"
import * as SendProgress from "./SendProgress.ts"

/**
 * How errors are mapped, how long an attempt may take, and what it reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Explain the API's messages; none by default. */
  readonly patterns?: ReadonlyArray<MessagePattern.MessagePattern> | undefined
  /** How long an attempt may take until its response's headers and what `body` reads have arrived; none by default. */
  readonly timeout?: Duration.Input | undefined
  /**
   * How long until there is a connection, the wait for a free one included. Only transports that report to `SendProgress` can
   * be limited so. None by default.
   */
  readonly connect?: Duration.Input | undefined
  /** How long until the response's headers have arrived; none by default. */
  readonly firstByte?: Duration.Input | undefined
  /**
   * How long between two pieces of the response's body, however it is read; none by default. A reader that takes its time does
   * not count.
   */
  readonly idle?: Duration.Input | undefined
  /**
   * Which bodies of successful responses an attempt reads itself, up to 1 MiB, so that its timeout, its retries and its line in
   * the log include them. `json` by default: JSON is of no use before its end. `whole` reads every body. `stream` reads none:
   * for responses that continue, such as Kubernetes' watches, or are no JSON, although they are called so.
   */
  readonly body?: "json" | "whole" | "stream" | undefined
}

/**
 * Which bodies the attempts of the running call read, in place of the option `body`: for what reads bytes, whatever they are called.
 * By default the option decides.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentBody: Context.Reference<Options["body"]> = /* @__PURE__ */ Context.Reference<Options["body"]>(
  "@effect-resilience/http/ErrorMapping/CurrentBody",
  { defaultValue: () => undefined }
)

/**
 * Makes a client fail with an `ApiError` whenever it does not get a 2xx response. Errors that the client adds itself stay as
 * they are.
 *
 * @category middleware
 * @stability rests on effect/http
 * @since 0.1.0
 */
export const mapErrors: {
  (options?: Options): <E, R>(
    client: HttpClient.HttpClient.With<E, R>
  ) => HttpClient.HttpClient.With<ApiError.ApiError | Exclude<E, HttpClientError.HttpClientError>, R>
  <E, R>(
    client: HttpClient.HttpClient.With<E, R>,
    options?: Options
  ): HttpClient.HttpClient.With<ApiError.ApiError | Exclude<E, HttpClientError.HttpClientError>, R>
} = /* @__PURE__ */ dual((args) => HttpClient.isHttpClient(args[0]), <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  options: Options = {}
) => {
  const limits = attemptLimits.read(options)
  // Only where it can end an attempt before its `timeout` does is a body read piece by piece.
  const watchesPieces = limits.idle < limits.attempt
  const patterns = options.patterns ?? []
  const textMillis = Math.min(errorBodyMillis, limits.attempt)
  const { aborts, begin } = SendProgress.promisesOf(client) ?? none

  type Failure = ApiError.ApiError | Exclude<E, HttpClientError.HttpClientError>

  const attempt = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.contextWith<R, HttpClientResponse.HttpClientResponse, Failure, R>((outside) => {
      const operation = Context.get(outside, Operation.Current)
      const body = watch(request)
      const progress = new SendProgress.SendProgress()
      const held = attemptOf(outside)
      const lifetime = held?.lifetime
      const keeper = lifetime === undefined ? Context.get(outside, KeptResponse.Current) : lifetime.kept
      // A keeper that reads a response further does so before the caller gets it.
      const reads = keeper?.settle ? "whole" : Context.get(outside, CurrentBody) ?? options.body ?? "json"
      const clocks = new attemptLimits.AttemptLimits(limits, progress, Context.get(outside, Clock.Clock), held?.now)
      if (held !== undefined) {
        held.now = undefined
        // The transport may have another client within, and so may the body of the request.
        held.lifetime = undefined
      }
      const failure = (
        reason: FirstReason,
        sent = isSent(operation, "reached" in reason ? reason.reached : progress.reached, body.sent),
        requestId?: string
      ) => {
        const { applied } = progress
        const repetition = Repetition.currentIn(outside)
        return apiError({ operation, request, repetition, reason, sent, applied, requestId })
      }

      // Whatever fails while the body is read outside of the attempt, the request has arrived.
      const mapBodyError: MapError = (error) => asBodyError(bodyFailure(error, (reason) => failure(reason, true)))
      const silent = () =>
        asBodyError(failure(new ApiError.Timeout({ timeout: Duration.millis(limits.idle), phase: "body" }), true))
      const read = (
        response: HttpClientResponse.HttpClientResponse
      ): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> => {
        clocks.arrived()
        if (isReadWhole(response, reads)) {
          return arrivedWhole(response, mapBodyError) ??
            whole(response, Bytes.maxValueBytes, mapBodyError, watchesPieces ? () => clocks.arrived() : undefined)
        }
        // A small body that came with its headers needs no more waiting.
        const arrived = lifetime !== undefined && isSmall(response, reads)
          ? arrivedWhole(response, mapBodyError)
          : undefined
        return arrived ?? Effect.succeed(response)
      }
      const idle = limits.idle === Infinity ? undefined : { millis: limits.idle, error: silent }
      const isAborted = aborts?.(body.request) === true
      const enter = (context: Context.Context<R>) =>
        Context.add(ManualRedirects.inContext(context), SendProgress.Current, progress)
      const late = () => failure(new ApiError.Timeout(clocks.passed))
      const limited = (): Effect.Effect<
        HttpClientResponse.HttpClientResponse,
        E | HttpClientError.HttpClientError | ApiError.ApiError,
        R
      > => {
        const response = Effect.flatMap(send(client, body.request), read)
        return isAborted
          ? Effect.withFiber((fiber) =>
            Effect.onExitPrimitive(
              Effect.suspend(() => {
                fiber.setContext(enter(outside))
                clocks.start(outside)
                return response
              }),
              () => {
                fiber.setContext(outside)
                return clocks.stop()
              }
            )
          )
          : Timeout.withWatchdog(Effect.updateContext(response, enter), {
            remaining: () => clocks.remaining(),
            orElse: () => Effect.suspend(() => Effect.fail(late()))
          })
      }
      const handOut = (response: HttpClientResponse.HttpClientResponse) => {
        // Who has the headers of an earlier response reads this one in its place.
        const isShown = lifetime?.isHandedOver
        if (response instanceof WholeResponse && !isShown) return Effect.succeed(response)
        // The authentication around the attempt will send the request again.
        const isRejected = Context.get(outside, Rejected.Current)
        if (lifetime !== undefined && !isRejected?.(response) && (isShown || hasBody(response))) {
          const mapped = response instanceof MappedResponse ? response : new MappedResponse(response, mapBodyError)
          // Its failures are mapped.
          return lifetime.hold({
            response: mapped,
            mapError: mapBodyError,
            idleMillis: limits.idle,
            silent,
            abort: isAborted ? () => clocks.abort() : undefined
          }) as Effect.Effect<HttpClientResponse.HttpClientResponse, never>
        }
        return Effect.succeed(
          response instanceof MappedResponse ? response : new MappedResponse(response, mapBodyError, idle)
        )
      }
      const onFailure = (cause: Cause.Cause<E | HttpClientError.HttpClientError | ApiError.ApiError>) => {
        if (clocks.aborted && !Cause.hasInterrupts(cause) && !Cause.hasDies(cause)) return Effect.fail(late())
        return Effect.failCause(
          Cause.map(
            cause,
            (error) =>
              mapHttpClientError(error, (cause) => failure(transportReason(cause, progress.reached, body.failed?.())))
          )
        )
      }
      const onSuccess = (
        response: HttpClientResponse.HttpClientResponse
      ): Effect.Effect<HttpClientResponse.HttpClientResponse, Failure> => {
        if (isSuccess(response)) {
          const malformed = malformedOf(response, reads)
          if (malformed !== undefined) {
            const reason = new ApiError.UndecodableResponse({
              status: response.status,
              expected: "JSON",
              ...malformed
            })
            const error = failure(reason, true, requestIdOf(response.headers, Context.get(outside, Scrubber.Current)))
            return keeper === undefined
              ? Effect.fail(error)
              : Effect.andThen(keeper.keep(error, response), Effect.fail(error))
          }
          const handed = handOut(response)
          if (keeper?.settle === undefined) return handed
          const { settle } = keeper
          // What it fails with is the keeper's.
          return Effect.flatMap(
            handed,
            (response) => settle(response, keeper) as Effect.Effect<HttpClientResponse.HttpClientResponse, never>
          )
        }
        const scrubber = Context.get(outside, Scrubber.Current)
        // Read before the error's body: more of the request may leave meanwhile.
        const sent = isSent(operation, progress.reached, body.sent)
        const errorOf: KeptResponse.ErrorOf<ApiError.ApiError> = (beginning, declared, isKnown) =>
          Effect.map(
            reasonOf(response, beginning, patterns, scrubber, textMillis, declared),
            (reason) => failure(reason, sent && isKnown !== true, requestIdOf(response.headers, scrubber))
          )
        return keeper === undefined
          ? Effect.flatMap(errorOf(response.stream), Effect.fail)
          : keeper.reject(response, errorOf, { mapError: mapBodyError, textMillis, idle })
      }
      // Without a lifetime, a response belongs to a scope that only the client around the request knows of.
      if (begin === undefined || !isAborted || lifetime === undefined || isTraced(outside, body.request)) {
        return Effect.matchCauseEffect(limited(), { onFailure, onSuccess })
      }
      return Direct.wait({
        [Direct.direct]: (context) => {
          clocks.start(context)
          const sent = begin(body.request, context, progress)
          const whole = Direct.follow(sent, context, (exit) => Exit.isSuccess(exit) ? read(exit.value) : exit)
          return Direct.follow(whole, context, (exit) => {
            clocks.stop()
            return Exit.isSuccess(exit) ? onSuccess(exit.value) : onFailure(exit.cause)
          })
        }
      })
    })

  return around<Failure, R>(attempt, (request) => {
    const prepared = client.preprocess(request)
    if (Exit.isExit(prepared) && Exit.isSuccess(prepared)) {
      return Effect.succeed(prepared.value as HttpClientRequest.HttpClientRequest)
    }
    return Effect.flatMap(
      Operation.Current,
      (operation) =>
        Effect.mapError(
          prepared,
          (error) =>
            mapHttpClientError(error, (cause) =>
              apiError({ operation, request, reason: transportReason(cause), sent: false }))
        )
    )
  })
})

const none: SendProgress.Promises = {}

/** Whether the transport makes a span of the request. */
const isTraced = (context: Context.Context<never>, request: HttpClientRequest.HttpClientRequest): boolean =>
  !Context.get(context, Tracer.DisablePropagation) && !Context.get(context, HttpClient.TracerDisabledWhen)(request)

const isSuccess = ({ request, status }: HttpClientResponse.HttpClientResponse): boolean =>
  (status >= 200 && status < 300) || (status === 101 && request.headers["upgrade"] !== undefined)

const hasBody = (response: HttpClientResponse.HttpClientResponse): boolean =>
  response.status !== 101 && !isBodiless(response) && response.headers["content-length"] !== "0"

const isReadWhole = (
  response: HttpClientResponse.HttpClientResponse,
  reads: "json" | "whole" | "stream"
): boolean => {
  if (reads === "stream" || !isSuccess(response) || !hasBody(response)) return false
  const { headers } = response
  return !(Number(headers["content-length"]) > Bytes.maxValueBytes) &&
    (reads === "whole" || isJson.test(headers["content-type"] ?? ""))
}

const isSmall = (
  response: HttpClientResponse.HttpClientResponse,
  reads: "json" | "whole" | "stream"
): boolean =>
  reads !== "stream" && isSuccess(response) && hasBody(response) &&
  Number(response.headers["content-length"]) <= smallBody

/** What a body that is called JSON is instead, where the attempt has read it. A range of JSON is none. */
const malformedOf = (
  response: HttpClientResponse.HttpClientResponse,
  reads: "json" | "whole" | "stream"
): Malformed | undefined =>
  reads !== "stream" && response.status !== 206 && response instanceof WholeResponse &&
    isJson.test(response.headers["content-type"] ?? "")
    ? response.malformed
    : undefined

/** In bytes: what arrives with the headers, mostly. */
const smallBody = 65_536

const isJson = /^\s*application\/(?:[^\s;/]+\+)?json\s*(?:;|$)/i

// A response's type has no room for errors other than the client's own. Handlers of those receive this one too.
const asBodyError = (error: ApiError.ApiError): HttpClientError.HttpClientError =>
  error as unknown as HttpClientError.HttpClientError

const reasonOf = /* @__PURE__ */ Effect.fnUntraced(function*(
  response: HttpClientResponse.HttpClientResponse,
  stream: HttpClientResponse.HttpClientResponse["stream"],
  patterns: ReadonlyArray<MessagePattern.MessagePattern>,
  scrubber: Scrubber.Scrubber,
  textMillis: number,
  declared?: Recovery.Recovery
) {
  const body = yield* Bytes.readAtMost(stream, ErrorBody.maxBytes).pipe(
    Effect.timeout(textMillis),
    Effect.orElseSucceed(() => ({ bytes: new Uint8Array(0), truncated: true }))
  )
  // Scrubbed before it is cut: no scrubber recognizes the beginning of a secret. What the cap has cut may end in one, so its
  // end is dropped.
  const text = scrubber.scrub(new TextDecoder().decode(body.bytes))
  const { code, kind, message } = ErrorBody.parse(body.truncated ? text.slice(0, -longestSecret) : text, {
    contentType: response.headers["content-type"],
    truncated: body.truncated
  })
  const detail = redirectTarget(response) ?? message
  const pattern = detail === undefined ? undefined : MessagePattern.match(patterns, detail)
  const headers = RetryHeaders.read(response, yield* Clock.currentTimeMillis)
  return ApiError.reasonFromStatus(response.status, {
    detail: detail === undefined ? undefined : scrubber.scrub(detail),
    code,
    page: kind === "html" ? true : undefined,
    remedy: pattern?.remedy,
    recovery: declared ?? pattern?.recovery ?? headers.recovery,
    retryAfter: headers.retryAfter
  })
})

/** In characters, in any encoding. */
const longestSecret = 4_096

/** How long the body of an error may take, at most as long as an attempt: its status is known, its text not worth a long wait. */
const errorBodyMillis = 5_000

const redirectTarget = (response: HttpClientResponse.HttpClientResponse): string | undefined => {
  const location = response.headers["location"]
  if (response.status < 300 || response.status > 399) return undefined
  if (location === undefined || !URL.canParse(location, response.request.url)) return undefined
  return `redirects to ${new URL(location, response.request.url).origin}`
}

const mapHttpClientError = <E>(
  error: E,
  f: (error: HttpClientError.HttpClientError) => ApiError.ApiError
): ApiError.ApiError | Exclude<E, HttpClientError.HttpClientError> =>
  HttpClientError.isHttpClientError(error) ? f(error) : error as Exclude<E, HttpClientError.HttpClientError>
