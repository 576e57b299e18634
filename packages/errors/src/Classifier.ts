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
 * @since 0.1.0
 */
import * as ErrorName from "@effect-resilience/kernel/ErrorName"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
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
    current = Predicate.hasProperty(current, "cause") ? current.cause : undefined
  }
  return Recovery.giveUp
}

// In place of a recovery: the recovery is that of the cause.
const causing = "cause"

const ofTag = (error: object, nowMillis: number | undefined): Recovery.Recovery | typeof causing => {
  const reason = Predicate.hasProperty(error, "reason") && Predicate.isObject(error.reason) ? error.reason : error
  const tag = tagOf(error)
  switch (tag) {
    case "HttpClientError":
      return ofHttp(reason, tagOf(reason), nowMillis)
    case "StatusCodeError":
      return ofHttp(error, tag, nowMillis)
    case "TransportError":
      return ofRetryable(error, error) ?? ofCode(error, Recovery.retry)
    case "HttpError":
      return ofHttpError(error, nowMillis)
    case "RpcClientError":
    case "McpClientError":
    case "WorkerError":
      return reason === error ? Recovery.giveUp : ofReason(reason, nowMillis)
    case "TimeoutError":
      return Recovery.retry
    case "RateLimiterError":
    case "CircuitBreakerError":
      return notBefore(reason)
    case "SqlError":
      return ofSql(reason)
    case "SocketError":
    case "DatagramSocketError":
      return ofSocket(reason)
    case "DnsError":
      return Predicate.hasProperty(error, "isTemporary") && error.isTemporary === true
        ? Recovery.retry
        : Recovery.correct
    case "PlatformError":
      return platform.get(tagOf(reason)) ?? ofCode(error)
    default:
      if (tagged.has(tag)) return tagged.get(tag) ?? Recovery.giveUp
      return ofRetryable(error, reason) ?? ofDeclared(error) ?? ofTimed(error) ??
        (wrappers.has(tag) ? ofCause(error) : ofCode(error))
  }
}

const notBefore = (error: object): Recovery.Recovery => {
  const after = Predicate.hasProperty(error, "retryAfter") ? error.retryAfter : undefined
  return Duration.isDuration(after) ? Recovery.retryAfter(after) : Recovery.retry
}

// A DOMException has a name and no tag. Libraries use other names in other senses.
const tagOf = (error: object): string =>
  ErrorName.tagOf(error) ?? (Predicate.hasProperty(error, "name") && error.name === "TimeoutError" ? error.name : "")

const tagged: ReadonlyMap<string, Recovery.Recovery> = /* @__PURE__ */ new Map([
  ["ExceededCapacityError", Recovery.retry],
  ["CircuitHalfOpen", Recovery.retry],
  ["AlreadyProcessingMessage", Recovery.retry],
  ["EntityNotAssignedToRunner", Recovery.retry],
  ["MailboxFull", Recovery.retry],
  ["RunnerNotRegistered", Recovery.retry],
  ["RunnerUnavailable", Recovery.retry],
  ["EncodeError", Recovery.correct],
  ["HttpApiSchemaError", Recovery.correct],
  ["InvalidUrlError", Recovery.correct],
  ["MalformedMessage", Recovery.correct]
])

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
  if (!Predicate.hasProperty(reason, "response") || !Predicate.isObject(reason.response)) return undefined
  const { response } = reason
  if (!Predicate.hasProperty(response, "status") || typeof response.status !== "number") return undefined
  if (response.status < 300) return undefined
  return ofResponse(
    response.status,
    Predicate.hasProperty(response, "headers") ? response.headers : undefined,
    nowMillis
  )
}

// Two classes have this tag: an `HttpClientError` that went through a schema, and the response to an MCP client.
const ofHttpError = (error: object, nowMillis: number | undefined): Recovery.Recovery => {
  if (Predicate.hasProperty(error, "kind") && typeof error.kind === "string") {
    const reason = Predicate.hasProperty(error, "cause") && Predicate.isObject(error.cause) ? error.cause : error
    return ofHttp(reason, error.kind, nowMillis)
  }
  if (!Predicate.hasProperty(error, "status") || typeof error.status !== "number") return Recovery.giveUp
  const after = Predicate.hasProperty(error, "retryAfter") ? error.retryAfter : undefined
  return Recovery.fromStatus(
    error.status,
    typeof after === "string" ? RetryAfter.parse(after, nowMillis ?? Number.NaN) : undefined
  )
}

const ofRetryable = (error: object, reason: object): Recovery.Recovery | undefined => {
  if (!Predicate.hasProperty(error, "isRetryable") || typeof error.isRetryable !== "boolean") return undefined
  if (error.isRetryable) return notBefore(error)
  if (Predicate.hasProperty(error, "status") && typeof error.status === "number") {
    const stays = Recovery.fromStatus(error.status)
    return stays._tag === "Retry" ? Recovery.giveUp : stays
  }
  return final.get(tagOf(reason)) ?? Recovery.giveUp
}

// Reasons of `AiError` and `GraphQLClientError` that a person can mend, but a repetition cannot.
const final: ReadonlyMap<string, Recovery.Recovery> = /* @__PURE__ */ new Map([
  ["AuthenticationError", Recovery.authorize],
  ["ContentPolicyError", Recovery.correct],
  ["EncodeError", Recovery.correct],
  ["InvalidRequestError", Recovery.correct],
  ["InvalidUserInputError", Recovery.correct],
  ["NetworkError", Recovery.correct],
  ["ToolConfigurationError", Recovery.correct],
  ["ToolkitRequiredError", Recovery.correct],
  ["UnsupportedSchemaError", Recovery.correct]
])

// Schema classes have their annotations: `HttpApi` declares an error's status with `httpApiStatus`.
const ofDeclared = (error: object): Recovery.Recovery | undefined => {
  const ast = Predicate.hasProperty(error.constructor, "ast") ? error.constructor.ast : undefined
  const annotations = Predicate.hasProperty(ast, "annotations") ? ast.annotations : undefined
  const status = Predicate.hasProperty(annotations, "httpApiStatus") ? annotations.httpApiStatus : undefined
  if (typeof status !== "number") return undefined
  const after = Predicate.hasProperty(error, "retryAfter") ? error.retryAfter : undefined
  return Recovery.fromStatus(status, Duration.isDuration(after) ? after : undefined)
}

const ofTimed = (error: object): Recovery.Recovery | undefined =>
  Predicate.hasProperty(error, "retryAfter") && Duration.isDuration(error.retryAfter)
    ? Recovery.retryAfter(error.retryAfter)
    : undefined

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

// Close codes of RFC 6455, section 7.4.1, and the IANA registry: going away, abnormal, internal error, service restart,
// try again later, bad gateway. With all other codes, the peer rejects the connection.
const transientClose: ReadonlySet<number> = /* @__PURE__ */ new Set([1001, 1006, 1011, 1012, 1013, 1014])

const ofSocket = (reason: object): Recovery.Recovery => {
  switch (tagOf(reason)) {
    case "SocketCloseError":
      return Predicate.hasProperty(reason, "code") && typeof reason.code === "number" && transientClose.has(reason.code)
        ? Recovery.retry
        : Recovery.giveUp
    case "SocketUpgradeError":
    case "DatagramSocketClosedError":
    case "DatagramSocketUnsupportedError":
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

const ofCode = (error: object, whenUnknown: Recovery.Recovery = Recovery.giveUp): Recovery.Recovery =>
  transportRecovery(Transport.diagnose(error)) ?? whenUnknown
