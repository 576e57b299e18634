import { ApiError, PartsDelivered, Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Cause } from "effect"

const after = (failure: unknown) => new PartsDelivered.PartsDelivered({ failure, delivered: 7 })

describe("PartsDelivered", () => {
  it("is retried by no policy, whatever broke the stream off", () => {
    const login = new ApiError.ApiError({ method: "GET", endpoint: "/x", reason: ApiError.reasonFromStatus(401) })
    for (const failure of [new Cause.TimeoutError("silent"), login, new Error("a bug"), "text", undefined]) {
      assert.deepStrictEqual(Recovery.of(after(failure)), Recovery.verify)
    }
  })

  it("leaves to people what only they can mend", () => {
    assert.deepStrictEqual(Recovery.of(after(ApiError.reasonFromStatus(403))), Recovery.authorize)
    assert.deepStrictEqual(Recovery.of(after(ApiError.reasonFromStatus(404))), Recovery.correct)
  })

  it("says what happened and how much came before, in one line", () => {
    assert.strictEqual(
      after(new Error("The connection\nbroke.")).message,
      "The connection broke. 7 elements had been delivered: continue after them, or drop them."
    )
    assert.strictEqual(
      after("text").message,
      "The stream failed. 7 elements had been delivered: continue after them, or drop them."
    )
    assert.strictEqual(
      new PartsDelivered.PartsDelivered({ failure: "text", delivered: 1 }).message,
      "The stream failed. 1 element had been delivered: continue after it, or drop it."
    )
  })
})
