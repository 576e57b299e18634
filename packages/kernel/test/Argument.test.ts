import { Argument } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

describe("requireArgument", () => {
  it("lets a sensible argument pass", () => {
    for (const value of [1, undefined]) {
      assert.doesNotThrow(() => Argument.requireArgument(true, "X.a", "1", value))
    }
  })

  it("throws a RangeError that names the argument, the rule and the value", () => {
    const cases: ReadonlyArray<readonly [unknown, string]> = [
      [0, "X.a must be 1, not 0"],
      [Number.NaN, "X.a must be 1, not NaN"],
      ["text", "X.a must be 1, not text"],
      [Duration.millis(1500), "X.a must be 1, not 1500 millis"],
      [Duration.infinity, "X.a must be 1, not Infinity"],
      [null, "X.a must be 1, not null"],
      [undefined, "X.a must be 1, not undefined"]
    ]
    for (const [value, message] of cases) {
      assert.throws(() => Argument.requireArgument(false, "X.a", "1", value), RangeError, message)
    }
  })
})
