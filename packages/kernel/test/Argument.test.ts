import { Argument } from "@effect-resilience/kernel"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"

describe("requireArgument", () => {
  it("lets a valid argument pass", () => {
    Argument.requireArgument(true, "X: a must be 1", 1)
  })

  it("throws a RangeError that names the rule and the value", () => {
    const cases: ReadonlyArray<readonly [unknown, string]> = [
      [0, "0"],
      [Number.NaN, "NaN"],
      ["text", "text"],
      [undefined, "undefined"],
      [Duration.millis(1500), "1500ms"],
      [Duration.infinity, "Infinity"]
    ]
    for (const [value, shown] of cases) {
      assert.throws(
        () => Argument.requireArgument(false, "X: a must be 1", value),
        RangeError,
        `X: a must be 1, not ${shown}`
      )
    }
  })
})
