/**
 * The simulator's options: what differs between installations of the real service, or is unknown about it.
 *
 * **Example** (A simulator that locks accounts)
 *
 * ```ts import.meta.vitest
 * import { SimulatorOptions } from "@effect-resilience/tbm-simulator"
 *
 * const options: SimulatorOptions.SimulatorOptions = { lockAfter: 3, tokenLifetime: "1 minute" }
 *
 * const settings = { ...SimulatorOptions.defaults, ...options }
 * settings.lockAfter // => 3
 * settings.rejectedLogin // => 400
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Account from "./Account.ts"
import * as FaultRule from "./FaultRule.ts"
import type * as SimulatorState from "./SimulatorState.ts"

/**
 * A table of a project, for `tables` and `checkedOut`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableName {
  /** The name of the project. */
  readonly project: string
  /** The name of the table. */
  readonly table: string
}

/**
 * How the simulator behaves. All fields are optional; {@link defaults} has their defaults.
 *
 * - `rateLimit.requests`: how many calls a window allows.
 * - `rateLimit.seconds`: the length of a window.
 *
 * @category models
 * @since 0.1.0
 */
export interface SimulatorOptions {
  /** The accounts that can log in. Default: the sample account. */
  readonly accounts?: ReadonlyArray<Account.Account>
  /** Rules in force from the start and after each reset. Default: none. */
  readonly faults?: ReadonlyArray<FaultRule.FaultRule>
  /** How long a token is valid. Default: 1 hour. */
  readonly tokenLifetime?: Duration.Input
  /** Where the login response carries the token; `different` puts another token into the cookie. Default: `both`. */
  readonly tokenIn?: "both" | "header" | "cookie" | "different" | "none"
  /** The expiry header of the login response and its form. Default: `none`. */
  readonly validTill?: "none" | "seconds" | "millis" | "iso"
  /** The name of that header. Default: `valid_till`. */
  readonly validTillHeader?: "valid_till" | "valid-till"
  /** The expiry attribute of the token cookie. Default: `none`. */
  readonly cookieExpiry?: "none" | "maxAge" | "expires"
  /** The status of a rejected login. Default: 400. */
  readonly rejectedLogin?: 400 | 401 | 403
  /** The number of failed logins in a row that locks an account; 0 never locks. Default: 0. */
  readonly lockAfter?: number
  /** The field of an error body that contains its text. Default: `message`. */
  readonly errorField?: "message" | "error"
  /** The only tables that exist: the response to an upload to another table is 404. Default: an upload creates its table. */
  readonly tables?: ReadonlyArray<TableName> | undefined
  /** Tables that another user has checked out: an upload to one needs the form field `force=true`. Default: none. */
  readonly checkedOut?: ReadonlyArray<TableName>
  /**
   * What happens if writes to one table and period overlap. `serialize`: one comes after the other. `reject`: the response to
   * the later one is 409. `lastWins`: each starts from the table's content at its beginning, so one of two appends is lost.
   * Default: `serialize`.
   */
  readonly concurrentWrites?: "serialize" | "reject" | "lastWins"
  /**
   * The status of a stored upload. `created`: 201 for the first one to a table and period, then 202. `ok`: always 200, the only
   * success that one of the vendor's pages lists. Default: `created`.
   */
  readonly uploadStatus?: "created" | "ok"
  /**
   * How many bytes of uploads are kept for downloads, over all tables. The table that was stored longest ago is dropped first,
   * and the response to its download is 501. Default: 8 MiB.
   */
  readonly keptBytes?: number
  /** The largest file in bytes; the response to a larger one is 413. Default: no limit. */
  readonly maxUploadBytes?: number
  /** Responds to a call that fails on its headers before its body is read. Default: true. */
  readonly earlyAnswers?: boolean
  /** How many bytes of the body are drained after an early response before the connection is cut. Default: 64 MiB. */
  readonly drainLimit?: number
  /** At most `requests` API calls in each window of `seconds`, then 429 with `Retry-After`. Default: no limit. */
  readonly rateLimit?: { readonly requests: number; readonly seconds: number } | undefined
  /**
   * The request header that makes an upload idempotent: a second upload with the same value gets the response to the first, and
   * is not stored. Default: none.
   */
  readonly idempotencyHeader?: string | undefined
  /** The least size in bytes of a part that is not the last. Default: 5 MiB. */
  readonly minPartBytes?: number
  /** What the uploader service's response to a file in one request contains; `nothing` is what the vendor's page says. Default: `uploadId`. */
  readonly singleUploadAnswer?: "uploadId" | "nothing"
  /** How long the uploader service processes. Default: 1 second. */
  readonly processingTime?: Duration.Input
  /** How processing ends. Default: `Success`, which becomes `Failed` if the upload cannot be stored. */
  readonly processingOutcome?: Exclude<SimulatorState.ProcessStatus, "InProcess">
  /**
   * Whether a status has a code for each upload, with `null` for the group, or also one for the group. Default: `individual`,
   * unless there are several uploads or the outcome is that of a group.
   */
  readonly processingReport?: "individual" | "group"
  /**
   * Host names by which the administration can be called, besides `localhost`, addresses and names without a dot, such as
   * `host.docker.internal`. A call under any other name may come from a web page. Default: none.
   */
  readonly allowedHosts?: ReadonlyArray<string>
  /** The response header with the request's id: the id that the request carries, or a running number. Default: none. */
  readonly requestIdHeader?: string | undefined
}

/**
 * The options with all defaults filled in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings extends Required<SimulatorOptions> {}

/**
 * The default of each option.
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
  uploadStatus: "created",
  keptBytes: 8 * 1024 * 1024,
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
 * The options as JSON. `tokenLifetime` and `processingTime` are milliseconds or text such as `"90 seconds"`.
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
  uploadStatus: Schema.optionalKey(Schema.Literals(["created", "ok"])),
  keptBytes: Schema.optionalKey(Count),
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
