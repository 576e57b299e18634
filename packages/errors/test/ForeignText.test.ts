import { ApiError, ForeignText } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"

const forbidden = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\u115f\u3164]|\u034f/u

const nasty = fc.array(
  fc.oneof(
    fc.constantFrom(
      "\u001b[31m",
      "\u001b]0;title\u0007",
      "\u009b31m",
      "\u202e",
      "\u2066",
      "\u200b",
      "\u2060",
      "\ufeff"
    ),
    fc.constantFrom(
      "\r\n",
      "\n",
      "\t",
      "\u0085",
      "\u2028",
      "\ud800",
      "\udc00",
      "\u{e0041}",
      "\u034f",
      "\u3164",
      "\u00ad"
    ),
    fc.string({ unit: "binary" })
  ),
  { maxLength: 30 }
).map((parts) => parts.join(""))

describe("ForeignText", () => {
  it("keeps prose to one line without escapes, overrides and halves of characters", () => {
    assert.strictEqual(ForeignText.oneLine("a\u001b[31mb\u0007\r\nc\u202ed\ud800"), "a [31mb c d\ufffd")
    assert.strictEqual(ForeignText.oneLine("  é 日本 ⚠️ नमस्ते  "), "é 日本 ⚠️ नमस्ते")
  })

  it("shows all characters of a name, so that two names never look alike", () => {
    assert.strictEqual(ForeignText.name("a\u200b.csv"), "a\\u{200b}.csv")
    assert.strictEqual(ForeignText.name("b\nFAKE line.csv"), "b\\u{a}FAKE line.csv")
    assert.strictEqual(ForeignText.name("x\udc00\u{e0041}"), "x\\u{dc00}\\u{e0041}")
    assert.strictEqual(ForeignText.name("Cost  Ünits 日本"), "Cost  Ünits 日本")
  })

  it("keeps the line breaks and tabs of a longer text, and no other control characters", () => {
    assert.strictEqual(ForeignText.lines("a\r\n\tb\u2028c\u001b[2Jd\re"), "a\n\tb\nc[2Jd\ne")
  })

  it("cuts only what is longer than allowed", () => {
    for (const print of [ForeignText.oneLine, ForeignText.name, ForeignText.lines]) {
      assert.strictEqual(print("abcd", 4), "abcd")
      assert.strictEqual(print("abcde", 4), "abc…")
    }
    assert.strictEqual(ForeignText.name("x".repeat(201)), `${"x".repeat(199)}…`)
    assert.lengthOf(ForeignText.lines("x".repeat(5_000)), 5_000)
  })

  it("cuts between characters", () => {
    assert.strictEqual(ForeignText.oneLine("😀😀😀", 4), "😀…")
    assert.strictEqual(ForeignText.name("😀😀😀", 4), "😀…")
    assert.strictEqual(ForeignText.oneLine("x".repeat(5_000)).length, ForeignText.maxLength)
  })

  it("is applied in the messages of ApiError", () => {
    const error = new ApiError.ApiError({
      method: "GET",
      endpoint: "/x",
      requestId: "r\u009b31mX",
      reason: ApiError.reasonFromStatus(400, { detail: "no\u001b]0;x\u0007\nFAKE" })
    })
    assert.notMatch(error.message, forbidden)
  })

  it("removes all that a terminal obeys", () => {
    fc.assert(
      fc.property(nasty, (text) => {
        assert.notMatch(ForeignText.oneLine(text), forbidden)
        assert.notMatch(ForeignText.name(text), forbidden)
        assert.notMatch(ForeignText.lines(text).replace(/[\n\t]/g, ""), forbidden)
      }),
      { seed: 14 }
    )
  })

  it("is linear in long runs", () => {
    const start = process.cpuUsage()
    for (const run of ["\u200b", " ", "\n", "\u001b", "\ud800", "\r"]) {
      for (const print of [ForeignText.oneLine, ForeignText.lines]) print(`a${run.repeat(1_000_000)}b`, 100)
    }
    assert.isBelow(process.cpuUsage(start).user / 1000, 2_000)
  })
})
