/**
 * Gives any error a `Recovery`.
 *
 * **Why**
 *
 * The errors of these packages have a recovery; those of Effect, Node and browsers do not. `classify` knows all errors of
 * `effect` that say something about retries, and the common errors of the runtimes, so a policy can treat all errors alike.
 * It reads tags, codes and statuses, never message texts. It reads them by shape, so it loads none of the modules that define
 * these errors. For errors of other libraries, give `LibraryErrors` to a policy.
 *
 * **Details**
 *
 * | error | recovery |
 * | --- | --- |
 * | has a `Recovery.symbol` method | its result |
 * | `HttpClientError`, MCP's `HttpError` | that of its cause or status (below) |
 * | has a status | `Recovery.fromStatus`, with the response's `RetryHeaders` |
 * | an error of `HttpApi` that declares its status | that of the status, not before its `retryAfter` |
 * | has `isRetryable`: `AiError`, `SqlError`, `GraphQLClientError` | retry, not before its `retryAfter`; otherwise authorize, correct or give up |
 * | `RpcClientError`, `McpClientError`, `WorkerError`, `DatagramSocketError` | that of its reason |
 * | `TimeoutError`: `Cause`'s and `DOMException`'s | retry |
 * | `RateLimiterError` | retry, not before its `retryAfter` |
 * | `CircuitBreakerError` | retry; while open not before its `retryAfter` |
 * | `ExceededCapacityError`; the cluster's `MailboxFull`, `RunnerUnavailable` and the like | retry |
 * | has a `Duration` named `retryAfter` | retry, not before that |
 * | `SocketError` | retry, unless closed cleanly or for a permanent reason |
 * | `DnsError` | retry if `isTemporary`; otherwise correct |
 * | `PlatformError` | busy and timed out: retry; permission: authorize; otherwise correct or that of its cause |
 * | `UnknownError` of `Effect.tryPromise`, `RedisError`, `PersistenceError`, `KeyValueStoreError` and other wrappers | that of its cause |
 * | a system code in the chain of causes | failed connections and exhausted handles: retry; permanent failures, such as a certificate: give up, correct or authorize |
 * | anything else | give up |
 *
 * A retry also has a `Recovery.Kind`: 429, `RateLimiterError` and a provider's rate limit are `throttled`; 503, 529,
 * `ExceededCapacityError`, `MailboxFull` and a socket closed with 1013 (try again later) are `overloaded`; the rest is
 * `transient`.
 *
 * **Gotchas**
 *
 * `retry` says that a retry can help, not that it is safe: only the caller knows whether a repeated request could be applied
 * twice.
 *
 * An `RpcClient` over HTTP does not look at statuses: give it a client with `HttpClient.filterStatusOk`. Otherwise a 503 is a
 * response that cannot be decoded, whose recovery is to give up.
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
 * @stability stable
 * @since 0.1.0
 */
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import { property } from "./internal/property.ts"
import { ofResponse } from "./internal/response.ts"
import { transportRecovery } from "./internal/transportRecovery.ts"
import * as Recovery from "./Recovery.ts"
import * as RetryAfter from "./RetryAfter.ts"
import * as Transport from "./Transport.ts"

/**
 * Returns the recovery of the errors that it knows, `undefined` for others.
 *
 * @category models
 * @since 0.1.0
 */
export type Classifier<in E = unknown> = (error: E) => Recovery.Recovery | undefined

/**
 * The recovery of any error. `nowMillis` (epoch milliseconds) is needed to read a date of a response without `Date`; without
 * `nowMillis`, such a date is ignored.
 *
 * @category classification
 * @since 0.1.0
 */
export const classify = (error: unknown, nowMillis?: number): Recovery.Recovery => {
  let current = error
  for (let depth = 0; depth < 8; depth++) {
    if (Recovery.isRecoverable(current)) return current[Recovery.symbol]()
    if (!Predicate.isObject(current)) return Recovery.giveUp
    const read = ofTag(current, nowMillis)
    if (read !== causing) return read
    current = property(current, "cause")
  }
  return Recovery.giveUp
}

// In place of a recovery: the recovery is that of the cause.
const causing = "cause"

const ofTag = (error: object, nowMillis: number | undefined): Recovery.Recovery | typeof causing => {
  const reason = within(error, "reason")
  const tag = tagOf(error)
  switch (tag) {
    case "HttpClientError":
    case "StatusCodeError":
      return ofHttp(reason, tagOf(reason), nowMillis)
    case "TransportError":
      return ofRetryable(error, error) ?? ofCode(error, Recovery.retry)
    case "HttpError":
      return ofHttpError(error, nowMillis)
    case "RpcClientError":
    case "McpClientError":
    case "WorkerError":
      return reason === error ? Recovery.giveUp : ofReason(reason, nowMillis)
    case "TimeoutError":
    case "CircuitHalfOpen":
    case "AlreadyProcessingMessage":
    case "EntityNotAssignedToRunner":
    case "RunnerNotRegistered":
    case "RunnerUnavailable":
      return Recovery.retry
    case "ExceededCapacityError":
    case "MailboxFull":
      return Recovery.retryAs("overloaded")
    case "EncodeError":
    case "HttpApiSchemaError":
    case "InvalidUrlError":
    case "MalformedMessage":
      return Recovery.correct
    case "RateLimiterError":
      return notBefore(reason, "throttled")
    case "CircuitBreakerError":
      return notBefore(reason)
    case "SqlError":
      return ofSql(reason)
    case "SocketError":
    case "DatagramSocketError":
      return ofSocket(reason)
    case "DnsError":
      return property(error, "isTemporary") === true ? Recovery.retry : Recovery.correct
    case "PlatformError":
      return ofPlatform(error, reason)
    default:
      return ofRetryable(error, reason) ?? ofDeclared(error) ?? ofTimed(error) ??
        (wrappers.has(tag) ? ofCause(error) : ofCode(error))
  }
}

const afterOf = (error: object): Duration.Duration | undefined => {
  const after = property(error, "retryAfter")
  return Duration.isDuration(after) ? after : undefined
}

const notBefore = (error: object, kind: Exclude<Recovery.Kind, "expired"> = "transient"): Recovery.Recovery =>
  Recovery.retryAs(kind, afterOf(error))

const numberOf = (value: unknown, name: string): number | undefined => {
  const number = property(value, name)
  return typeof number === "number" ? number : undefined
}

// What an error wraps, or the error itself.
const within = (error: object, name: "reason" | "cause"): object => {
  const inner = property(error, name)
  return Predicate.isObject(inner) ? inner : error
}

// A DOMException has a name and no tag. Libraries use other names in other senses.
const tagOf = (error: object): string =>
  ErrorName.tagOf(error) ?? (property(error, "name") === "TimeoutError" ? "TimeoutError" : "")

const wrappers: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "UnknownError",
  "RedisError",
  "PersistenceError",
  "PersistedQueueError",
  "KeyValueStoreError",
  "EventJournalError",
  "EventLogRemoteError",
  "EventLogServerStoreError"
])

const ofCause = (error: object): Recovery.Recovery | typeof causing => {
  const known = ofCode(error)
  return known._tag === "GiveUp" ? causing : known
}

const ofReason = (reason: object, nowMillis: number | undefined): Recovery.Recovery => {
  const tag = tagOf(reason)
  if (tag === "HttpError") return ofHttpError(reason, nowMillis)
  if (tag.startsWith("Socket")) return ofSocket(reason)
  switch (tag) {
    case "TransportError":
      return ofCode(reason, Recovery.retry)
    case "TimeoutError":
      return Recovery.retry
    case "ConfigurationError":
    case "UnsupportedError":
    case "ValidationError":
      return Recovery.correct
    default:
      return ofCode(reason)
  }
}

const ofHttp = (reason: object, kind: string, nowMillis: number | undefined): Recovery.Recovery => {
  // What a client of ours failed with knows more than the kind that Effect has for it.
  const cause = property(reason, "cause")
  if (Recovery.isRecoverable(cause)) return cause[Recovery.symbol]()
  switch (kind) {
    case "TransportError":
      return ofCode(reason, Recovery.retry)
    case "EncodeError":
    case "InvalidUrlError":
      return Recovery.correct
    default:
      // For a client of an API, a `DecodeError` is an undeclared status, or a body that broke off; then its cause is the
      // connection's error.
      return ofErrorStatus(reason, nowMillis) ?? ofCode(reason)
  }
}

const ofErrorStatus = (reason: object, nowMillis: number | undefined): Recovery.Recovery | undefined => {
  const response = property(reason, "response")
  const status = numberOf(response, "status")
  return status === undefined || status < 300
    ? undefined
    : ofResponse(status, property(response, "headers"), nowMillis)
}

// Two classes have this tag: an `HttpClientError` that went through a schema, and the response to an MCP client.
const ofHttpError = (error: object, nowMillis: number | undefined): Recovery.Recovery => {
  const kind = property(error, "kind")
  if (typeof kind === "string") {
    return ofHttp(within(error, "cause"), kind, nowMillis)
  }
  const status = numberOf(error, "status")
  if (status === undefined) return Recovery.giveUp
  const after = property(error, "retryAfter")
  return Recovery.fromStatus(
    status,
    typeof after === "string" ? RetryAfter.parse(after, nowMillis ?? Number.NaN) : undefined
  )
}

const ofRetryable = (error: object, reason: object): Recovery.Recovery | undefined => {
  const retryable = property(error, "isRetryable")
  if (typeof retryable !== "boolean") return undefined
  const status = numberOf(error, "status")
  if (retryable) {
    return notBefore(
      error,
      tagOf(reason) === "RateLimitError" ? "throttled" : Recovery.kindOfStatus(status ?? Number.NaN)
    )
  }
  if (status === undefined) return ofFinal(reason)
  const stays = Recovery.fromStatus(status)
  return stays._tag === "Retry" ? Recovery.giveUp : stays
}

// Reasons of `AiError` and `GraphQLClientError` that a person can mend, but a repetition cannot.
const ofFinal = (reason: object): Recovery.Recovery => {
  switch (tagOf(reason)) {
    case "AuthenticationError":
      return Recovery.authorize
    case "ContentPolicyError":
    case "EncodeError":
    case "InvalidRequestError":
    case "InvalidUserInputError":
    case "NetworkError":
    case "ToolConfigurationError":
    case "ToolkitRequiredError":
    case "UnsupportedSchemaError":
      return Recovery.correct
    default:
      return Recovery.giveUp
  }
}

// Schema classes have their annotations: `HttpApi` declares an error's status with `httpApiStatus`.
const ofDeclared = (error: object): Recovery.Recovery | undefined => {
  const annotations = property(property(error.constructor, "ast"), "annotations")
  const status = numberOf(annotations, "httpApiStatus")
  return status === undefined ? undefined : Recovery.fromStatus(status, afterOf(error))
}

const ofTimed = (error: object): Recovery.Recovery | undefined =>
  afterOf(error) === undefined ? undefined : notBefore(error)

const ofSql = (reason: object): Recovery.Recovery => {
  if (property(reason, "isRetryable") === true) return Recovery.retry
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

// Close codes of RFC 6455, section 7.4.1, and the IANA registry: going away, abnormal, internal error, service restart,
// try again later, bad gateway. With all other codes, the peer rejects the connection.
const transientClose: ReadonlySet<unknown> = /* @__PURE__ */ new Set([1001, 1006, 1011, 1012, 1014])

const ofCloseCode = (code: unknown): Recovery.Recovery => {
  if (code === 1013) return Recovery.retryAs("overloaded")
  return transientClose.has(code) ? Recovery.retry : Recovery.giveUp
}

const ofSocket = (reason: object): Recovery.Recovery => {
  switch (tagOf(reason)) {
    case "SocketCloseError":
      return ofCloseCode(property(reason, "code"))
    case "SocketUpgradeError":
    case "DatagramSocketClosedError":
    case "DatagramSocketUnsupportedError":
      return Recovery.giveUp
    default:
      return ofCode(reason, Recovery.retry)
  }
}

const ofPlatform = (error: object, reason: object): Recovery.Recovery => {
  switch (tagOf(reason)) {
    case "Busy":
    case "TimedOut":
    case "WouldBlock":
      return Recovery.retry
    case "PermissionDenied":
      return Recovery.authorize
    case "AlreadyExists":
    case "BadArgument":
    case "BadResource":
    case "InvalidData":
    case "NotFound":
      return Recovery.correct
    default:
      return ofCode(error)
  }
}

const ofCode = (error: object, whenUnknown: Recovery.Recovery = Recovery.giveUp): Recovery.Recovery =>
  transportRecovery(Transport.diagnose(error)) ?? whenUnknown
