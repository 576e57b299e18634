import { RateLimitHeaders } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

const now = Date.UTC(2026, 10, 28, 16, 0, 0)
const inNinety = String(now / 1000 + 90)
const iso = "2026-11-28T16:01:30Z"

const parse = (headers: Record<string, string>) => {
  const limit = RateLimitHeaders.parse(headers, now)
  return limit && [limit.remaining, Duration.toMillis(limit.resetAfter)]
}

describe("RateLimitHeaders", () => {
  const read: ReadonlyArray<readonly [headers: Record<string, string>, remaining: number, resetMillis: number]> = [
    [{ ratelimit: "limit=10, remaining=3, reset=5" }, 3, 5000],
    [{ ratelimit: "\"default\";r=0;t=5" }, 0, 5000],
    [{ ratelimit: "\"default\"; t=5; r=0" }, 0, 5000],
    [{ ratelimit: "default;r=0;t=5;pk=:cHsdsRa894==:" }, 0, 5000],
    [{ "ratelimit-limit": "100, 100;w=10", "ratelimit-remaining": "0", "ratelimit-reset": "7" }, 0, 7000],
    [{ "ratelimit-remaining": "0", "ratelimit-reset": inNinety }, 0, 90_000],
    [{ "x-ratelimit-remaining": "2", "x-ratelimit-reset": inNinety }, 2, 90_000],
    [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now + 90_000) }, 0, 90_000],
    [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": "90" }, 0, 90_000],
    [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset": iso }, 0, 90_000],
    [{ "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.5" }, 0, 1500],
    [{ "x-rate-limit-remaining": "0", "x-rate-limit-reset": inNinety }, 0, 90_000],
    [{ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s" }, 0, 1000],
    [{ "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s" }, 0, 360_000],
    [{ "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12ms" }, 0, 12],
    [{ "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s" }, 0, 3_723_500],
    [{ "anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": iso }, 0, 90_000],
    [{ "anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": iso }, 0, 90_000],
    [{ "anthropic-ratelimit-input-tokens-remaining": "0", "anthropic-ratelimit-input-tokens-reset": iso }, 0, 90_000],
    [{ "anthropic-ratelimit-output-tokens-remaining": "0", "anthropic-ratelimit-output-tokens-reset": iso }, 0, 90_000]
  ]

  it.each(read)("reads %o", (headers, remaining, resetMillis) => {
    assert.deepStrictEqual(parse(headers), [remaining, resetMillis])
  })

  it("takes the tightest limit, and of two that are used up the one that resets later, in any order", () => {
    const burst = "\"burst\";r=0;t=5"
    const policies = ["\"default\";r=50;t=30", burst, "\"day\";r=0;t=3600"]
    assert.deepStrictEqual(parse({ ratelimit: policies.slice(0, 2).join(", ") }), [0, 5000])
    assert.deepStrictEqual(parse({ ratelimit: policies.join(", ") }), [0, 3_600_000])
    assert.deepStrictEqual(parse({ ratelimit: policies.toReversed().join(", ") }), [0, 3_600_000])
    assert.deepStrictEqual(
      parse({
        ratelimit: burst,
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s"
      }),
      [0, 360_000]
    )
  })

  it("prefers what is left to when it resets", () => {
    const [now, later, much] = ["\"a\";r=3;t=5", "\"b\";r=3.9;t=60", "\"c\";r=50;t=3600"]
    assert.deepStrictEqual(parse({ ratelimit: [now, much].join() }), [3, 5000])
    assert.deepStrictEqual(parse({ ratelimit: [much, now].join() }), [3, 5000])
    assert.deepStrictEqual(parse({ ratelimit: [now, later].join() }), [3.9, 60_000])
    assert.deepStrictEqual(parse({ ratelimit: [later, now].join() }), [3.9, 60_000])
  })

  it("does not look for parameters within a policy's name", () => {
    assert.deepStrictEqual(parse({ ratelimit: "\"x;r=9;t=1\";r=0;t=5" }), [0, 5000])
    assert.deepStrictEqual(parse({ ratelimit: "\"a,b\";r=0;t=5" }), [0, 5000])
    assert.deepStrictEqual(parse({ ratelimit: "\"quoted \\\"r=9;t=1\";r=0;t=5" }), [0, 5000])
    assert.isUndefined(parse({ ratelimit: "\"hour;r=9;t=1\";r=0" }))
  })

  it("reads an instant by the server's own clock", () => {
    const headers = {
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": inNinety,
      date: "Sat, 28 Nov 2026 16:01:00 GMT"
    }
    assert.deepStrictEqual(parse(headers), [0, 30_000])
  })

  it("ignores what it cannot read", () => {
    for (
      const headers of [
        {},
        { ratelimit: "\"default\";r=0" },
        { ratelimit: "\"unterminated;r=0;t=5" },
        { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon" },
        { "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0" },
        { "x-ratelimit-remaining": "0" }
      ]
    ) assert.isUndefined(parse(headers), JSON.stringify(headers))
  })

  it("returns how long a limit is used up, for a 429 also with a reset alone", () => {
    const exhausted = (status: number, headers: Record<string, string>) =>
      RateLimitHeaders.exhaustedFor({ status, headers }, now)
    assert.deepStrictEqual(exhausted(429, { "x-ratelimit-reset": inNinety }), Duration.seconds(90))
    assert.isUndefined(exhausted(503, { "x-ratelimit-reset": inNinety }))
    assert.isUndefined(exhausted(429, { "x-ratelimit-remaining": "7", "x-ratelimit-reset": inNinety }))
    assert.deepStrictEqual(
      exhausted(403, { "x-ratelimit-remaining": "0", "x-ratelimit-reset": inNinety }),
      Duration.seconds(90)
    )
  })

  it("is linear in long values", () => {
    const start = process.cpuUsage()
    for (const run of ["1", "1.", "1m", "\"", ",", ";"]) {
      const value = `${run.repeat(200_000)}x`
      parse({ ratelimit: value, "x-ratelimit-remaining": "0", "x-ratelimit-reset": value })
    }
    assert.isBelow(process.cpuUsage(start).user / 1000, 2_000)
    const float = { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "0.30000000000000004s" }
    assert.deepStrictEqual(parse(float)?.[0], 0)
  })
})
