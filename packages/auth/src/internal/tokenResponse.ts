import * as ApiError from "@effect-resilience/errors/ApiError"
import * as ErrorBody from "@effect-resilience/errors/ErrorBody"
import * as ForeignText from "@effect-resilience/errors/ForeignText"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as Operation from "@effect-resilience/http/Operation"
import * as ResponseBody from "@effect-resilience/http/ResponseBody"
import * as Scrubber from "@effect-resilience/http/Scrubber"
import * as Bytes from "@effect-resilience/kernel/Bytes"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as AuthError from "../AuthError.ts"
import * as Expiry from "../Expiry.ts"
import type { Grant } from "../Grant.ts"
import { judgeCode } from "./oauthCode.ts"

/**
 * Reads the response of a token endpoint (RFC 6749, section 5.1): JSON, or form-encoded as some servers send it. Strict where
 * a guess could do harm: the token, its type, and an `error` in spite of the status. Lenient elsewhere, since a lifetime that
 * cannot be read has a default, and the scope is only shown.
 */
export const read = /* @__PURE__ */ Effect.fnUntraced(
  function*(
    response: HttpClientResponse.HttpClientResponse,
    startedAt: number
  ): Effect.fn.Return<Grant, AuthError.AuthError | ApiError.ApiError> {
    const operation = yield* Operation.Current
    const unexpected = (expected: string, got: string) =>
      Effect.fail(
        new ApiError.ApiError({
          method: response.request.method,
          endpoint: Operation.endpointOf(operation),
          reason: new ApiError.UndecodableResponse({ status: response.status, expected, got })
        })
      )

    const text = yield* textOf(response)
    if (text === undefined) return yield* unexpected("a token", `more than ${ResponseBody.maxBytes} bytes`)
    const fields = fieldsOf(text, response.headers["content-type"])
    if (fields === undefined) return yield* unexpected("JSON", shapeOf(text))

    const { access_token: value, error, expires_in: lifetime, scope, token_type: type } = fields
    if (typeof error === "string" && error !== "") return yield* rejected(error, text)
    if (typeof value !== "string" || value === "") {
      const got = value === undefined || value === null ? "none" : value === "" ? "an empty one" : "one that is no text"
      return yield* unexpected("an access_token", got)
    }
    const isBearer = type === undefined || type === null || type === "" ||
      (typeof type === "string" && /^\s*bearer(?:[ _-]?token)?\s*$/i.test(type))
    if (!isBearer) return yield* unexpected("the token_type Bearer", `the token_type ${JSON.stringify(type)}`)

    const scopes = typeof scope === "string"
      ? scope
      : Array.isArray(scope)
      ? scope.filter(Predicate.isString).join(" ")
      : ""
    return {
      value: Redacted.make(value),
      expiresAt: Expiry.fromSeconds(secondsOf(lifetime), startedAt),
      attributes: scopes === "" ? {} : { scope: scopes }
    }
  }
)

/** `undefined` for a body that is too long. */
const textOf = /* @__PURE__ */ Effect.fnUntraced(function*(response: HttpClientResponse.HttpClientResponse) {
  const { bytes, truncated } = yield* Effect.mapError(
    Bytes.readAtMost(response.stream, ResponseBody.maxBytes),
    () => new AuthError.AuthError({ reason: brokenOff })
  )
  return truncated ? undefined : new TextDecoder().decode(bytes)
})

const brokenOff = /* @__PURE__ */ new AuthError.Unavailable({
  detail: "the response of the token endpoint broke off",
  recovery: Recovery.retry
})

const fieldsOf = (text: string, contentType: string | undefined): { readonly [name: string]: unknown } | undefined => {
  const json = Result.getOrUndefined(Result.try((): unknown => JSON.parse(text)))
  if (Predicate.isObject(json) && !Array.isArray(json)) return { ...json }
  const isForm = contentType?.toLowerCase().includes("x-www-form-urlencoded") === true ||
    /^\s*[\w.-]+=[^\s<]*\s*$/.test(text)
  return isForm ? Object.fromEntries(new URLSearchParams(text.trim())) : undefined
}

const rejected = /* @__PURE__ */ Effect.fnUntraced(function*(code: string, text: string) {
  const { scrub } = yield* Scrubber.Current
  const { message } = ErrorBody.parse(scrub(text))
  const about = judgeCode(code)
  const detail = message ?? scrub(code)
  return yield* Effect.fail(
    new AuthError.AuthError({
      reason: about === "transient"
        ? new AuthError.Unavailable({ detail: `the token endpoint says ${detail}`, recovery: Recovery.retry })
        : new AuthError.Rejected({
          detail,
          code: ForeignText.oneLine(scrub(code), 100),
          final: about === "credentials"
        })
    })
  )
})

// RFC 6749 has a number; some servers send it as text.
const secondsOf = (lifetime: unknown): number | undefined => {
  const seconds = typeof lifetime === "string" && lifetime.trim() !== "" ? Number(lifetime) : lifetime
  return typeof seconds === "number" ? seconds : undefined
}

const shapeOf = (text: string): string => {
  const { kind } = ErrorBody.parse(text)
  return kind === "json" || kind === "problem" ? "JSON of another shape" : ErrorBody.describe(kind)
}
