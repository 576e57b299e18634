/**
 * Faults on order: what goes wrong, with which calls, and how often.
 *
 * Rules are plain JSON, the same in a scenario file, over HTTP and in code. They are tried in order for every API call;
 * the first that fires strikes, and no other does. At most {@link maxRules} are in force at a time.
 *
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
 * - `status`: answered at once, before the body is read. `body`: text is sent as it is, anything else as JSON; without
 *   one, `{"message": …}` of the status. A `headers` value that is an array becomes repeated headers.
 * - `delay`: waits `ms` milliseconds, then goes on as usual.
 * - `hang`: reads nothing more and never answers; the client has to give up.
 * - `reset`: the connection breaks with a TCP reset: `connect` before any of the body is read, `midRequest` after half
 *   of the body, `beforeResponse` after all of it, `midResponse` after half of the answer.
 * - `expireTokens`: every token issued so far expires, then the call is handled, and so answered 401 if it carries one.
 * - `slow`: the body is read, and the answer written, at `bytesPerSecond`.
 * - `truncate`: the answer declares its length, half of it is sent, and the connection is closed in good order.
 * - `html`: an HTML page with that status; with 200 it is a login page.
 * - `redirect`: 307 to `location`.
 * - `corruptMd5`: the answer to an upload tells a wrong md5; a part is refused, as if it had been damaged on the way. Fires
 *   on `upload` and `part` only.
 * - `echoSecrets`: an error whose text repeats the request's headers and, of a login, the body.
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
 * @category models
 * @since 0.1.0
 */
export type Fault = typeof Fault.Type

/**
 * What a call asks for: `login`, `environment`, `upload` (of a table), and the calls to the uploader service: `single`
 * (a file in one request), `initiate`, `part`, `finalize`, `abort`, `process` and `status`.
 *
 * @category models
 * @since 0.1.0
 */
export const Operation = Schema.Literals([
  "login",
  "environment",
  "upload",
  "single",
  "initiate",
  "part",
  "finalize",
  "abort",
  "process",
  "status"
])

/**
 * @category models
 * @since 0.1.0
 */
export type Operation = typeof Operation.Type

/**
 * The calls that a rule is for. Everything given must hold; an empty match is every API call.
 *
 * **Details**
 *
 * - `operation`: one of `Operation`.
 * - `method`: in any case.
 * - `path`: text that the path contains, as it was sent or decoded, without the query. `*` stands for anything.
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
 * @category models
 * @since 0.1.0
 */
export type Match = typeof Match.Type

/**
 * A fault, and when it strikes.
 *
 * **Details**
 *
 * - `match`: default every API call. Calls to `/__simulator` are never struck.
 * - `after`: the first `after` matching calls are let through, default 0. A call counts even when an earlier rule
 *   struck it, so that each rule keeps its own timetable.
 * - `times`: strikes at most so often, default without limit.
 * - `probability`: of each matching call, from 0 to 1, default 1; drawn from the simulator's seed.
 * - `apply`: stores the upload before the fault strikes, default false. Then the whole body is read, whatever the
 *   fault. Without it, `delay`, `slow` and `expireTokens` end in the usual handling; every other fault stores nothing.
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
 * @category models
 * @since 0.1.0
 */
export type FaultRule = typeof FaultRule.Type

/**
 * The most rules that can be in force, as each call is held against all of them: 10,000. Those that have struck as often as
 * they may do not count.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxRules = 10_000

/**
 * Reads rules from anything. The failure says what is wrong and where.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (input: unknown): Result.Result<ReadonlyArray<FaultRule>, Schema.SchemaError> =>
  Result.andThen(decodeTypes(input), () => decodeRules(input))

// A union's own failure lists all its members; asking for the type first names it alone.
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
