/**
 * Gives the errors of common libraries a `Recovery`: an opt-in `Classifier` for a policy.
 *
 * **Why**
 *
 * `Effect.tryPromise` around a library's call fails with the library's own error. A status, a code or a flag of that library
 * says whether a retry can help. To read these by shape could mistake one error for another, so `Classifier` does so only in
 * programs that say that they use these libraries.
 *
 * **Details**
 *
 * | errors of | read by | retried |
 * | --- | --- | --- |
 * | axios, got, ky, octokit, OpenAI's and Anthropic's SDKs, and others with a status | the status and the response's headers | as `Recovery.fromStatus`, with `RetryHeaders` |
 * | axios, OpenAI and Anthropic without a response | code, or the class | failed connections, timeouts |
 * | AWS SDK 3 | `$retryable`, the name, `$metadata` | flagged errors, throttling, transient statuses |
 * | pg, postgres.js | [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html) with a `severity` | classes 08, 40, 53, 57P and 55P03, 57014 |
 * | better-sqlite3, sqlite3, `node:sqlite` | [result code](https://www.sqlite.org/rescode.html) | `SQLITE_BUSY`, `SQLITE_LOCKED` |
 * | grpc-js | [status code](https://grpc.io/docs/guides/status-codes/), and `grpc-retry-pushback-ms` in its metadata | 4, 8, 10, 14 |
 *
 * A retry has its `Recovery.Kind` from the status; AWS's throttling errors, whatever their status, and gRPC's 8
 * (`RESOURCE_EXHAUSTED`) are `throttled`; PostgreSQL's class 53 (too many connections) is `overloaded`.
 *
 * It reads the chain of causes, also that of an `UnknownError` of `Effect.tryPromise`. It returns `undefined` for errors with
 * a recovery and for unknown errors, which `Classifier.classify` decides.
 *
 * **Gotchas**
 *
 * Many of these libraries retry too, and the attempts multiply: switch theirs off (`maxRetries: 0`, `retry: { limit: 0 }`).
 *
 * **Example** (A policy that knows libraries)
 *
 * ```ts import.meta.vitest
 * import { LibraryErrors, Recovery } from "@effect-resilience/errors"
 *
 * const busy = Object.assign(new Error("database is locked"), { code: "SQLITE_BUSY" })
 * LibraryErrors.classify(busy) // => Recovery.retry
 *
 * const serialization = Object.assign(new Error("could not serialize"), { code: "40001", severity: "ERROR" })
 * LibraryErrors.classify(serialization) // => Recovery.retry
 * LibraryErrors.classify(new RangeError("a bug")) // => undefined
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import { ofResponse } from "./internal/response.ts"
import * as Recovery from "./Recovery.ts"

/**
 * The recovery of an error of one of these libraries; `undefined` for any other.
 *
 * @category classification
 * @since 0.1.0
 */
export const classify = (error: unknown): Recovery.Recovery | undefined => {
  let current = error
  for (let depth = 0; depth < 8 && Predicate.isObject(current); depth++) {
    if (Recovery.isRecoverable(current)) return undefined
    for (const read of readers) {
      const recovery = read(current)
      if (recovery !== undefined) return recovery
    }
    current = get(current, "cause")
  }
  return undefined
}

type Reader = (error: object) => Recovery.Recovery | undefined

// What is no text is none: a foreign object may not let itself be made one.
const textOf = (value: unknown): string => typeof value === "string" ? value : ""

const get = (value: unknown, key: string): unknown => Predicate.hasProperty(value, key) ? value[key] : undefined

const aws: Reader = (error) => {
  const metadata = get(error, "$metadata")
  if (metadata === undefined) return undefined
  const status = get(metadata, "httpStatusCode")
  const headers = get(get(error, "$response"), "headers")
  const byStatus = ofStatus(status, headers)
  const name = textOf(get(error, "name"))
  const retryable = get(error, "$retryable")
  // The name counts before the status: S3's SlowDown is a 503, and it means this caller.
  if (throttling.has(name) || get(retryable, "throttling") === true) {
    return Recovery.retryAs("throttled", byStatus?._tag === "Retry" ? byStatus.after : undefined)
  }
  const retried = retryable !== undefined || transient.has(name)
  return retried && byStatus?._tag !== "Retry" ? Recovery.retry : byStatus
}

// From the AWS SDK's standard retries: `service-error-classification` of smithy-typescript.
const throttling: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "BandwidthLimitExceeded",
  "EC2ThrottledException",
  "LimitExceededException",
  "PriorRequestNotComplete",
  "ProvisionedThroughputExceededException",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestThrottledException",
  "SlowDown",
  "ThrottledException",
  "Throttling",
  "ThrottlingException",
  "TooManyRequestsException",
  "TransactionInProgressException"
])
const transient: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "RequestTimeout",
  "RequestTimeoutException",
  "TimeoutError"
])

const grpc: Reader = (error) => {
  const code = get(error, "code")
  const metadata = get(error, "metadata")
  if (typeof code !== "number" || metadata === undefined || typeof get(error, "details") !== "string") return undefined
  const recovery = grpcCodes[code] ?? Recovery.giveUp
  return recovery._tag === "Retry" ? pushedBack(recovery, metadata) : recovery
}

// As gRFC A6 has it: a pushback that is no number of milliseconds, -1 for example, says not to retry.
const pushedBack = (recovery: Extract<Recovery.Recovery, { _tag: "Retry" }>, metadata: unknown): Recovery.Recovery => {
  const read = get(metadata, "get")
  const values: unknown = Predicate.isFunction(read) ? Reflect.apply(read, metadata, ["grpc-retry-pushback-ms"]) : []
  if (!Array.isArray(values) || values.length === 0) return recovery
  const pushback = textOf(values[0])
  return /^\d{1,10}$/.test(pushback)
    ? Recovery.retryAs(recovery.kind ?? "transient", Number(pushback))
    : Recovery.giveUp
}

const grpcCodes: { readonly [code: number]: Recovery.Recovery } = {
  3: Recovery.correct,
  4: Recovery.retry,
  5: Recovery.correct,
  6: Recovery.correct,
  7: Recovery.authorize,
  8: /* @__PURE__ */ Recovery.retryAs("throttled"),
  9: Recovery.correct,
  10: Recovery.retry,
  11: Recovery.correct,
  14: Recovery.retry,
  16: Recovery.reauthenticate
}

const postgres: Reader = (error) => {
  const code = get(error, "code")
  if (typeof code !== "string" || !/^[0-9A-Z]{5}$/.test(code) || typeof get(error, "severity") !== "string") {
    return undefined
  }
  if (code.startsWith("53")) return Recovery.retryAs("overloaded")
  if (/^(?:08|40|57P)/.test(code) || code === "55P03" || code === "57014") return Recovery.retry
  if (code.startsWith("28") || code === "42501") return Recovery.authorize
  return /^(?:2[1-7]|34|42|44)/.test(code) ? Recovery.correct : Recovery.giveUp
}

const sqlite: Reader = (error) => {
  const code = get(error, "code")
  if (typeof code !== "string") return undefined
  // `node:sqlite` has one code for all errors, and the extended result code in `errcode`.
  const errcode = get(error, "errcode")
  if (code === "ERR_SQLITE_ERROR" && typeof errcode === "number") return sqliteCodes[errcode & 0xff] ?? Recovery.giveUp
  const name = /^SQLITE_([A-Z]+)/.exec(code)?.[1]
  return name === undefined ? undefined : sqliteNames[name] ?? Recovery.giveUp
}

const sqliteCodes: { readonly [code: number]: Recovery.Recovery } = {
  1: Recovery.correct,
  3: Recovery.authorize,
  5: Recovery.retry,
  6: Recovery.retry,
  8: Recovery.authorize,
  14: Recovery.correct,
  19: Recovery.correct,
  20: Recovery.correct,
  23: Recovery.authorize
}

const sqliteNames: { readonly [name: string]: Recovery.Recovery } = {
  ERROR: Recovery.correct,
  PERM: Recovery.authorize,
  BUSY: Recovery.retry,
  LOCKED: Recovery.retry,
  READONLY: Recovery.authorize,
  CANTOPEN: Recovery.correct,
  CONSTRAINT: Recovery.correct,
  MISMATCH: Recovery.correct,
  AUTH: Recovery.authorize
}

const http: Reader = (error) => {
  const response = get(error, "response")
  const status = [get(response, "status"), get(response, "statusCode"), get(error, "status"), get(error, "statusCode")]
    .find((candidate) => typeof candidate === "number")
  return ofStatus(status, get(response, "headers") ?? get(error, "headers"))
}

const ofStatus = (status: unknown, headers: unknown): Recovery.Recovery | undefined =>
  typeof status === "number" && Number.isInteger(status) && status >= 300 && status <= 599
    ? ofResponse(status, headers, undefined)
    : undefined

const axios: Reader = (error) => {
  const code = get(error, "code")
  return get(error, "isAxiosError") === true && typeof code === "string" && Object.hasOwn(axiosCodes, code)
    ? axiosCodes[code]
    : undefined
}

// `Classifier` knows the other codes, which are the system's.
const axiosCodes: { readonly [code: string]: Recovery.Recovery } = {
  ECONNABORTED: Recovery.retry,
  ERR_NETWORK: Recovery.retry,
  ETIMEDOUT: Recovery.retry,
  ERR_BAD_OPTION: Recovery.correct,
  ERR_BAD_OPTION_VALUE: Recovery.correct,
  ERR_INVALID_URL: Recovery.correct
}

// The SDKs that Stainless generates name their errors by class only.
const stainless: Reader = (error) =>
  Predicate.hasProperty(error, "constructor") && typeof error.constructor === "function" &&
    /^APIConnection(?:Timeout)?Error$/.test(error.constructor.name)
    ? Recovery.retry
    : undefined

const readers: ReadonlyArray<Reader> = [aws, grpc, postgres, sqlite, http, axios, stainless]
