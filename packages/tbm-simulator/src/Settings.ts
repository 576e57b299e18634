/**
 * The knobs of the simulator: what the real service does differently from place to place, or what nobody knows of it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Account from "./Account.ts"
import * as FaultRule from "./FaultRule.ts"
import type * as SimulatorState from "./SimulatorState.ts"

/**
 * A project's table, as in `tables` and `checkedOut`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableName {
  readonly project: string
  readonly table: string
}

/**
 * How the simulator behaves. Every field has its value in {@link defaults}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  /** Who may log in. Default: the sample account alone. */
  readonly accounts: ReadonlyArray<Account.Account>
  /** Rules in force from the start, and again after a reset. Default: none. */
  readonly faults: ReadonlyArray<FaultRule.FaultRule>
  /** How long a token is good. Default: 1 hour. */
  readonly tokenLifetime: Duration.Input
  /** Where the login answer carries the token; `different` puts another one into the cookie. Default: `both`. */
  readonly tokenIn: "both" | "header" | "cookie" | "different" | "none"
  /** The expiry header of the login answer and its form. Default: `none`. */
  readonly validTill: "none" | "seconds" | "millis" | "iso"
  /** The name of that header. Default: `valid_till`. */
  readonly validTillHeader: "valid_till" | "valid-till"
  /** The expiry attribute of the token cookie. Default: `none`. */
  readonly cookieExpiry: "none" | "maxAge" | "expires"
  /** The status of a rejected login. Default: 400. */
  readonly rejectedLogin: 400 | 401 | 403
  /** An account locks after so many failed logins in a row; 0 is never. Default: 0. */
  readonly lockAfter: number
  /** The field of an error body that holds its text. Default: `message`. */
  readonly errorField: "message" | "error"
  /** The only tables there are: an upload to another one is answered 404. Default: any, created by its upload. */
  readonly tables: ReadonlyArray<TableName> | undefined
  /** Tables that somebody has checked out: an upload to one needs the form field `force=true`. Default: none. */
  readonly checkedOut: ReadonlyArray<TableName>
  /**
   * What happens when writes to one table and period overlap. `serialize`: as if one came after the other. `reject`: the
   * later one is answered 409. `lastWins`: each starts from the table as it found it, so of two appends one is lost.
   * Default: `serialize`.
   */
  readonly concurrentWrites: "serialize" | "reject" | "lastWins"
  /** The largest file taken; beyond it the answer is 413. Default: without limit. */
  readonly maxUploadBytes: number
  /** Answers a call that fails on its headers before its body is read. Default: true. */
  readonly earlyAnswers: boolean
  /** After an early answer, so many bytes of the body are read and dropped before the connection is cut. Default: 64 MiB. */
  readonly drainLimit: number
  /** At most `requests` API calls in each window of `seconds`, then 429 with `Retry-After`. Default: no limit. */
  readonly rateLimit: { readonly requests: number; readonly seconds: number } | undefined
  /**
   * The request header that makes an upload idempotent: a second one with the same value is answered as the first, and not
   * stored again. Default: none does.
   */
  readonly idempotencyHeader: string | undefined
  /** The least size of a part that is not the last one, in bytes. Default: 5 MiB. */
  readonly minPartBytes: number
  /** Whether a file sent to the uploader service in one request is answered its id; the vendor's page says nothing is. Default: `uploadId`. */
  readonly singleUploadAnswer: "uploadId" | "nothing"
  /** How long the uploader service processes. Default: 1 second. */
  readonly processingTime: Duration.Input
  /** How it ends. Default: `Success`, which is `Failed` all the same where the upload cannot be stored. */
  readonly processingOutcome: Exclude<SimulatorState.ProcessStatus, "InProcess">
  /**
   * Whether a status tells each upload's code alone, with `null` for the group, or the group's too. Default: `individual`,
   * unless there are several or the outcome is a group's own.
   */
  readonly processingReport: "individual" | "group"
  /**
   * The host names, besides `localhost`, addresses and names without a dot, by which the administration may be called, such
   * as `host.docker.internal`. Under another name it could be a web page that calls. Default: none.
   */
  readonly allowedHosts: ReadonlyArray<string>
  /** The answer header that carries a request id: the request's own, or a running number. Default: none. */
  readonly requestIdHeader: string | undefined
}

/**
 * The settings of a simulator that was told nothing.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: Settings = {
  accounts: [Account.sample],
  faults: [],
  tokenLifetime: Duration.hours(1),
  tokenIn: "both",
  validTill: "none",
  validTillHeader: "valid_till",
  cookieExpiry: "none",
  rejectedLogin: 400,
  lockAfter: 0,
  errorField: "message",
  tables: undefined,
  checkedOut: [],
  concurrentWrites: "serialize",
  maxUploadBytes: Number.POSITIVE_INFINITY,
  earlyAnswers: true,
  drainLimit: 64 * 1024 * 1024,
  rateLimit: undefined,
  idempotencyHeader: undefined,
  minPartBytes: 5 * 1024 * 1024,
  singleUploadAnswer: "uploadId",
  processingTime: Duration.seconds(1),
  processingOutcome: "Success",
  processingReport: "individual",
  allowedHosts: [],
  requestIdHeader: undefined
}

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThan(0))
const Span = Schema.Union([
  Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).pipe(
    Schema.decodeTo(Schema.Duration, SchemaTransformation.durationFromMillis)
  ),
  Schema.DurationFromString
])
const HeaderName = Schema.String.check(Schema.isPattern(/^[a-z0-9-]+$/, { expected: "a header name in lower case" }))
const Table = Schema.Struct({ project: Schema.NonEmptyString, table: Schema.NonEmptyString })

/**
 * Settings as JSON, every field optional. `tokenLifetime` and `processingTime` are milliseconds or text such as
 * `"90 seconds"`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Json = Schema.Struct({
  accounts: Schema.optionalKey(Schema.NonEmptyArray(Account.Account)),
  faults: Schema.optionalKey(Schema.Array(FaultRule.FaultRule)),
  tokenLifetime: Schema.optionalKey(Span),
  tokenIn: Schema.optionalKey(Schema.Literals(["both", "header", "cookie", "different", "none"])),
  validTill: Schema.optionalKey(Schema.Literals(["none", "seconds", "millis", "iso"])),
  validTillHeader: Schema.optionalKey(Schema.Literals(["valid_till", "valid-till"])),
  cookieExpiry: Schema.optionalKey(Schema.Literals(["none", "maxAge", "expires"])),
  rejectedLogin: Schema.optionalKey(Schema.Literals([400, 401, 403])),
  lockAfter: Schema.optionalKey(Count),
  errorField: Schema.optionalKey(Schema.Literals(["message", "error"])),
  tables: Schema.optionalKey(Schema.Array(Table)),
  checkedOut: Schema.optionalKey(Schema.Array(Table)),
  concurrentWrites: Schema.optionalKey(Schema.Literals(["serialize", "reject", "lastWins"])),
  maxUploadBytes: Schema.optionalKey(Count),
  earlyAnswers: Schema.optionalKey(Schema.Boolean),
  drainLimit: Schema.optionalKey(Count),
  rateLimit: Schema.optionalKey(Schema.Struct({ requests: Positive, seconds: Positive })),
  idempotencyHeader: Schema.optionalKey(HeaderName),
  minPartBytes: Schema.optionalKey(Count),
  singleUploadAnswer: Schema.optionalKey(Schema.Literals(["uploadId", "nothing"])),
  processingTime: Schema.optionalKey(Span),
  processingOutcome: Schema.optionalKey(
    Schema.Literals(["Success", "Failed", "IncompleteGroupSession", "FailedGroupCheckin"])
  ),
  processingReport: Schema.optionalKey(Schema.Literals(["individual", "group"])),
  allowedHosts: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
  requestIdHeader: Schema.optionalKey(HeaderName)
})
