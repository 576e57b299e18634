import { Recovery } from "@effect-resilience/errors"
import { ExitStatus } from "@effect-resilience/tbm-studio-cli"
import { Predicate } from "effect"
import { Yaml } from "effect/encoding"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../src/Workspace.ts"

const read = (file: string) => readFileSync(join(root, file), "utf8")
const page = read("docs/guides/operating.md")

/** The sections below a heading: the title of each, and its text. */
const sections = (heading: string): ReadonlyArray<readonly [title: string, text: string]> => {
  const part = page.split(`\n## ${heading}\n`)[1]?.split(/^## /m)[0] ?? ""
  return part.split(/^### /m).slice(1).map((section) => {
    const [title = "", ...lines] = section.split("\n")
    return [title, lines.join("\n")]
  })
}

const titles = (heading: string) => sections(heading).map(([title]) => title)

describe("the runbook", () => {
  it("has a section for each recovery", () => {
    const recoveries = Object.values(Recovery).filter((value) => Predicate.hasProperty(value, "_tag"))
    expect(recoveries.length).toBeGreaterThan(5)
    expect(titles("What a failure asks for").toSorted()).toEqual(
      recoveries.map(({ _tag }) => `\`${String(_tag)}\``).toSorted()
    )
  })

  it("has a section for each exit status of tbm-studio", () => {
    const statuses = Object.values<unknown>(ExitStatus).filter(Predicate.isNumber).toSorted((a, b) => a - b)
    expect(statuses.length).toBeGreaterThan(10)
    expect(titles("Exit statuses of `tbm-studio`")).toEqual(statuses.map((status) => `Exit status ${status}`))
  })

  it("has a section for each alert, which the alert names", () => {
    const { groups } = Yaml.parse(read("packages/http/observability/alerts.yaml")) as {
      readonly groups: ReadonlyArray<{
        readonly rules: ReadonlyArray<{ readonly alert: string; readonly annotations: { readonly runbook: string } }>
      }>
    }
    const rules = groups.flatMap((group) => group.rules)
    expect(titles("The alerts").toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted())
    expect(rules.map(({ annotations }) => annotations.runbook)).toEqual(
      rules.map(({ alert }) => `docs/guides/operating.md#${alert.toLowerCase()}`)
    )
  })

  it("says in each section what happened, what to look at and what to do", () => {
    const all = ["The alerts", "What a failure asks for", "Exit statuses of `tbm-studio`"].flatMap(sections)
    const headings = all.map((
      [title, text]
    ) => [title, ...[...text.matchAll(/^\*\*(.+?)\.\*\* \S/gm)].map(([, said]) => said)])
    expect(headings).toEqual(all.map(([title]) => [title, "What happened", "Look at", "Do"]))
  })

  it("names panels that the dashboard has", () => {
    const { panels } = JSON.parse(read("packages/http/observability/dashboard.json")) as {
      readonly panels: ReadonlyArray<{ readonly title: string }>
    }
    const named = sections("The alerts").flatMap(([, text]) =>
      [...text.matchAll(/"([A-Z][^"]+)"/g)].map(([, title]) => title)
    )
    expect(named.length).toBeGreaterThan(5)
    expect(named.filter((title) => !panels.some((panel) => panel.title === title))).toEqual([])
  })
})
