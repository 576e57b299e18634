import { readFileSync } from "node:fs"
import { beforeAll, describe, expect, it } from "vitest"
import { check } from "../src/check.ts"
import { libraries } from "../src/libraries/index.ts"
import { ours } from "../src/libraries/ours.ts"
import type { Row } from "../src/Library.ts"
import { report, runAll } from "../src/report.ts"
import { all, jsonSchema } from "../src/Scenario.ts"
import { Trace } from "../src/Trace.ts"

const read = (file: string): string => readFileSync(new URL(`../${file}`, import.meta.url), "utf8")

describe("the scenarios", () => {
  it("have ids of their own, and a source each", () => {
    const ids = all().map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(all().filter(({ sources }) => sources.length === 0)).toEqual([])
  })

  it("fit the schema that their files name", () => {
    expect(JSON.parse(read("scenarios/schema.json"))).toEqual(JSON.parse(JSON.stringify(jsonSchema())))
  })

  it("are there for every promise of a library", () => {
    const ids = new Set(all().map(({ id }) => id))
    expect(libraries.flatMap(({ promises }) => Object.keys(promises)).filter((id) => !ids.has(id))).toEqual([])
  })
})

describe("a check", () => {
  it("finds a call that does not end, where it is expected to end at a time", () => {
    const [scenario] = all()
    const trace = new Trace(() => 0)
    trace.start("a", [])
    const deviations = (expected: object) =>
      scenario === undefined ? [] : check({ ...scenario, expect: { calls: { a: expected } } }, [trace])
    expect(deviations({ endsAt: [0, 9] })).toEqual(["a does not end"])
    expect(deviations({ ends: "never", endsAt: [0, 9] })).toEqual([])
  })
})

describe("the libraries", () => {
  let rows: ReadonlyArray<Row> = []
  beforeAll(async () => {
    rows = await runAll()
  })

  it("ours keeps every promise", () => {
    const broken = rows.flatMap(({ results, scenario }) => {
      const result = results.get(ours)
      return result?._tag === "otherwise" ? [`${scenario.id}: ${result.deviations.join("; ")}`] : []
    })
    expect(broken).toEqual([])
  })

  it("have notes only where they do otherwise", () => {
    const noted = libraries.flatMap((library) => Object.keys(library.notes ?? {}).map((id) => ({ id, library })))
    const needless = noted.filter(({ id, library }) =>
      rows.find(({ scenario }) => scenario.id === id)?.results.get(library)?._tag !== "otherwise"
    )
    expect(needless).toEqual([])
  })

  it("have the results that the table says", () => {
    const written = read("RESULTS.md")
    const date = / on (\d{4}-\d\d-\d\d)/.exec(written)?.[1] ?? "never"
    expect(written.replaceAll(/ {2,}| ?-{2,}/g, " ")).toBe(report(rows, date).replaceAll(/ {2,}| ?-{2,}/g, " "))
  })
})
