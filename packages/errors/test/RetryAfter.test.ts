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

  it("reads the past as zero and accepts enormous times", () => {
    assert.deepStrictEqual(RetryAfter.parse("Thu, 01 Jan 1970 00:00:00 GMT", now), Duration.zero)
    assert.deepStrictEqual(RetryAfter.parse("9".repeat(400), now), Duration.infinity)
  })

  it("reads garbage as undefined", () => {
    const garbage = [
      undefined,
      "",
      " ",
      "-5",
      "+5",
      "1e3",
      "0x10",
      "5 seconds",
      "soon",
      "NaN",
      "Infinity",
      "1.5.2",
      "120;x",
      "2026-01-01",
      "Thu, 99 Jan 2026 00:00:05 GMT",
      "Thu, 01 Jan 2026 00:00:05",
      "١٢"
    ]
    for (const value of garbage) assert.isUndefined(RetryAfter.parse(value, now), String(value))
  })

  it("ignores a date if it does not know the current time", () => {
    assert.isUndefined(RetryAfter.parse("Thu, 01 Jan 2026 00:00:05 GMT", Number.NaN))
    assert.deepStrictEqual(RetryAfter.parse("5", Number.NaN), Duration.seconds(5))
  })

  it("reads what servers send: fractions, other zones and cases, RFC 3339", () => {
    assert.deepStrictEqual(RetryAfter.parse("1.5", now), Duration.millis(1500))
    const inTenSeconds = [
      "Thu, 01 Jan 2026 00:00:10 +0000",
      "Thu, 01 Jan 2026 00:00:10 UTC",
      "Thu, 1 jan 2026 00:00:10 gmt",
      "Thu, 01 Jan 2026 01:00:10 +0100",
      "2026-01-01T00:00:10Z",
      "2026-01-01T01:00:10.000+01:00"
    ]
    for (const value of inTenSeconds) {
      assert.deepStrictEqual(RetryAfter.parse(value, now), Duration.seconds(10), value)
    }
  })

  it("takes the latest of several values, in any form and order", () => {
    const date = "Thu, 01 Jan 2026 00:02:05 GMT"
    for (const value of ["120, 125", "125, 120", `120, ${date}`, `${date}, 120`, "soon, 125", `${date}, ${date}`]) {
      assert.deepStrictEqual(RetryAfter.parse(value, now), Duration.seconds(125), value)
    }
  })

  it("reads a date by the server's own clock, plus the age in a cache", () => {
    const yearOff = Date.UTC(2025, 0, 1)
    const read = (headers: Record<string, string>) =>
      RetryAfter.fromHeaders({ "retry-after": "Thu, 01 Jan 2026 00:00:30 GMT", ...headers }, yearOff)
    assert.deepStrictEqual(read({ date: "Thu, 01 Jan 2026 00:00:00 GMT" }), Duration.seconds(30))
    assert.deepStrictEqual(read({ date: "Thu, 01 Jan 2026 00:00:00 GMT", age: "10" }), Duration.seconds(20))
    assert.deepStrictEqual(read({ date: "Thu, 01 Jan 2026 00:00:00 GMT", age: "3600" }), Duration.zero)
    assert.deepStrictEqual(read({ date: "soon" }), Duration.seconds(365 * 86_400 + 30))
  })

  it("prefers headers in milliseconds, and skips those that it cannot read", () => {
    const read = (headers: Record<string, string>) => RetryAfter.fromHeaders(headers, now)
    assert.deepStrictEqual(read({ "retry-after-ms": "250", "retry-after": "9" }), Duration.millis(250))
    assert.deepStrictEqual(read({ "x-ms-retry-after-ms": "300", "retry-after": "9" }), Duration.millis(300))
    assert.deepStrictEqual(read({ "retry-after-ms": "soon", "retry-after": "9" }), Duration.seconds(9))
    assert.deepStrictEqual(read({ "x-amz-retry-after": "1500" }), Duration.millis(1500))
    assert.isUndefined(read({}))
  })
})
