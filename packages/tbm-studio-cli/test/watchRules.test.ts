import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as WatchRules from "../src/internal/watchRules.ts"

type Rule = Parameters<typeof WatchRules.make>[0][number]

const place = { project: "P", table: "T" }
const rules = (...given: ReadonlyArray<Rule>) => Result.getOrThrow(WatchRules.make(given))
const problem = (rule: Rule) => {
  const made = WatchRules.make([rule])
  return Result.isFailure(made) ? made.failure : "valid"
}

/** What becomes of a name, in a word. */
const said = (found: WatchRules.Found | undefined): string => {
  switch (found?._tag) {
    case "Send":
      return `${found.match.action} ${found.match.address.table} ${found.match.address.period}`
    case "Marker":
      return `marks ${found.of}`
    default:
      return found?._tag ?? "no rule"
  }
}

describe("the rules of a folder", () => {
  it("name a table and a period by the parts of a file's name, and the first that fits counts", () => {
    const { find } = rules(
      { files: "gl-{year}-{month}.csv", ...place },
      { files: "{table} FY{year} {month}.CSV.gz", project: "P", table: "{table}", period: "{month}:FY{year}" },
      { files: "late-*.csv", ...place, period: "current", action: "append", marker: ".done" },
      { files: "*.txt", ignore: true },
      { files: "plan-?.csv", ...place, period: "March:2024" }
    )
    const names: ReadonlyArray<readonly [name: string, said: string]> = [
      ["gl-2024-01.csv", "overwrite T January:2024"],
      ["gl-2024-12.csv", "overwrite T December:2024"],
      ["gl-2024-Sep.csv", "overwrite T Sep:2024"],
      ["gl-2024-13.csv", "no rule"],
      ["gl-24-01.csv", "no rule"],
      ["gl-2024-01.csv.part", "no rule"],
      [".gl-2024-01.csv", "no rule"],
      ["Plan B FY2025 May.CSV.gz", "overwrite Plan B May:FY2025"],
      ["late-1.csv", "append T current"],
      ["late-1.csv.done", "marks late-1.csv"],
      ["gl-2024-01.csv.done", "no rule"],
      ["late-a.txt", "Ignore"],
      ["plan-1.csv", "overwrite T March:2024"],
      ["plan-10.csv", "no rule"],
      ["plan-\u{1f600}.csv", "overwrite T March:2024"]
    ]
    for (const [name, expected] of names) assert.strictEqual(said(find(name)), expected, name)
  })

  it("are no regular expressions: every other character is itself", () => {
    const { find } = rules({ files: "a+(b)[c].^$|-{constructor}.csv", ...place, period: "current" })
    assert.strictEqual(said(find("a+(b)[c].^$|-x.csv")), "overwrite T current")
    assert.strictEqual(said(find("aab(c).csv")), "no rule")
  })

  it("find a name however its accents are composed", () => {
    assert.strictEqual(
      said(rules({ files: "Bu\u0308ro.csv", ...place, period: "current" }).find("B\u00fcro.csv")),
      "overwrite T current"
    )
  })

  it("say which name gives no period", () => {
    const found = rules({ files: "{when}.csv", ...place, period: "{when}" }).find("2024-05.csv")
    assert.include(found?._tag === "Invalid" ? found.why : "", "Did you mean May:2024?")
  })

  it("are rejected with what to write", () => {
    const invalid: ReadonlyArray<readonly [rule: Rule, said: string]> = [
      [{ files: "gl.csv", ...place }, "has no period"],
      [{ files: "gl.csv", ...place, period: "May" }, "The period \"May\" is not valid"],
      [{ files: "{year}.csv", ...place, period: "{month}:{year}" }, "{month} is not in the names"],
      [{ files: "{a}{a}.csv", ...place, period: "current" }, "{a} occurs twice"],
      [{ files: "{}.csv", ...place, period: "current" }, "{} is no name"],
      [{ files: "in/gl.csv", ...place, period: "current" }, "only the folder itself"],
      [{ files: "gl.csv", ...place, period: "current", action: "append" }, "need a marker"],
      [{ files: "gl.csv", ...place, period: "current", marker: "" }, "the end of a name"],
      [{ files: "gl.csv", project: "", table: "T", period: "current" }, "project"]
    ]
    for (const [rule, expected] of invalid) {
      assert.include(problem(rule), expected)
      assert.include(problem(rule), `watch[0], for ${JSON.stringify(rule.files)}: `)
    }
  })
})
