/**
 * Gives any error a `Recovery`.
 *
 * **Why**
 *
 * Errors made here carry their recovery; those of Effect, of Node and of a browser do not. `classify` knows the common
 * ones, so a policy can treat all alike. It looks at tags, codes and statuses, never at message texts, and it looks
 * structurally, so none of the modules that define those errors is loaded.
 *
 * **Details**
 *
 * | error | recovery |
 * | --- | --- |
 * | has a `Recovery.symbol` method | what it returns |
 * | `HttpClientError` | of its cause or status (below) |
 * | a status | `Recovery.fromStatus` with its `Retry-After` |
 * | `TimeoutError`: `Cause`'s and `DOMException`'s | retry |
 * | `RateLimiterError` | retry, not before its `retryAfter` |
 * | `CircuitBreakerError` | retry; while open not before its `retryAfter` |
 * | `SqlError` | retry where `isRetryable`; authorize, correct or give up |
 * | `SocketError` | retry, unless closed cleanly or for a reason that stays |
 * | `PlatformError` | busy and timed out: retry; permission: authorize; otherwise correct or by its cause |
 * | `UnknownError`, of `Effect.tryPromise` | of its cause |
 * | a system code along the causes | connection trouble and exhausted handles: retry; TLS and body: give up |
 * | anything else | give up |
 *
 * **Gotchas**
 *
 * `retry` says that trying again can help, not that it is safe: whether a repeated request could be applied twice is
 * for the caller to know.
 *
 * **Example** (Classifying foreign errors)
 *
 * ```ts import.meta.vitest
 * import { Classifier } from "@effect-resilience/errors"
 * import { Cause } from "effect"
 *
 * Classifier.classify(new Cause.TimeoutError("too slow"))._tag // => "Retry"
 * Classifier.classify(Object.assign(new Error("read"), { code: "ECONNRESET" }))._tag // => "Retry"
 * Classifier.classify(new RangeError("a bug"))._tag // => "GiveUp"
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Recovery from "./Recovery.ts"
import * as RetryAfter from "./RetryAfter.ts"
import * as Transport from "./Transport.ts"

/**
 * Tells the recovery of some errors; `undefined` for those that it does not know.
 *
 * @category models
 * @since 0.1.0
 */
export type Classifier<in E = unknown> = (error: E) => Recovery.Recovery | undefined

/**
 * The recovery of any error. `nowMillis` (epoch milliseconds) is needed to read a `Retry-After` date; without it such a
 * date is ignored.
 *
 * @category classification
 * @since 0.1.0
 */
export const classify = (error: unknown, nowMillis?: number): Recovery.Recovery => {
  if (Recovery.isRecoverable(error)) return error[Recovery.symbol]()
  if (!Predicate.isObject(error)) return Recovery.giveUp
  const reason = Predicate.hasProperty(error, "reason") && Predicate.isObject(error.reason) ? error.reason : error
  switch (tagOf(error)) {
    case "HttpClientError":
      return ofHttp(reason, nowMillis)
    case "TimeoutError":
      return Recovery.retry
    case "RateLimiterError":
    case "CircuitBreakerError":
      return notBefore(Predicate.hasProperty(reason, "retryAfter") ? reason.retryAfter : undefined)
    case "SqlError":
      return ofSql(reason)
    case "SocketError":
      return ofSocket(reason)
    case "UnknownError":
      return Predicate.hasProperty(error, "cause") ? classify(error.cause, nowMillis) : Recovery.giveUp
    case "PlatformError":
      return platform.get(tagOf(reason)) ?? ofCode(error)
    default:
      return ofCode(error)
  }
}

const notBefore = (after: unknown): Recovery.Recovery =>
  Duration.isDuration(after) ? Recovery.retryAfter(after) : Recovery.retry

// DOMException has a name and no tag.
const tagOf = (error: object): string => {
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
  return Predicate.hasProperty(error, "name") && typeof error.name === "string" ? error.name : ""
}

const ofHttp = (reason: object, nowMillis: number | undefined): Recovery.Recovery => {
  switch (tagOf(reason)) {
    case "TransportError":
      return ofCode(reason, Recovery.retry)
    case "EncodeError":
    case "InvalidUrlError":
      return Recovery.correct
    case "StatusCodeError":
      return Predicate.hasProperty(reason, "response") ? ofResponse(reason.response, nowMillis) : Recovery.giveUp
    default:
      // A body that broke off is a `DecodeError` too, with the connection's error as its cause.
      return ofCode(reason)
  }
}

const ofResponse = (response: unknown, nowMillis: number | undefined): Recovery.Recovery => {
  if (!Predicate.hasProperty(response, "status") || typeof response.status !== "number") return Recovery.giveUp
  const headers = Predicate.hasProperty(response, "headers") && Predicate.isObject(response.headers)
    ? response.headers
    : {}
  const read = (name: string) => {
    const value = Predicate.hasProperty(headers, name) ? headers[name] : undefined
    return typeof value === "string" ? value : undefined
  }
  const named = {
    "retry-after-ms": read("retry-after-ms"),
    "x-ms-retry-after-ms": read("x-ms-retry-after-ms"),
    "retry-after": read("retry-after")
  }
  return Recovery.fromStatus(response.status, RetryAfter.fromHeaders(named, nowMillis ?? Number.NaN))
}

const ofSql = (reason: object): Recovery.Recovery => {
  if (Predicate.hasProperty(reason, "isRetryable") && reason.isRetryable === true) return Recovery.retry
  switch (tagOf(reason)) {
    case "AuthenticationError":
    case "AuthorizationError":
      return Recovery.authorize
    case "UnknownError":
      return ofCode(reason)
    default:
      return Recovery.correct
  }
}

// Close codes of RFC 6455, section 7.4.1, and the IANA registry: gone or going away, abnormal, internal error, service
// restart, try again later, bad gateway. Every other one says that the peer will not have it.
const transientClose: ReadonlySet<number> = /* @__PURE__ */ new Set([1001, 1006, 1011, 1012, 1013, 1014])

const ofSocket = (reason: object): Recovery.Recovery => {
  switch (tagOf(reason)) {
    case "SocketCloseError":
      return Predicate.hasProperty(reason, "code") && typeof reason.code === "number" && transientClose.has(reason.code)
        ? Recovery.retry
        : Recovery.giveUp
    case "SocketUpgradeError":
      return Recovery.giveUp
    default:
      return ofCode(reason, Recovery.retry)
  }
}

const platform: ReadonlyMap<string, Recovery.Recovery> = /* @__PURE__ */ new Map([
  ["Busy", Recovery.retry],
  ["TimedOut", Recovery.retry],
  ["WouldBlock", Recovery.retry],
  ["PermissionDenied", Recovery.authorize],
  ["AlreadyExists", Recovery.correct],
  ["BadArgument", Recovery.correct],
  ["BadResource", Recovery.correct],
  ["InvalidData", Recovery.correct],
  ["NotFound", Recovery.correct]
])

const systemCodes: ReadonlyMap<string, Recovery.Recovery> = /* @__PURE__ */ new Map([
  ["EAGAIN", Recovery.retry],
  ["EBUSY", Recovery.retry],
  ["EMFILE", Recovery.retry],
  ["ENFILE", Recovery.retry],
  ["EACCES", Recovery.authorize],
  ["EPERM", Recovery.authorize],
  ["ENOENT", Recovery.correct]
])

const ofCode = (error: object, whenUnknown: Recovery.Recovery = Recovery.giveUp): Recovery.Recovery => {
  const { kind, code } = Transport.diagnose(error)
  switch (kind) {
    case "tls":
    case "body":
      return Recovery.giveUp
    case "unknown":
      return (code === undefined ? undefined : systemCodes.get(code)) ?? whenUnknown
    default:
      return Recovery.retry
  }
}
