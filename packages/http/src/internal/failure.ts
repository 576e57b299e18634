import * as ApiError from "@effect-resilience/errors/ApiError"
import * as ForeignText from "@effect-resilience/errors/ForeignText"
import type * as Repetition from "@effect-resilience/errors/Repetition"
import * as Transport from "@effect-resilience/errors/Transport"
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Operation from "../Operation.ts"
import type { Scrubber } from "./scrub/current.ts"

/**
 * The reason that stands for a failure below the level of HTTP. `reached` is how far the attempt came; the error may know
 * only the attempt's last request. `bodyFailed` says whether the source of the request's body has failed, which is no failure of the
 * connection, whatever the transport takes it for.
 */
export const transportReason = (
  error: HttpClientError.HttpClientError,
  reached?: Transport.Reached,
  bodyFailed = false
): ApiError.TransportFailure | ApiError.UndecodableResponse => {
  const { reason } = error
  switch (reason._tag) {
    case "InvalidUrlError":
      return new ApiError.TransportFailure({ kind: "address", code: undefined, connected: false })
    case "EncodeError":
      return new ApiError.TransportFailure({ kind: "body", code: undefined, connected: false })
    case "TransportError":
      return new ApiError.TransportFailure({ ...diagnose(reason, reached), ...(bodyFailed && { kind: "body" }) })
    default: {
      const diagnosis = Transport.diagnose(reason.cause)
      return diagnosis.kind === "unknown"
        ? new ApiError.UndecodableResponse({
          status: reason.response.status,
          expected: "a readable body",
          got: "something else"
        })
        // A response has begun.
        : new ApiError.TransportFailure({ ...diagnosis, connected: true, responded: true })
    }
  }
}

const diagnose = (reason: HttpClientError.HttpClientErrorReason, reached: Transport.Reached | undefined) => {
  const diagnosis = Transport.diagnose(reason)
  // The error of `fetch` does not name itself. Whatever the transport, it has not sent such a header.
  const detail = unsendable(reason.request.headers)
  if (detail !== undefined) return { ...diagnosis, kind: "request" as const, connected: false, detail }
  const farther = reached !== undefined && reached !== "nothing" &&
    (diagnosis.reached === undefined || !Transport.isAtLeast(diagnosis.reached, reached))
  return farther ? { ...diagnosis, reached, connected: true } : diagnosis
}

const unsendable = (headers: Headers.Headers): string | undefined =>
  Object.keys(headers).find((name) => {
    try {
      return !new globalThis.Headers([[name, headers[name] ?? ""]])
    } catch {
      return true
    }
  })

/**
 * Whether as much of a request was sent as a server needs to apply it: the first byte, or all of them if the operation is
 * applied only when whole. `handedOver` says whether the transport has taken the whole body; it counts only for transports
 * that do not report how far the request came.
 */
export const isSent = (
  operation: Operation.Operation | undefined,
  reached: Transport.Reached | undefined,
  handedOver: () => boolean
): boolean => {
  if (operation?.appliedWhenWhole === true) return reached === undefined ? handedOver() : reached === "all"
  return reached === undefined || Transport.isAtLeast(reached, "partOfHead")
}

/** What was observed. */
export type FirstReason = ReturnType<typeof ApiError.observed>

/**
 * Puts a reason into the terms of the call: a request that must not be repeated, but may have been applied, has an
 * unknown outcome.
 */
export const apiError = (options: {
  readonly operation: Operation.Operation | undefined
  readonly request: HttpClientRequest.HttpClientRequest
  readonly reason: FirstReason
  readonly sent: boolean
  /** Whether it was applied, whatever the reason says of another request. */
  readonly applied?: boolean
  readonly repetition?: Repetition.Repetition | undefined
  readonly requestId?: string | undefined
}): ApiError.ApiError => {
  const { applied = false, operation, reason, repetition, request, requestId, sent } = options
  const once = repetition === "unlessApplied" || !Operation.isIdempotent(operation, request)
  return new ApiError.ApiError({
    method: request.method,
    endpoint: Operation.endpointOf(operation),
    reason: once && (applied || ApiError.mayHaveBeenApplied(reason, sent))
      ? new ApiError.OutcomeUnknown({ failure: reason })
      : reason,
    requestId,
    ...(once && !sent && ApiError.mayHaveBeenApplied(reason, true) && { unsent: true as const })
  })
}

/**
 * The `ApiError` of a body that could not be read. The bodies of a client that `ErrorMapping` has mapped already fail with
 * one, though responses have no type for that.
 */
export const bodyFailure = (
  error: unknown,
  f: (reason: ApiError.TransportFailure | ApiError.UndecodableResponse) => ApiError.ApiError
): ApiError.ApiError =>
  error instanceof ApiError.ApiError
    ? error
    : f(HttpClientError.isHttpClientError(error) ? transportReason(error) : unreadable)

const unreadable = /* @__PURE__ */ new ApiError.TransportFailure({
  kind: "unknown",
  code: undefined,
  connected: true,
  responded: true
})

/** The server's id of the request, from the headers that are commonly used for it. */
export const requestIdOf = (headers: Headers.Headers, scrubber: Scrubber): string | undefined => {
  for (const name of requestIdHeaders) {
    const value = headers[name]
    if (value !== undefined && value !== "") return ForeignText.oneLine(scrubber.scrub(value), 128)
  }
  return undefined
}

const requestIdHeaders = [
  "x-request-id",
  "request-id",
  "x-correlation-id",
  "x-amzn-requestid",
  "x-ms-request-id",
  "x-amz-request-id",
  "cf-ray"
]

/**
 * A name for what went wrong that groups well: the tag of an `ApiError`'s reason, or the tag of any other error. `undefined`
 * for a success.
 */
export const reasonTag = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const error = failureOf(exit)
  if (error !== undefined) return errorTag(error)
  return Cause.hasInterruptsOnly(exit.cause) ? "Interrupted" : "Defect"
}

/** The first typed failure, if any. */
export const failureOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined

const errorTag = (error: unknown): string => {
  if (error instanceof ApiError.ApiError) return ApiError.observed(error.reason)._tag
  return ErrorName.reasonTagOf(error) ?? ErrorName.nameOf(error)
}
