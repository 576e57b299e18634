import { Hint } from "@effect-resilience/kernel"
import { assert, it } from "@effect/vitest"

it("guesses a name with a letter too many, too few, wrong or swapped, in any case, and nothing that differs more", () => {
  const names = ["file", "project", "table", "period", "action"]
  for (const name of ["tables", "tabl", "tahle", "talbe", "TABLE"]) {
    assert.strictEqual(Hint.nearest(name, names), "table")
  }
  for (const name of ["", "x", "owner", "comment"]) assert.isUndefined(Hint.nearest(name, names), name)
})
