/**
 * Everything that can go wrong between a call and its token.
 *
 * **Details**
 *
 * Without a token no request is sent. Such an `AuthError` is `NotAsked`, so that a rejected login is no verdict on the API that
 * the token is for.
 *
 * No field holds a credential or a token: a `detail` is one line, scrubbed of registered secrets. `Rejected` is about
 * the credentials and final until they change; `Unavailable` is about the way to the login and may pass.
 *
 * **Example** (An outage of the login is worth a retry, wrong credentials are not)
 *
 * ```ts import.meta.vitest
 * import { AuthError } from "@effect-resilience/auth"
 * import { ApiError, Recovery } from "@effect-resilience/errors"
 *
 * const after = (status: number) =>
 *   AuthError.fromApiError(
 *     new ApiError.ApiError({ method: "POST", endpoint: "/login", reason: ApiError.reasonFromStatus(status) })
 *   )
 *
 * after(401).reason._tag // => "Rejected"
 * Recovery.describe(Recovery.of(after(401))) // => "ask for the missing permission"
 * after(503).reason._tag // => "Unavailable"
 * Recovery.describe(Recovery.of(after(503))) // => "retry"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as ApiError from "@effect-resilience/errors/ApiError"
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Data from "effect/Data"
import { judgeCode } from "./internal/oauthCode.ts"

/**
 * A call did not get its token, or could not use it.
 *
 * - `reason`: what happened, with the `Recovery` that the error takes over.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthError extends ErrorMessage.TaggedError("AuthError")<{ readonly reason: Reason }> {
  get [NotAsked.symbol](): boolean {
    return NotAsked.isNotAsked(this.reason)
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.reason[Recovery.symbol]()
  }
  override get message(): string {
    return this.reason.message
  }
}

/**
 * The credentials are wrong, expired or locked. Retry policies do not retry it: accounts lock after failed logins.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Rejected extends Data.TaggedError("Rejected")<{
  /** The login's own message, in one line; absent if it sent none. */
  readonly detail?: string | undefined
  /** The server's own, such as OAuth's `invalid_client`. */
  readonly code?: string | undefined
  /**
   * True by default: these credentials are not used again until they change, or until `TokenCache.forgetFailures`. False where
   * the server did not say that the credentials are at fault: they are tried again after 5 minutes, doubling to 1 hour.
   */
  readonly final?: boolean | undefined
}> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.authorize
  }
  get [NotAsked.symbol](): true {
    return true
  }
  override get message(): string {
    const { code, detail } = this
    const said = code === undefined || detail?.includes(code) === true
      ? detail
      : `${detail ?? "the server says"} (${code})`
    return sentence("The login was rejected", said, "Check the credentials.")
  }
}

/**
 * The login could not be reached or did not work. `recovery` says whether it is worth a retry.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unavailable extends Data.TaggedError("Unavailable")<{
  /** What failed, for people; without secrets. */
  readonly detail: string
  readonly recovery: Recovery.Recovery
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return this.recovery
  }
  override get message(): string {
    return sentence("Could not log in", this.detail)
  }
}

/**
 * A credential or a setting that the login needs is missing or malformed.
 *
 * - `detail`: which credential or setting, and what is wrong with it; without its value.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotConfigured extends Data.TaggedError("NotConfigured")<{ readonly detail: string }> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return sentence("The login is not configured", this.detail)
  }
}

/**
 * The login succeeded, but its response has no token.
 *
 * - `expected`: where a token was looked for.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NoToken extends Data.TaggedError("NoToken")<{ readonly expected: string }> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `The login's response has no token (expected ${this.expected}).`
  }
}

/**
 * The login gave a token that no header can hold: it has a line break, another control character, a character outside of
 * Latin-1 or a blank at its end, or is longer than 65,536 characters. `problem` does not show the token.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MalformedToken extends Data.TaggedError("MalformedToken")<{ readonly problem: string }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  get [NotAsked.symbol](): true {
    return true
  }
  override get message(): string {
    return `The login gave a token that cannot be sent: ${this.problem}. Correct it where it comes from.`
  }
}

/**
 * The login's response has different tokens in different locations.
 *
 * - `locations`: where the tokens were found, for people.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AmbiguousToken extends Data.TaggedError("AmbiguousToken")<{ readonly locations: string }> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.giveUp
  }
  override get message(): string {
    return `The login's response has different tokens in ${this.locations}.`
  }
}

/**
 * The API rejected a token right after a new login.
 *
 * - `detail`: the API's own message, in one line; absent if it sent none.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StillUnauthorized extends Data.TaggedError("StillUnauthorized")<{ readonly detail?: string | undefined }> {
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.authorize
  }
  override get message(): string {
    return sentence("Still unauthorized after a new login", this.detail, "Check what these credentials may do.")
  }
}

/**
 * The token was rejected after part of the request's body was sent, and that body cannot be read again. Nothing was applied: a
 * caller that can open the body again may repeat the call.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotReplayable extends Data.TaggedError("NotReplayable") {
  // A server that rejects a token is well: to a breaker this is a 401.
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.reauthenticate
  }
  override get message(): string {
    return "The token was rejected, and the body of the request cannot be sent a second time."
  }
}

/**
 * The request goes to another origin than the credentials are for. Nothing was sent.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ForeignOrigin extends Data.TaggedError("ForeignOrigin")<{
  /** The origin that the credentials are for. */
  readonly allowed: string
  /** The origin of the request. */
  readonly requested: string
}> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    return `The credentials are for ${this.allowed} and were not sent to ${this.requested}.`
  }
}

/**
 * Why a call did not get its token, or could not use it. Each reason says by its `Recovery` what helps.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason =
  | Rejected
  | Unavailable
  | NotConfigured
  | NoToken
  | MalformedToken
  | AmbiguousToken
  | StillUnauthorized
  | NotReplayable
  | ForeignOrigin

/**
 * What a failed call to a login endpoint means.
 *
 * **Details**
 *
 * | response | reason |
 * | --- | --- |
 * | 400, 401, 403 with `invalid_client`, `invalid_grant` or `unauthorized_client` (RFC 6749, section 5.2) | `Rejected`, final |
 * | 400, 401, 403 with `temporarily_unavailable`, `server_error`, `slow_down` or `authorization_pending` | `Unavailable`, retry |
 * | any with a `Recovery` of its own that says retry, such as for a `Retry-After` | `Unavailable`, retry |
 * | 400, 403 with an HTML page: something in front of the login | `Unavailable`, not retried by a policy |
 * | 400, 401, 403 otherwise | `Rejected`, not final |
 * | everything else | `Unavailable`, with the recovery of the failure |
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromApiError = (error: ApiError.ApiError): AuthError => {
  const { reason } = error
  const unavailable = (recovery: Recovery.Recovery) =>
    new AuthError({ reason: new Unavailable({ detail: error.message, recovery }) })
  switch (reason._tag) {
    case "BadRequest":
    case "Unauthorized":
    case "Forbidden": {
      const { code, detail, page, retryAfter } = reason
      const about = judgeCode(code)
      if (about === "transient") {
        return unavailable(retryAfter === undefined ? Recovery.retry : Recovery.retryAfter(retryAfter))
      }
      const recovery = Recovery.of(error)
      if (recovery._tag === "Retry") return unavailable(recovery)
      if (page === true && reason._tag !== "Unauthorized") return unavailable(Recovery.giveUp)
      return new AuthError({ reason: new Rejected({ detail, code, final: about === "credentials" }) })
    }
    default:
      return unavailable(Recovery.of(error))
  }
}

/**
 * What a failed login means, whatever its call failed with: an `AuthError` stays, an `ApiError` becomes what `fromApiError` makes of it,
 * and anything else, such as an open circuit, is `Unavailable` with its own recovery.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromFailure = (error: Error & Recovery.Recoverable): AuthError => {
  if (error instanceof AuthError) return error
  if (isApiError(error)) return fromApiError(error)
  return new AuthError({ reason: new Unavailable({ detail: error.message, recovery: Recovery.of(error) }) })
}

// By its tag, since the class would be loaded for this alone.
const isApiError = (error: object): error is ApiError.ApiError => "_tag" in error && error._tag === "ApiError"

const sentence = (what: string, detail: string | undefined, remedy?: string): string => {
  const said = detail === undefined ? what : `${what}: ${detail.trim()}`
  return `${said}${/[.!?]$/.test(said) ? "" : "."}${remedy === undefined ? "" : ` ${remedy}`}`
}
