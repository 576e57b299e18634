import * as ApiError from "@effect-resilience/errors/ApiError"
import * as ErrorBody from "@effect-resilience/errors/ErrorBody"
import * as ForeignText from "@effect-resilience/errors/ForeignText"
import * as Operation from "@effect-resilience/http/Operation"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"

/**
 * The error that the body of a 2xx response reports, as part of a sentence: some services respond 200 and write the error into
 * the body. `confirmed` says that the body also contains the expected fields; then a `message` alone is not an error.
 */
export const reportedErrorOf = (body: unknown, confirmed: boolean): string | undefined => {
  if (!Predicate.isObject(body)) return undefined
  const { message } = ErrorBody.parse(JSON.stringify(body))
  const reported = message === undefined
    ? "a body that reports an error"
    : `the message ${JSON.stringify(ForeignText.oneLine(message, 500))}`
  const verdicts = verdictsIn(body)
  if (verdicts.includes(false)) return reported
  return confirmed || verdicts.includes(true) || message === undefined ? undefined : reported
}

/** Fails with what the response contains. If the call is not idempotent, its outcome is unknown. */
export const undecodable = Effect.fnUntraced(
  function*(response: HttpClientResponse.HttpClientResponse, expected: string, contents: string) {
    const operation = yield* Operation.Current
    const { scrub } = yield* Scrubber.Current
    const { method } = response.request
    const failure = new ApiError.UndecodableResponse({ status: response.status, expected, got: scrub(contents) })
    return yield* Effect.fail(
      new ApiError.ApiError({
        method,
        endpoint: Operation.endpointOf(operation),
        reason: Operation.isIdempotent(operation, response.request)
          ? failure
          : new ApiError.OutcomeUnknown({ failure })
      })
    )
  }
)

const errorKeys = ["error", "errors", "error_description", "exception"] as const
const verdictKeys = ["status", "statusCode", "result", "state", "success", "ok"] as const

const isNothing = (value: unknown): boolean =>
  value === undefined || value === null || value === false || value === 0 ||
  (Array.isArray(value) && value.length === 0) ||
  (Predicate.isObject(value) && Object.keys(value).length === 0) ||
  (typeof value === "string" && /^(?:none|no|null|ok)?$/i.test(withoutDenied(value)))

// `"Completed without errors"` reports none.
const withoutDenied = (text: string): string =>
  text.replace(/\b(?:no|without|0|zero) (?:any )?(?:err(?:or)?s?|fail(?:ed|ures?)?)\b/gi, "").trim()

/** What a body says of itself: false for an error. */
const verdictsIn = (body: object, depth = 0): ReadonlyArray<boolean> =>
  errorKeys.some((key) => Predicate.hasProperty(body, key) && !isNothing(body[key]))
    ? [false]
    : verdictKeys.flatMap((key) => Predicate.hasProperty(body, key) ? verdictOf(body[key], depth) : [])

const verdictOf = (value: unknown, depth: number): ReadonlyArray<boolean> => {
  if (typeof value === "boolean") return [value]
  if (typeof value === "number") return value >= 200 && value < 600 ? [value < 300] : []
  // `{"result": {"status": "error"}}`
  if (Predicate.isObject(value)) return depth < 2 ? verdictsIn(value, depth + 1) : []
  if (typeof value !== "string") return []
  if (/^\d{3}$/.test(value)) return verdictOf(Number(value), depth)
  const said = withoutDenied(value)
  return bad.test(said) ? [false] : good.test(said) ? [true] : []
}

const bad =
  /^(?:false|no)$|\b(?:err(?:or)?s?|fail(?:ed|ure)?|unsuccess(?:ful)?|denied|reject(?:ed)?|invalid|refused|forbidden|unauthori[sz]ed)\b/i
const good = /^(?:true|yes|ok|success(?:ful)?|succeeded|done|accepted|created|completed?)$/i
