/**
 * One error for each way in which a call to an HTTP API can fail.
 *
 * **Details**
 *
 * `ApiError` says which call failed; its `reason`, a union of tagged classes, says how. Each reason has its `Recovery`.
 * All fields are on an allow-list: an `ApiError` contains no raw request, response, header or cause, so it can be logged
 * as it is.
 *
 * **Example** (Handling one reason)
 *
 * ```ts import.meta.vitest
 * import { ApiError } from "@effect-resilience/errors"
 * import { Effect } from "effect"
 *
 * const lookup = Effect.fail(
 *   new ApiError.ApiError({
 *     method: "GET",
 *     endpoint: "/tables/{table}",
 *     reason: ApiError.reasonFromStatus(404, { detail: "Table not found" })
 *   })
 * )
 *
 * const rows = lookup.pipe(Effect.catchReason("ApiError", "NotFound", () => Effect.succeed("no rows yet")))
 * await Effect.runPromise(rows) // => "no rows yet"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as ForeignText from "./ForeignText.ts"
import { inWords } from "./internal/inWords.ts"
import { isLocal } from "./internal/local.ts"
import { transportRecovery } from "./internal/transportRecovery.ts"
import * as NotAsked from "./NotAsked.ts"
import * as Recovery from "./Recovery.ts"
import * as Repetition from "./Repetition.ts"
import * as Transport from "./Transport.ts"

/**
 * A call to an HTTP API failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApiError extends ErrorMessage.TaggedError("ApiError")<{
  /** The HTTP method, such as `POST`. */
  readonly method: string
  /** The path as a template (`/tables/{table}`), so that errors group well and contain no names. */
  readonly endpoint: string
  /** What happened, with the `Recovery` that the error takes over. */
  readonly reason: Reason
  /** The server's id of this request, for its support. */
  readonly requestId?: string | undefined
  /** True where the request must not be applied twice, and failed before the server had what it needs to apply it. */
  readonly unsent?: true | undefined
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.reason[Recovery.symbol]()
  }

  get [Repetition.notApplied](): boolean {
    return !mayHaveBeenApplied(this.reason, this.unsent !== true)
  }

  get [NotAsked.symbol](): boolean {
    return NotAsked.isNotAsked(this.reason)
  }

  /** What happened, where, and what to do. */
  override get message(): string {
    const reference = this.requestId === undefined ? "" : ` (request id ${ForeignText.oneLine(this.requestId, 128)})`
    return `${this.method} ${this.endpoint} ${this.reason.message}${reference}`
  }
}

/**
 * What all responses with an error status have in common.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorResponse {
  /** The HTTP status. */
  readonly status: number
  /** The server's own message, in one line. */
  readonly detail?: string | undefined
  /** The server's own name for the error, such as OAuth's `invalid_client`. */
  readonly code?: string | undefined
  /** True if the body is an HTML page: then a proxy or firewall in front of the API may have responded. */
  readonly page?: boolean | undefined
  /** What helps, from a `MessagePattern`. */
  readonly remedy?: string | undefined
  /** The time before which the server does not want another request. */
  readonly retryAfter?: Duration.Duration | undefined
  /** Replaces the recovery of the status. */
  readonly recovery?: Recovery.Recovery | undefined
}

/**
 * 400: the request is malformed.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Data.TaggedError("BadRequest")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Bad Request", "Correct the URL, the parameters or the body.")
  }
}

/**
 * 401: the token is missing, expired or revoked.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Data.TaggedError("Unauthorized")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Unauthorized", "Log in again.")
  }
}

/**
 * 403: a permission is missing. A new login does not help.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Data.TaggedError("Forbidden")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Forbidden", "Check the permissions of these credentials.")
  }
}

/**
 * 404: it does not exist.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotFound extends Data.TaggedError("NotFound")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Not Found", "Check the names in the address.")
  }
}

/**
 * 409: the request conflicts with the current state, for example with a lock of another client.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Conflict extends Data.TaggedError("Conflict")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Conflict", "Check who else changes it.")
  }
}

/**
 * 413: the body is larger than the server accepts.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PayloadTooLarge extends Data.TaggedError("PayloadTooLarge")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Content Too Large", "Send it in smaller pieces.")
  }
}

/**
 * 422: well formed, but the content does not make sense to the server.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unprocessable extends Data.TaggedError("Unprocessable")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Unprocessable Content", "Correct the content.")
  }
}

/**
 * 429: too many requests; the server did not process this one.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Data.TaggedError("RateLimited")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Too Many Requests", "Slow down.")
  }
}

/**
 * 500: the server failed.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InternalServerError extends Data.TaggedError("InternalServerError")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Internal Server Error", "If it persists, contact the service's support.")
  }
}

/**
 * 502: a gateway got no usable response from the server behind it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadGateway extends Data.TaggedError("BadGateway")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Bad Gateway", "If it persists, contact the service's support.")
  }
}

/**
 * 503: overloaded or in maintenance.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ServiceUnavailable extends Data.TaggedError("ServiceUnavailable")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Service Unavailable", "Try again later.")
  }
}

/**
 * 504: a gateway waited too long for the server behind it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class GatewayTimeout extends Data.TaggedError("GatewayTimeout")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    return responseMessage(this, "Gateway Timeout", "If it persists, contact the service's support.")
  }
}

/**
 * Any other status that is not a success. 408 and 425 are transient, since the server says that it did not process the
 * request, and so are the 5xx of proxies, such as 520 to 530. A repetition does not change the rest: all other 3xx and 4xx,
 * and what a server cannot do at all (501, 505, 506, 508, 510, 511).
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedStatus extends Data.TaggedError("UnexpectedStatus")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    const [title, remedy] = named[this.status] ?? (this.status >= 300 && this.status < 400
      ? ["(a redirect, not followed)", "Check the configured address."]
      : ["(unexpected)", "Check the request against the API's documentation."])
    return responseMessage(this, title, remedy)
  }
}

/**
 * No response: there was no connection, or it broke.
 *
 * - `responded`: whether a response had begun, which broke off.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TransportFailure extends Data.TaggedError("TransportFailure")<
  Transport.Diagnosis & { readonly responded?: true | undefined }
> {
  get [NotAsked.symbol](): boolean {
    return isLocal(this)
  }
  [Recovery.symbol](): Recovery.Recovery {
    return transportRecovery(this) ?? Recovery.retry
  }
  override get message(): string {
    return `got ${this.responded === true ? "a response that broke off" : "no response"}: ${Transport.explain(this)}${
      this.code === undefined ? "" : ` (${ForeignText.oneLine(this.code, 128)})`
    }.`
  }
}

/**
 * Something did not come within `timeout`. `phase` says what: a connection, the next bytes to leave, the response's headers,
 * the next piece of its body, or the end of the attempt.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Timeout extends Data.TaggedError("Timeout")<{
  readonly timeout: Duration.Duration
  readonly phase: "connect" | "send" | "response" | "body" | "attempt"
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    const [missing, remedy] = timeoutText[this.phase]
    return `${missing} within ${inWords(this.timeout)}. ${remedy}`
  }
}

/**
 * A success status, but not the expected response: an empty body, an HTML login page, another shape. It is never a success.
 *
 * - `expected`, `got`: descriptions of shapes, not contents.
 *
 * **Gotchas**
 *
 * Its `_tag` is `UndecodableAnswer`, as reports, logs, metrics and journals have it.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UndecodableResponse extends Data.TaggedError("UndecodableAnswer")<{
  /** The HTTP status. */
  readonly status: number
  readonly expected: string
  readonly got: string
  /** What helps. */
  readonly remedy?: string | undefined
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `returned ${this.status} with ${ForeignText.oneLine(this.got)} where ${this.expected} was expected. ${
      this.remedy ?? "Check that the address is the API's own, not a login page or a proxy."
    }`
  }
}

/**
 * The request may or may not have been applied, and a repetition could apply it twice. `failure` is the observed failure.
 *
 * @category reasons
 * @since 0.1.0
 */
export class OutcomeUnknown extends Data.TaggedError("OutcomeUnknown")<{
  readonly failure: Exclude<Reason, OutcomeUnknown | PartsDelivered>
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    return `${this.failure.message} It may still have been applied: check before repeating it.`
  }
}

/**
 * A response broke off after the caller had got `bytes` of its body. `failure` is the observed failure. A repetition would
 * begin with the first byte again, so no policy repeats the request: continue where it broke off, or drop what came and ask
 * again.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PartsDelivered extends Data.TaggedError("PartsDelivered")<{
  readonly failure: Exclude<Reason, PartsDelivered>
  readonly bytes: number
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    return `${this.failure.message} ${this.bytes} bytes of the response had been delivered: continue after them, or drop them.`
  }
}

/**
 * Reasons with the HTTP status of an error response.
 *
 * @category models
 * @since 0.1.0
 */
export type ResponseReason =
  | BadRequest
  | Unauthorized
  | Forbidden
  | NotFound
  | Conflict
  | PayloadTooLarge
  | Unprocessable
  | RateLimited
  | InternalServerError
  | BadGateway
  | ServiceUnavailable
  | GatewayTimeout
  | UnexpectedStatus

/**
 * The ways in which a call can fail.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = ResponseReason | TransportFailure | Timeout | UndecodableResponse | OutcomeUnknown | PartsDelivered

/**
 * The reason for a status.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reasonFromStatus = (status: number, response: Omit<ErrorResponse, "status"> = {}): ResponseReason =>
  new (byStatus[status] ?? UnexpectedStatus)({ ...response, status })

/**
 * The HTTP status of a reason, if it has one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const statusOf = (reason: Reason): number | undefined => {
  const first = observed(reason)
  return "status" in first ? first.status : undefined
}

/**
 * What was observed: the reason itself, or the failure inside an `OutcomeUnknown` or `PartsDelivered`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const observed = (reason: Reason): Exclude<Reason, OutcomeUnknown | PartsDelivered> =>
  reason._tag === "OutcomeUnknown" || reason._tag === "PartsDelivered" ? observed(reason.failure) : reason

/**
 * Whether the server may have applied a failed request.
 *
 * It has certainly not applied a request that it cannot have read (`Transport.mayHaveBeenRead`), that it rejected (any 3xx or
 * 4xx), or of which too little was sent. `sent` is false while the server lacks what it needs to apply the request: the first
 * byte, or the last, for an operation that is applied only as a whole.
 *
 * @category accessors
 * @since 0.1.0
 */
export const mayHaveBeenApplied = (reason: Reason, sent: boolean): boolean => {
  switch (reason._tag) {
    case "TransportFailure":
      return Transport.mayHaveBeenRead(reason) && sent
    case "Timeout":
      return reason.phase !== "connect" && sent
    case "UndecodableAnswer":
    case "OutcomeUnknown":
    case "PartsDelivered":
      return true
    default:
      return reason.status >= 500 && sent
  }
}

const byStatus: { readonly [status: number]: new(response: ErrorResponse) => ResponseReason } = {
  400: BadRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  409: Conflict,
  413: PayloadTooLarge,
  422: Unprocessable,
  429: RateLimited,
  500: InternalServerError,
  502: BadGateway,
  503: ServiceUnavailable,
  504: GatewayTimeout
}

const recoveryOf = ({ recovery, retryAfter, status }: ErrorResponse): Recovery.Recovery => {
  const known = recovery ?? Recovery.fromStatus(status, retryAfter)
  return known._tag === "Retry" && known.after === undefined && retryAfter !== undefined
    ? { ...known, after: retryAfter }
    : known
}

// `usualRemedy` fits the usual recovery of the status.
const responseMessage = (response: ErrorResponse, title: string, usualRemedy: string): string => {
  const recovery = recoveryOf(response)
  const detail = response.detail === undefined ? "" : `: ${ForeignText.oneLine(response.detail).replace(/[.\s]+$/, "")}`
  const usual = recovery._tag === Recovery.fromStatus(response.status)._tag
  const remedy = response.remedy ?? (usual ? usualRemedy : otherwise[recovery._tag])
  const wait =
    recovery._tag === "Retry" && recovery.after !== undefined && Duration.isGreaterThan(recovery.after, Duration.zero)
      ? ` Not before ${inWords(recovery.after)}.`
      : ""
  return `returned ${response.status} ${title}${detail}. ${remedy}${wait}`
}

const otherwise: { readonly [tag in Recovery.Recovery["_tag"]]: string } = {
  Retry: "Try again later.",
  Reauthenticate: "Log in again.",
  Correct: "Correct the request.",
  Authorize: "Check the permissions of these credentials.",
  Verify: "Check whether it was applied before repeating it.",
  GiveUp: "Do not repeat it."
}

const named: { readonly [status: number]: readonly [title: string, remedy: string] } = {
  304: ["Not Modified", "What the caller has is up to date."],
  405: ["Method Not Allowed", "Check the address and the method against the API's documentation."],
  408: ["Request Timeout", "The request came too slowly. Try again."],
  410: ["Gone", "It does not exist any more."],
  423: ["Locked", "Try again when it is no longer locked."],
  425: ["Too Early", "Try again."],
  501: ["Not Implemented", "The server cannot do this."]
}

const timeoutText: { readonly [phase in Timeout["phase"]]: readonly [missing: string, remedy: string] } = {
  connect: ["got no connection", "Check the address, the network, and whether all connections are in use."],
  send: ["stalled: no byte left", "Check the network."],
  response: ["got no response", "Allow it more time if the server needs it."],
  body: ["got no further piece of the body", "Allow more time between two pieces if the server pauses."],
  attempt: ["did not finish", "Allow it more time if the server needs it."]
}
