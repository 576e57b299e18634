import { ApiError, Recovery, RetryHeaders } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"

const now = Date.UTC(2026, 0, 1)

const reason = (status: number, headers: Record<string, string>, remedy?: string) =>
  ApiError.reasonFromStatus(status, { ...RetryHeaders.read({ status, headers }, now), remedy })

const recoveryOf = (status: number, headers: Record<string, string>) => Recovery.of(reason(status, headers))

describe("RetryHeaders", () => {
  it("retries a status that passes if the server names a time", () => {
    for (const status of [403, 408, 409, 413, 423, 425, 429, 500, 502, 503, 504, 522]) {
      assert.deepStrictEqual(
        recoveryOf(status, { "retry-after": "3" }),
        Recovery.retryAs(Recovery.kindOfStatus(status), "3 seconds"),
        String(status)
      )
    }
    for (const status of [302, 400, 401, 404, 422, 501]) {
      assert.deepStrictEqual(recoveryOf(status, { "retry-after": "3" }), Recovery.fromStatus(status), String(status))
    }
  })

  it("reads GitHub's rate limits, which are 403", () => {
    const reset = String(now / 1000 + 60)
    assert.deepStrictEqual(
      recoveryOf(403, { "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset }),
      Recovery.retryAs("throttled", "1 minute")
    )
    assert.deepStrictEqual(
      recoveryOf(403, { "x-ratelimit-remaining": "1", "x-ratelimit-reset": reset }),
      Recovery.authorize
    )
  })

  it("does not take the reset of a rate limit as the end of a conflict, a lock or a size", () => {
    const usedUp = { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60" }
    for (const status of [409, 413, 423]) {
      assert.deepStrictEqual(recoveryOf(status, usedUp), Recovery.correct)
      assert.notInclude(reason(status, usedUp).message, "Not before")
    }
    for (const status of [403, 429, 503]) {
      assert.deepStrictEqual(recoveryOf(status, usedUp), Recovery.retryAs(Recovery.kindOfStatus(status), "1 minute"))
    }
  })

  it("lets x-should-retry decide, and reads x-amz-retry-after as a request to retry", () => {
    assert.deepStrictEqual(recoveryOf(409, { "x-should-retry": "true" }), Recovery.retry)
    assert.deepStrictEqual(
      recoveryOf(400, { "x-should-retry": "true", "retry-after-ms": "250" }),
      Recovery.retryAfter("250 millis")
    )
    assert.deepStrictEqual(recoveryOf(429, { "x-should-retry": "false", "retry-after": "3" }), Recovery.giveUp)
    assert.deepStrictEqual(recoveryOf(404, { "x-should-retry": "false" }), Recovery.correct)
    assert.deepStrictEqual(recoveryOf(400, { "x-amz-retry-after": "1500" }), Recovery.retryAfter("1500 millis"))
  })

  it("never says in one message to wait and not to retry", () => {
    for (const status of [302, 400, 401, 403, 404, 409, 413, 418, 422, 423, 429, 500, 501, 503]) {
      for (const headers of [{}, { "x-should-retry": "false" }, { "x-should-retry": "true" }]) {
        const failure = reason(status, { "retry-after": "100000", ...headers })
        const waits = failure.message.includes("Not before 1 day 4 hours.")
        assert.strictEqual(waits, Recovery.of(failure)._tag === "Retry", failure.message)
        if (waits) assert.notMatch(failure.message, /Check|Correct|Log in|Do not/, failure.message)
        else assert.notMatch(failure.message, /Not before|again later|Slow down/, failure.message)
      }
    }
    assert.strictEqual(
      reason(403, { "retry-after": "1" }).message,
      "returned 403 Forbidden. Try again later. Not before 1 second."
    )
    assert.strictEqual(reason(429, {}, "Ask for more.").message, "returned 429 Too Many Requests. Ask for more.")
  })
})
