import { Recovery } from "@effect-resilience/errors"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

describe("the kind of a failure", () => {
  const kinds: ReadonlyArray<readonly [status: number, after: string | undefined, kind: Recovery.Kind | undefined]> = [
    [401, undefined, "expired"],
    [408, undefined, "transient"],
    [429, undefined, "throttled"],
    [429, "5 seconds", "throttled"],
    // GitHub's rate limits.
    [403, "5 seconds", "throttled"],
    [403, undefined, undefined],
    [409, "5 seconds", "transient"],
    [500, undefined, "transient"],
    [502, undefined, "transient"],
    [503, undefined, "overloaded"],
    [503, "5 seconds", "overloaded"],
    [504, undefined, "transient"],
    [529, undefined, "overloaded"],
    [400, undefined, undefined],
    [501, undefined, undefined]
  ]

  for (const [status, after, kind] of kinds) {
    it(`is ${kind ?? "none"} for the status ${status}${after === undefined ? "" : " with a time"}`, () => {
      const duration = after === undefined ? undefined : Duration.fromInputUnsafe(after as Duration.Input)
      assert.strictEqual(Recovery.kindOf(Recovery.fromStatus(status, duration)), kind)
    })
  }

  it("is transient for a retry that names none", () => {
    assert.deepStrictEqual(Recovery.retryAs("transient"), Recovery.retry)
    assert.deepStrictEqual(Recovery.retryAs("transient", "1 second"), Recovery.retryAfter("1 second"))
    assert.strictEqual(Recovery.kindOf({ _tag: "Retry", after: undefined }), "transient")
  })

  it("is none where nothing passes by itself", () => {
    for (const recovery of [Recovery.correct, Recovery.authorize, Recovery.verify, Recovery.giveUp]) {
      assert.isUndefined(Recovery.kindOf(recovery))
    }
  })
})
