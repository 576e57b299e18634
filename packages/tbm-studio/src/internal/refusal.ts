import * as ApiError from "@effect-resilience/errors/ApiError"
import * as ErrorBody from "@effect-resilience/errors/ErrorBody"
import * as ForeignText from "@effect-resilience/errors/ForeignText"
import * as Operation from "@effect-resilience/http/Operation"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"

/**
 * What a response of success holds that speaks against it, for a sentence: some services answer 200 and write the error into the body. `confirmed`
 * tells that the body also holds what was asked for; then a mere `message` is no error.
 */
export const refusalOf = (body: unknown, confirmed: boolean): string | undefined => {
  if (!Predicate.isObject(body)) return undefined
  const { message } = ErrorBody.parse(JSON.stringify(body))
  const said = message === undefined
    ? "a body that tells of an error"
    : `the message ${JSON.stringify(ForeignText.oneLine(message, 500))}`
  if (errorKeys.some((key) => Predicate.hasProperty(body, key) && !isNothing(body[key]))) return said
  const verdicts = verdictKeys.flatMap((key) => Predicate.hasProperty(body, key) ? verdictOf(body[key]) : [])
  if (verdicts.includes(false)) return said
  return confirmed || verdicts.includes(true) || message === undefined ? undefined : said
}

/** Fails with what the response holds, in the terms of the call: where that must not be repeated, its outcome is unknown. */
export const refuse = Effect.fnUntraced(
  function*(response: HttpClientResponse.HttpClientResponse, expected: string, holds: string) {
    const operation = yield* Operation.Current
    const { scrub } = yield* Scrubber.Current
    const { method } = response.request
    const failure = new ApiError.UndecodableResponse({ status: response.status, expected, got: scrub(holds) })
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
  value === undefined || value === null || value === "" || value === false || value === 0 ||
  (Array.isArray(value) && value.length === 0) ||
  (Predicate.isObject(value) && Object.keys(value).length === 0)

const verdictOf = (value: unknown): ReadonlyArray<boolean> => {
  if (typeof value === "boolean") return [value]
  if (typeof value === "number") return value >= 200 && value < 600 ? [value < 300] : []
  if (typeof value !== "string") return []
  return bad.test(value) ? [false] : good.test(value) ? [true] : []
}

const bad = /\b(?:err(?:or)?s?|fail(?:ed|ure)?|denied|reject(?:ed)?|invalid|refused|forbidden|unauthori[sz]ed)\b/i
const good = /^(?:ok|success(?:ful)?|succeeded|done|accepted|created|completed?)$/i
