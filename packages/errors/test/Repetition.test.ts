import { ApiError, NotAsked, Recovery, Repetition } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Data } from "effect"
import { HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"

class Rejected extends Data.TaggedError("Rejected") {
  get [NotAsked.symbol](): true {
    return true
  }
}

const api = (reason: ApiError.Reason, unsent?: true) =>
  new ApiError.ApiError({ method: "POST", endpoint: "/orders", reason, unsent })

const status = (status: number) => {
  const request = HttpClientRequest.post("https://ledger.example.com/orders")
  const response = HttpClientResponse.fromWeb(request, new Response(null, { status }))
  return new HttpClientError.HttpClientError({ reason: new HttpClientError.StatusCodeError({ request, response }) })
}

const coded = (code: string, cause = {}) =>
  Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error(code), { code, ...cause }) })

const { retry, verify } = Recovery

// What each failure is judged as, where the call must not be applied twice, and where it must not begin twice.
const failures: ReadonlyArray<readonly [string, unknown, Recovery.Recovery, Recovery.Recovery, Recovery.Recovery]> = [
  ["work that never began", new Rejected(), retry, retry, retry],
  ["a 429 of any library", {}, Recovery.retryAs("throttled"), Recovery.retryAs("throttled"), Recovery.giveUp],
  ["a token that is not accepted", {}, Recovery.reauthenticate, Recovery.reauthenticate, Recovery.giveUp],
  ["an unknown error", new Error("?"), retry, verify, Recovery.giveUp],
  ["a string", "?", retry, verify, Recovery.giveUp],
  ["a refused connection", coded("ECONNREFUSED"), retry, retry, Recovery.giveUp],
  ["a connection that broke", coded("ECONNRESET"), retry, verify, Recovery.giveUp],
  ["a 408", status(408), retry, retry, Recovery.giveUp],
  ["a 503", status(503), retry, verify, Recovery.giveUp],
  ["a 200 whose body is broken", status(200), retry, verify, Recovery.giveUp],
  ["an ApiError 408", api(ApiError.reasonFromStatus(408)), retry, retry, Recovery.giveUp],
  ["an ApiError 503", api(ApiError.reasonFromStatus(503)), retry, verify, Recovery.giveUp],
  ["an ApiError 503 before enough was sent", api(ApiError.reasonFromStatus(503), true), retry, retry, Recovery.giveUp],
  ["a recovery that asks for something else", new Error("?"), Recovery.correct, Recovery.correct, Recovery.correct]
]

describe("Repetition", () => {
  for (const [name, error, recovery, unlessApplied, unlessBegun] of failures) {
    it(`judges ${name}`, () => {
      assert.deepStrictEqual(Repetition.judge("unlessApplied", error, recovery), unlessApplied)
      assert.deepStrictEqual(Repetition.judge("unlessBegun", error, recovery), unlessBegun)
      for (const harmless of [undefined, "always", "inTurn"] as const) {
        assert.strictEqual(Repetition.judge(harmless, error, recovery), recovery)
      }
    })
  }
})
