import { Expiry } from "@effect-resilience/auth"
import { assert, describe, it } from "@effect/vitest"
import { Cookies } from "effect/http"

const instant = Date.UTC(2026, 5, 1, 12, 30, 0)
const cookie = (header: string) => {
  const parsed = Cookies.fromSetCookie(header).cookies["t"]
  if (parsed === undefined) throw new Error("no cookie")
  return parsed
}

describe("Expiry", () => {
  for (
    const [text, expected] of [
      [String(instant / 1_000), instant],
      [String(instant), instant],
      ["2026-06-01T12:30:00Z", instant],
      ["2026-06-01T12:30", instant],
      ["2026-06-01T12:30:00", instant],
      ["2026-06-01T12:30:00.250", instant + 250],
      ["2026-06-01t12:30:00z", instant],
      ["2026-06-01T14:30:00+02:00", instant],
      ["2026-06-01T14:30+0200", instant],
      ["x2026-06-01T12:30:00Z", undefined],
      ["2026-06-01T12:30:00Zx", undefined],
      ["2026-06-01T12:30:00.250Z", instant + 250],
      ["Mon, 01 Jun 2026 12:30:00 GMT", instant],
      ["Monday, 01-Jun-26 12:30:00 GMT", instant],
      [" 1780317000 ", instant],
      ["", undefined],
      ["-1", undefined],
      ["0", undefined],
      ["soon", undefined],
      ["2026-13-45T99:00:00Z", undefined],
      ["June 1", undefined],
      ["NaN", undefined],
      ["1e400", undefined]
    ] as const
  ) {
    it(`reads ${JSON.stringify(text)}`, () => assert.strictEqual(Expiry.parse(text), expected))
  }

  it("prefers a cookie's Max-Age to its Expires", () => {
    const both = cookie("t=1; Max-Age=60; Expires=Mon, 01 Jun 2026 12:30:00 GMT")
    assert.strictEqual(Expiry.fromCookie(both, { now: instant, serverNow: instant }), instant + 60_000)
    const expires = cookie("t=1; Expires=Mon, 01 Jun 2026 12:30:00 GMT")
    assert.strictEqual(Expiry.fromCookie(expires, { now: 0, serverNow: undefined }), instant)
    assert.strictEqual(Expiry.fromCookie(cookie("t=1; Expires=never"), { now: 0, serverNow: undefined }), undefined)
    assert.strictEqual(Expiry.fromCookie(cookie("t=1"), { now: 0, serverNow: undefined }), undefined)
  })

  it("moves the server's instants to our clock, and leaves lifetimes alone", () => {
    const hourBehind = { now: instant, serverNow: instant - 3_600_000 }
    assert.strictEqual(Expiry.onOurClock(instant, hourBehind), instant + 3_600_000)
    assert.strictEqual(Expiry.fromCookie(cookie("t=1; Max-Age=60"), hourBehind), instant + 60_000)
    assert.strictEqual(Expiry.fromSeconds(60, instant), instant + 60_000)
    assert.strictEqual(Expiry.fromSeconds(undefined, instant), undefined)
    assert.strictEqual(Expiry.fromSeconds(Number.NaN, instant), undefined)
  })

  it("reads the server's time where it says it", () => {
    assert.strictEqual(Expiry.serverNow({ date: "Mon, 01 Jun 2026 12:30:00 GMT" }), instant)
    assert.strictEqual(Expiry.serverNow({}), undefined)
  })
})
