import { ApiError, MessagePattern, Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { inspect } from "node:util"

const timeout = (phase: "connect" | "send" | "response" | "body" | "attempt") =>
  new ApiError.Timeout({ timeout: Duration.seconds(5), phase })
const transport = (kind: ApiError.TransportFailure["kind"], connected = true) =>
  new ApiError.TransportFailure({ kind, code: undefined, connected })
const undecodable = new ApiError.UndecodableResponse({ status: 200, expected: "JSON", got: "an HTML page" })
const of = (reason: ApiError.Reason) => new ApiError.ApiError({ method: "POST", endpoint: "/tables/{table}", reason })

describe("ApiError", () => {
  it("says a short time exactly, and a long one in whole seconds", () => {
    const words = (duration: Duration.Input) =>
      new ApiError.Timeout({ timeout: Duration.fromInputUnsafe(duration), phase: "attempt" }).message
    assert.include(words("1500 millis"), "within 1.5 seconds.")
    assert.include(words("2 seconds"), "within 2 seconds.")
    assert.include(words("9950 millis"), "within 10 seconds.")
    assert.include(words("31 seconds"), "within 31 seconds.")
  })

  it("has a reason and a recovery for each status", () => {
    const table: ReadonlyArray<readonly [number, ApiError.Reason["_tag"], Recovery.Recovery["_tag"]]> = [
      [302, "UnexpectedStatus", "Correct"],
      [400, "BadRequest", "Correct"],
      [401, "Unauthorized", "Reauthenticate"],
      [403, "Forbidden", "Authorize"],
      [404, "NotFound", "Correct"],
      [408, "UnexpectedStatus", "Retry"],
      [409, "Conflict", "Correct"],
      [413, "PayloadTooLarge", "Correct"],
      [418, "UnexpectedStatus", "Correct"],
      [422, "Unprocessable", "Correct"],
      [425, "UnexpectedStatus", "Retry"],
      [429, "RateLimited", "Retry"],
      [500, "InternalServerError", "Retry"],
      [501, "UnexpectedStatus", "GiveUp"],
      [502, "BadGateway", "Retry"],
      [503, "ServiceUnavailable", "Retry"],
      [504, "GatewayTimeout", "Retry"],
      [505, "UnexpectedStatus", "GiveUp"],
      [522, "UnexpectedStatus", "Retry"]
    ]
    for (const [status, tag, recovery] of table) {
      const reason = ApiError.reasonFromStatus(status)
      assert.deepStrictEqual([reason._tag, reason.status, Recovery.of(of(reason))._tag], [tag, status, recovery])
      assert.include(of(reason).message, `POST /tables/{table} returned ${status}`)
    }
  })

  it("passes on the server's time, and a recovery that replaces the status's own", () => {
    const retryAfter = Duration.seconds(7)
    for (const status of [429, 500, 502, 503, 504, 408]) {
      assert.deepStrictEqual(
        Recovery.of(ApiError.reasonFromStatus(status, { retryAfter })),
        Recovery.retryAs(Recovery.kindOfStatus(status), retryAfter)
      )
    }
    for (const status of [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 418]) {
      assert.deepStrictEqual(
        Recovery.of(ApiError.reasonFromStatus(status, { recovery: Recovery.verify })),
        Recovery.verify
      )
    }
  })

  it("says how many bytes were delivered, and is repeated by no policy, whatever broke the response off", () => {
    for (
      const failure of [transport("reset"), timeout("body"), new ApiError.OutcomeUnknown({ failure: timeout("body") })]
    ) {
      const error = of(new ApiError.PartsDelivered({ failure, bytes: 42 }))
      assert.deepStrictEqual(Recovery.of(error), Recovery.verify)
      assert.include(error.message, "42 bytes of the response had been delivered")
      assert.strictEqual(ApiError.observed(error.reason), ApiError.observed(failure))
      assert.isTrue(ApiError.mayHaveBeenApplied(error.reason, false))
    }
  })

  it("says which failed requests may have been applied", () => {
    const cases: ReadonlyArray<readonly [ApiError.Reason, sent: boolean, applied: boolean]> = [
      [transport("refused", false), true, false],
      [transport("reset"), true, true],
      [transport("reset"), false, false],
      [timeout("connect"), true, false],
      [timeout("response"), true, true],
      [timeout("send"), false, false],
      [ApiError.reasonFromStatus(401), true, false],
      [ApiError.reasonFromStatus(429), true, false],
      [ApiError.reasonFromStatus(302), true, false],
      [ApiError.reasonFromStatus(503), true, true],
      [ApiError.reasonFromStatus(503), false, false],
      [undecodable, true, true],
      [new ApiError.OutcomeUnknown({ failure: timeout("response") }), false, true]
    ]
    for (const [reason, sent, applied] of cases) {
      assert.strictEqual(ApiError.mayHaveBeenApplied(reason, sent), applied, `${reason.message} ${sent}`)
    }
  })

  it("asks to verify an unknown outcome, and keeps the observed failure", () => {
    const error = of(
      new ApiError.OutcomeUnknown({ failure: ApiError.reasonFromStatus(503) as ApiError.ServiceUnavailable })
    )
    assert.deepStrictEqual(Recovery.of(error), Recovery.verify)
    assert.strictEqual(ApiError.statusOf(error.reason), 503)
    assert.include(error.message, "check before repeating")
  })

  it("does not call 304 a redirect, and does not name a wait of zero", () => {
    assert.strictEqual(
      ApiError.reasonFromStatus(304).message,
      "returned 304 Not Modified. What the caller has is up to date."
    )
    assert.strictEqual(
      ApiError.reasonFromStatus(429, { retryAfter: Duration.zero }).message,
      "returned 429 Too Many Requests. Slow down."
    )
  })

  it("gives up on a broken certificate and a broken body, and retries other transport failures", () => {
    const kinds = ["refused", "dns", "tls", "connectTimeout", "reset", "stalled", "body", "unknown"] as const
    const retried = kinds.filter((kind) => Recovery.of(transport(kind))._tag === "Retry")
    assert.deepStrictEqual(retried, ["refused", "dns", "connectTimeout", "reset", "stalled", "unknown"])
    assert.deepStrictEqual(Recovery.of(undecodable), Recovery.giveUp)
  })

  it.effect("is caught by its reason", () =>
    Effect.gen(function*() {
      const call = Effect.fail(of(ApiError.reasonFromStatus(404))).pipe(
        Effect.catchReason("ApiError", "NotFound", (reason) => Effect.succeed(reason.status))
      )
      assert.strictEqual(yield* call, 404)
    }))

  it("prints only its own fields", () => {
    const error = of(ApiError.reasonFromStatus(403, { detail: "Access denied" }))
    const printed = [inspect(error, { depth: 9, customInspect: false }), JSON.stringify(error), String(error)].join()
    assert.include(printed, "Access denied")
    assert.notMatch(printed, /request:|response:|headers/)
  })
})

describe("MessagePattern", () => {
  const patterns: ReadonlyArray<MessagePattern.MessagePattern> = [
    { pattern: "Table not found", means: "no such table", remedy: "Check the spelling." },
    { pattern: /user \S+ does not exist/gi, means: "no such user", remedy: "Check the user name." },
    { pattern: "not found", means: "something is missing", remedy: "Look." }
  ]

  it("takes the first row that matches, in upper or lower case", () => {
    assert.strictEqual(MessagePattern.match(patterns, "TABLE NOT FOUND: x")?.means, "no such table")
    assert.strictEqual(MessagePattern.match(patterns, "Project not found")?.means, "something is missing")
    assert.isUndefined(MessagePattern.match(patterns, "fine"))
  })

  it("finds the same row again with a global regular expression", () => {
    for (let time = 0; time < 3; time++) {
      assert.strictEqual(MessagePattern.match(patterns, "user bob does not exist")?.means, "no such user")
    }
  })
})
