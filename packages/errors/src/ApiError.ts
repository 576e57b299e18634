/**
 * One error for everything that can go wrong with a call to an HTTP API.
 *
 * **Details**
 *
 * `ApiError` says which call failed; its `reason`, a union of tagged classes, says how. Each reason knows its `Recovery`.
 * Every field is on an allow-list: no raw request, response, header or cause is kept, so an `ApiError` can be logged as
 * it is.
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
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as ForeignText from "./ForeignText.ts"
import { inWords } from "./internal/inWords.ts"
import { isLocal } from "./internal/local.ts"
import { transportRecovery } from "./internal/transportRecovery.ts"
import * as NotAsked from "./NotAsked.ts"
import * as Recovery from "./Recovery.ts"
import * as Transport from "./Transport.ts"

/**
 * A call to an HTTP API failed.
 *
 * - `endpoint`: the path as a template (`/tables/{table}`), so that it groups well and holds no names.
 * - `requestId`: what the server calls this request, for its support.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApiError extends Data.TaggedError("ApiError")<{
  readonly method: string
  readonly endpoint: string
  readonly reason: Reason
  readonly requestId?: string | undefined
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return this.reason[Recovery.symbol]()
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
 * What every answer with an error status has in common.
 *
 * - `detail`: the server's own message, one line.
 * - `code`: the server's own name for it, such as OAuth's `invalid_client`.
 * - `page`: whether the body is an HTML page, which for an API means that a proxy or firewall in front of it may have responded.
 * - `remedy`: what helps, where a `MessagePattern` knew.
 * - `retryAfter`: the time before which the server does not want to be asked again.
 * - `recovery`: replaces the one that the status stands for.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorResponse {
  readonly status: number
  readonly detail?: string | undefined
  readonly code?: string | undefined
  readonly page?: boolean | undefined
  readonly remedy?: string | undefined
  readonly retryAfter?: Duration.Duration | undefined
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
 * 404: no such thing.
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
 * 409: the request conflicts with the present state, for example with a lock that someone else holds.
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
 * 429: too many requests; not processed.
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
 * 502: a gateway got no usable answer from the server behind it.
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
 * request, and so are the 5xx of proxies, such as 520 to 530. The rest stays as it is however often it is repeated: every
 * 3xx and 4xx, and what a server cannot do at all (501, 505, 506, 508, 510, 511).
 *
 * @category reasons
 * @since 0.1.0
 */
export class UnexpectedStatus extends Data.TaggedError("UnexpectedStatus")<ErrorResponse> {
  [Recovery.symbol](): Recovery.Recovery {
    return recoveryOf(this)
  }
  override get message(): string {
    const [title, advice] = named[this.status] ?? (this.status >= 300 && this.status < 400
      ? ["(a redirect, not followed)", "Check the configured address."]
      : ["(unexpected)", "Check the request against the API's documentation."])
    return responseMessage(this, title, advice)
  }
}

/**
 * No response: the connection was refused, broke, or was never made.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TransportFailure extends Data.TaggedError("TransportFailure")<Transport.Diagnosis> {
  get [NotAsked.symbol](): boolean {
    return isLocal(this)
  }
  [Recovery.symbol](): Recovery.Recovery {
    return transportRecovery(this) ?? Recovery.retry
  }
  override get message(): string {
    return `got no response: ${Transport.explain(this)}${
      this.code === undefined ? "" : ` (${ForeignText.oneLine(this.code, 128)})`
    }.`
  }
}

/**
 * No answer in time. `phase` tells what was waited for: a connection, the next bytes to leave, or the answer.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Timeout extends Data.TaggedError("Timeout")<{
  readonly timeout: Duration.Duration
  readonly phase: "connect" | "send" | "response" | "attempt"
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.retry
  }
  override get message(): string {
    return `${timeoutText[this.phase]} within ${inWords(this.timeout)}.`
  }
}

/**
 * A success status, but not the answer that was expected: an empty body, an HTML login page, another shape. It is never
 * a success. `expected` and `got` describe shapes, not contents; `remedy` is what helps.
 *
 * @category reasons
 * @since 0.1.0
 */
export class UndecodableResponse extends Data.TaggedError("UndecodableAnswer")<{
  readonly status: number
  readonly expected: string
  readonly got: string
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
 * The request may or may not have been applied, and repeating it could apply it twice. `failure` is what was seen.
 *
 * @category reasons
 * @since 0.1.0
 */
export class OutcomeUnknown extends Data.TaggedError("OutcomeUnknown")<{
  readonly failure: Exclude<Reason, OutcomeUnknown>
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.verify
  }
  override get message(): string {
    return `${this.failure.message} It may have been applied all the same: check before repeating it.`
  }
}

/**
 * Reasons that come with an HTTP status.
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
 * All the ways in which a call can fail.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = ResponseReason | TransportFailure | Timeout | UndecodableResponse | OutcomeUnknown

/**
 * The reason that a status stands for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reasonFromStatus = (status: number, response: Omit<ErrorResponse, "status"> = {}): ResponseReason =>
  new (byStatus[status] ?? UnexpectedStatus)({ ...response, status })

/**
 * The HTTP status that a reason came with, if any.
 *
 * @category accessors
 * @since 0.1.0
 */
export const statusOf = (reason: Reason): number | undefined => {
  if (reason._tag === "OutcomeUnknown") return statusOf(reason.failure)
  return "status" in reason ? reason.status : undefined
}

/**
 * Whether a failed request may have been applied by the server all the same.
 *
 * It was certainly not applied where the server cannot have read it (`Transport.mayHaveBeenRead`), where the server said
 * that it rejects the request (any 3xx or 4xx), and where too little of it was sent: `sent` is false as long as the
 * server lacks what it needs to apply the request. That is the first byte, or for an operation that is applied only when
 * whole, the last.
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
    ? Recovery.retryAfter(retryAfter)
    : known
}

// The advice of a status holds for the recovery that it usually has.
const responseMessage = (response: ErrorResponse, title: string, advice: string): string => {
  const recovery = recoveryOf(response)
  const detail = response.detail === undefined ? "" : `: ${ForeignText.oneLine(response.detail).replace(/[.\s]+$/, "")}`
  const usual = recovery._tag === Recovery.fromStatus(response.status)._tag
  const remedy = response.remedy ?? (usual ? advice : otherwise[recovery._tag])
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

const named: { readonly [status: number]: readonly [title: string, advice: string] } = {
  304: ["Not Modified", "What the caller has is up to date."],
  405: ["Method Not Allowed", "Check the address and the method against the API's documentation."],
  408: ["Request Timeout", "The server did not get the whole request in time. Try again."],
  410: ["Gone", "It does not exist any more."],
  423: ["Locked", "Try again when nobody works on it."],
  425: ["Too Early", "Try again."],
  501: ["Not Implemented", "The server cannot do this."]
}

const timeoutText: { readonly [phase in Timeout["phase"]]: string } = {
  connect: "got no connection",
  send: "stalled: no byte left",
  response: "got no response",
  attempt: "did not finish"
}
