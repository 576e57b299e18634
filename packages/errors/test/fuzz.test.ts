import {
  Classifier,
  ErrorBody,
  ForeignText,
  LibraryErrors,
  RateLimitHeaders,
  RetryAfter,
  RetryHeaders
} from "@effect-resilience/errors"
import { Duration } from "effect"
import * as fc from "fast-check"
import { assert } from "vitest"
import { bytes, fuzz, jsonText, like, text } from "../../repo-checks/src/Fuzz.ts"

const now = Date.UTC(2026, 0, 1)

const dates = text(
  "Thu, 01 Jan 2026 00:00:03 GMT",
  "Thursday, 01-Jan-26",
  "2026-01-01T00:00:00Z",
  "Thu",
  ",",
  " ",
  ":",
  "-",
  "GMT",
  "9"
)

const control = /\p{Cc}/u

const values = fc.oneof(
  dates,
  text("limit=100", "remaining=0", ";", ",", "=", "r=0", "t=5", "\"default\"", "\"", "\\", "1h2m", "ms", "q=10")
)

const names = [
  "retry-after",
  "retry-after-ms",
  "x-ms-retry-after-ms",
  "x-amz-retry-after",
  "date",
  "ratelimit",
  "ratelimit-remaining",
  "ratelimit-reset",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "x-ratelimit-reset-after",
  "x-should-retry"
]

const headers = fc.dictionary(fc.constantFrom(...names), values, { maxKeys: 5 })

const isDelay = (delay: Duration.Duration | undefined) => {
  if (delay !== undefined) assert.isTrue(Duration.toMillis(delay) >= 0)
}

fuzz("Retry-After is a delay or nothing", dates, (value) => isDelay(RetryAfter.parse(value, now)))

fuzz("the headers of rate limits and retries are delays or nothing", headers, (headers) => {
  isDelay(RetryAfter.fromHeaders(headers, now))
  isDelay(RateLimitHeaders.parse(headers, now)?.resetAfter)
  for (const status of [429, 503, 413]) {
    isDelay(RateLimitHeaders.exhaustedFor({ status, headers }, now))
    isDelay(RetryHeaders.read({ status, headers }, now).retryAfter)
  }
})

const bodies = fc.oneof(
  jsonText(like(
    { error: { code: 5, message: "no such table", details: [{ reason: "x" }] } },
    { type: "about:blank", title: "Bad", detail: "no such table", status: 404, instance: "/x" },
    { errors: [{ detail: "no such table" }], error_description: "x" }
  )),
  text(
    "<",
    ">",
    "<title>",
    "</title>",
    "<h1",
    "<!DOCTYPE html>",
    "&amp;",
    "&#x41;",
    "<?xml version=\"1.0\"?>",
    "<Error>",
    "<Message>",
    "<!--",
    "<![CDATA[",
    "]]>"
  )
)

fuzz(
  "the body of an error is a message of bounded length, or none",
  fc.record({
    body: bytes(bodies),
    contentType: fc.option(
      fc.constantFrom("application/json", "text/html", "application/problem+json", "", "text/xml"),
      {
        nil: undefined
      }
    )
  }),
  ({ body, contentType }) => {
    for (const input of [body, new TextDecoder().decode(body)]) {
      const { message = "" } = ErrorBody.parse(input, { contentType })
      assert.isAtMost(message.length, 4_000)
      assert.notMatch(message, control)
    }
  }
)

fuzz("foreign text is one line", text("\n", "\u001b[2J", "\u202e", "\0", "\u2028", "a"), (text) => {
  for (const shown of [ForeignText.oneLine(text), ForeignText.name(text)]) assert.notMatch(shown, control)
  ForeignText.lines(text)
})

fuzz(
  "any error has a recovery",
  like(
    { code: "ECONNRESET", syscall: "read", cause: { code: "UND_ERR_SOCKET" } },
    { response: { status: 503, headers: { "retry-after": "5" } }, isAxiosError: true },
    { status: 429, headers: { "retry-after": "5" }, error: { code: "rate_limit_exceeded" } },
    { $metadata: { httpStatusCode: 500 }, name: "ThrottlingException", $retryable: { throttling: true } },
    { code: 14, details: "unavailable", metadata: {} },
    { isAxiosError: true, code: "ERR_NETWORK", message: "Network Error" },
    { code: "40001", severity: "ERROR" },
    { code: "ERR_SQLITE_ERROR", errcode: 5 }
  ),
  (error) => {
    assert.property(Classifier.classify(error, now), "_tag")
    const recovery = LibraryErrors.classify(error)
    if (recovery !== undefined) assert.property(recovery, "_tag")
  }
)
