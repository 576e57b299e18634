import { RetryAfter } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"

const now = Date.UTC(2026, 0, 1)

describe("RetryAfter", () => {
  it.prop(
    "reads back whole seconds and dates",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10 ** 9 }))],
    (
      [seconds]
    ) => {
      const expected = Duration.toMillis(Duration.seconds(seconds))
      const date = new Date(now + seconds * 1000).toUTCString()
      for (const value of [String(seconds), ` ${seconds} `, date]) {
        assert.strictEqual(Duration.toMillis(RetryAfter.parse(value, now) ?? Duration.infinity), expected)
      }
    }
  )

  it("reads the two obsolete forms of a date", () => {
    const at = Date.UTC(1994, 10, 6, 8, 49, 37)
    for (const date of ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]) {
      assert.deepStrictEqual(RetryAfter.parse(date, at - 5000), Duration.seconds(5))
    }
  })

  it("takes the past for now and the enormous as it is", () => {
    assert.deepStrictEqual(RetryAfter.parse("Thu, 01 Jan 1970 00:00:00 GMT", now), Duration.zero)
    assert.deepStrictEqual(RetryAfter.parse("9".repeat(400), now), Duration.infinity)
  })

  it("takes garbage for nothing", () => {
    const garbage = [
      undefined,
      "",
      " ",
      "-5",
      "+5",
      "1.5",
      "1e3",
      "0x10",
      "5 seconds",
      "soon",
      "NaN",
      "Infinity",
      "2026-01-01T00:00:00Z",
      "Thu, 99 Jan 2026 00:00:05 GMT",
      "Thu, 01 Jan 2026 00:00:05",
      "١٢"
    ]
    for (const value of garbage) assert.isUndefined(RetryAfter.parse(value, now), String(value))
  })

  it("does not guess at a date without knowing the time", () => {
    assert.isUndefined(RetryAfter.parse("Thu, 01 Jan 2026 00:00:05 GMT", Number.NaN))
    assert.deepStrictEqual(RetryAfter.parse("5", Number.NaN), Duration.seconds(5))
  })

  it("prefers milliseconds, and passes over those that it cannot read", () => {
    const read = (headers: Record<string, string>) => RetryAfter.fromHeaders(headers, now)
    assert.deepStrictEqual(read({ "retry-after-ms": "250", "retry-after": "9" }), Duration.millis(250))
    assert.deepStrictEqual(read({ "x-ms-retry-after-ms": "300", "retry-after": "9" }), Duration.millis(300))
    assert.deepStrictEqual(read({ "retry-after-ms": "soon", "retry-after": "9" }), Duration.seconds(9))
    assert.isUndefined(read({}))
  })
})
