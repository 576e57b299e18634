/**
 * Faults on request: what goes wrong, in which calls, and how often.
 *
 * Rules are plain JSON, the same in a scenario file, over HTTP and in code. Each API call tries the rules in order; only the
 * fault of the first rule that fires applies. At most {@link maxRules} rules are in force at a time.
 *
 * **Example** (Two uploads get a 503)
 *
 * ```ts import.meta.vitest
 * import { FaultRule } from "@effect-resilience/tbm-simulator"
 * import { Result } from "effect"
 *
 * const rules = FaultRule.decode([
 *   { match: { operation: "upload" }, times: 2, fault: { type: "status", status: 503, headers: { "retry-after": "1" } } }
 * ])
 * Result.isSuccess(rules) // => true
 * Result.isSuccess(FaultRule.decode([{ fault: { type: "explode" } }])) // => false
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Status = Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 }))

/**
 * What goes wrong.
 *
 * **Details**
 *
 * - `status`: responds at once, before the body is read. A `body` that is text is sent as it is, anything else as JSON;
 *   without `body`, `{"message": …}` with the status. A `headers` value that is an array becomes repeated headers.
 * - `delay`: waits `ms` milliseconds, then handles the call.
 * - `hang`: stops reading and never responds; the client has to give up.
 * - `reset`: breaks the connection with a TCP reset: `connect` before any of the body is read, `midRequest` after half
 *   of the body, `beforeResponse` after all of it, `midResponse` after half of the response.
 * - `expireTokens`: expires all issued tokens, then handles the call, so the response is 401 if the call carries one.
 * - `slow`: reads the body and writes the response at `bytesPerSecond`.
 * - `truncate`: sends half of the response under its full `Content-Length`, then closes the connection in an orderly way.
 * - `html`: an HTML page with that status; below 400 it is a login page.
 * - `redirect`: 307 to `location`.
 * - `corruptMd5`: the response to an upload has a wrong md5; a part is rejected as if it had been damaged in transit. Fires
 *   on `upload` and `part` only.
 * - `echoSecrets`: an error whose text repeats the request's headers and, for a login, the body.
 *
 * @category models
 * @since 0.1.0
 */
export const Fault = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("status"),
    status: Status,
    headers: Schema.optionalKey(
      Schema.Record(
        Schema.String.check(Schema.isPattern(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, { expected: "a header name" })),
        Schema.Union([HeaderValue(), Schema.Array(HeaderValue())])
      )
    ),
    body: Schema.optionalKey(Schema.Json)
  }),
  Schema.Struct({
    type: Schema.Literal("delay"),
    ms: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
  }),
  Schema.Struct({ type: Schema.Literal("hang") }),
  Schema.Struct({
    type: Schema.Literal("reset"),
    at: Schema.Literals(["connect", "midRequest", "beforeResponse", "midResponse"])
  }),
  Schema.Struct({ type: Schema.Literal("expireTokens") }),
  Schema.Struct({
    type: Schema.Literal("slow"),
    bytesPerSecond: Schema.Finite.check(Schema.isGreaterThan(0))
  }),
  Schema.Struct({ type: Schema.Literal("truncate") }),
  Schema.Struct({ type: Schema.Literal("html"), status: Status }),
  Schema.Struct({ type: Schema.Literal("redirect"), location: HeaderValue() }),
  Schema.Struct({ type: Schema.Literal("corruptMd5") }),
  Schema.Struct({ type: Schema.Literal("echoSecrets"), status: Status })
])

/**
 * One of the faults that the schema of the same name describes.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = typeof Fault.Type

/**
 * The operation of a call: `login`, `environment`, `upload` and `download` (of a table), and those of the uploader service: `single`
 * (a file in one request), `initiate`, `part`, `finalize`, `abort`, `process` and `status`.
 *
 * @category models
 * @since 0.1.0
 */
export const Operation = Schema.Literals([
  "login",
  "environment",
  "upload",
  "download",
  "single",
  "initiate",
  "part",
  "finalize",
  "abort",
  "process",
  "status"
])

/**
 * One of the names that the schema of the same name lists.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = typeof Operation.Type

/**
 * The calls to which a rule applies. All given conditions must be true; an empty match is every API call.
 *
 * **Details**
 *
 * - `operation`: one of `Operation`.
 * - `method`: in any case.
 * - `path`: text that the path contains, as sent or decoded, without the query. `*` is any text.
 *
 * @category models
 * @since 0.1.0
 */
export const Match = Schema.Struct({
  operation: Schema.optionalKey(Operation),
  method: Schema.optionalKey(Schema.NonEmptyString),
  path: Schema.optionalKey(Schema.NonEmptyString)
})

/**
 * The calls to which a rule applies, as the schema of the same name describes them.
 *
 * @category models
 * @since 0.1.0
 */
export type Match = typeof Match.Type

/**
 * A fault, and when its rule fires.
 *
 * **Details**
 *
 * - `match`: default every API call. Rules do not match calls to `/__simulator`.
 * - `after`: the rule skips the first `after` matching calls, default 0. A call counts even if an earlier rule fires on it,
 *   so each rule counts on its own.
 * - `times`: the rule fires at most that many times, default no limit.
 * - `probability`: that the rule fires on a matching call, from 0 to 1, default 1; drawn from the simulator's seed.
 * - `apply`: stores the upload before the fault, default false. Then the whole body is read, whatever the fault. Without
 *   `apply`, `delay`, `slow` and `expireTokens` handle the call; all other faults store nothing.
 *
 * @category models
 * @since 0.1.0
 */
export const FaultRule = Schema.Struct({
  match: Schema.optionalKey(Match),
  after: Schema.optionalKey(Count),
  times: Schema.optionalKey(Count),
  probability: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
  apply: Schema.optionalKey(Schema.Boolean),
  fault: Fault
})

/**
 * A decoded rule.
 *
 * @category models
 * @since 0.1.0
 */
export type FaultRule = typeof FaultRule.Type

/**
 * The most rules that can be in force, as each call is compared with all of them: 10,000. Rules that have fired `times` times
 * do not count.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxRules = 10_000

/**
 * Decodes rules from any value. The failure says what is wrong and where.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (input: unknown): Result.Result<ReadonlyArray<FaultRule>, Schema.SchemaError> =>
  Result.andThen(decodeTypes(input), () => decodeRules(input))

// The failure of a union lists all members; decoding the type first gives a short message.
const decodeTypes = Schema.decodeUnknownResult(
  Schema.Array(Schema.Struct({
    fault: Schema.Struct({ type: Schema.Literals(Fault.members.map((member) => member.fields.type.literal)) })
  }))
)

const decodeRules = Schema.decodeUnknownResult(Schema.Array(FaultRule).check(Schema.isMaxLength(maxRules)), {
  errors: "all",
  onExcessProperty: "error"
})

function HeaderValue() {
  return Schema.String.check(Schema.isPattern(/^[\t\x20-\x7e\x80-\xff]*$/, { expected: "a header value" }))
}
