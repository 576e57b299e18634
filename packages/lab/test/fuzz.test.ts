import { Traffic } from "@effect-resilience/lab"
import { Result } from "effect"
import * as fc from "fast-check"
import { assert, it, vi } from "vitest"
import { fuzz, jsonText, like, text } from "../../repo-checks/src/Fuzz.ts"
import * as DescriptionText from "../src/internal/descriptionText.ts"

const description = jsonText(like({
  name: "ledger",
  retry: { times: 3, backoff: { base: "100 millis" } },
  circuitBreaker: { tripPolicy: [{ consecutive: 5 }] },
  bulkhead: { permits: 10 },
  hedge: { idempotent: true }
}, {
  name: "shop",
  baseUrl: "https://shop.example.com",
  idempotency: { methods: ["POST"] },
  operations: { order: { endpoint: "POST /orders", idempotent: true, pipeline: { hedge: {} } } }
}))

const yaml = text(
  "name: ledger\n",
  "retry:\n",
  "  times: 3\n",
  "- ",
  "&a ",
  "*a",
  "<<: *a\n",
  "!!js/function ",
  "? ",
  ": ",
  "|\n",
  ">-\n",
  "{",
  "}",
  "[",
  "]",
  "\t",
  "---\n",
  "%YAML 1.1\n",
  "\"",
  "'",
  "#",
  "0x1f",
  "~",
  "__proto__: {polluted: true}\n"
)

fuzz("the text of a description is linted, or says in one line why not", fc.oneof(description, yaml), (text) => {
  for (const isJson of [false, true]) {
    const parsed = DescriptionText.parse(text, isJson)
    if (Result.isSuccess(parsed)) DescriptionText.lint(parsed.success)
    else assert.isString(parsed.failure)
  }
})

const line = fc.oneof(
  jsonText(like(
    { time: "2026-01-01T00:00:00Z", durationMs: 12, status: 200, method: "GET" },
    { start_time: "2026-01-01T00:00:00Z", duration: 12, response_code: 503, response_flags: "UF" },
    { traceId: "a", spanId: "b", startTimeUnixNano: "1", endTimeUnixNano: "2", attributes: [] }
  )),
  text(
    "[2026-01-01T00:00:00.000Z]",
    "\"GET / HTTP/1.1\"",
    " 200 ",
    " - ",
    "127.0.0.1 - - [01/Jan/2026:00:00:00 +0000]",
    "\"",
    "12"
  )
)

fuzz(
  "recorded traffic is calls in their order, and lines that are not read",
  fc.array(line, { maxLength: 20 }),
  (lines) => {
    const { calls, unread } = Traffic.read(lines)
    assert.isAtMost(unread, lines.length)
    for (const { atMillis, millis } of calls) {
      assert.isFalse(Number.isNaN(atMillis))
      assert.isFalse(Number.isNaN(millis))
    }
  }
)

it("reads a YAML text with a list for a key without a warning of Node", () => {
  const warn = vi.spyOn(process, "emitWarning")
  assert.isTrue(Result.isSuccess(DescriptionText.parse("? [a, b]\n: 1")))
  assert.strictEqual(warn.mock.calls.length, 0)
})
