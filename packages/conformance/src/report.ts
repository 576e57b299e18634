/** The table of results, as RESULTS.md has it. */
import { readFileSync } from "node:fs"
import { libraries } from "./libraries/index.ts"
import type { Library, Result, Row } from "./Library.ts"
import { run } from "./run.ts"
import { all } from "./Scenario.ts"

/** Runs every scenario with every library, one after the other: they share a fake clock. */
export const runAll = async (): Promise<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  for (const scenario of all()) {
    const results = new Map<Library, Result>()
    for (const library of libraries) results.set(library, await run(library, scenario))
    rows.push({ scenario, results })
  }
  return rows
}

const signs = { does: "yes", otherwise: "**otherwise**", notPromised: "–" } as const

/** A cell may hold a pipe and code with one. */
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ")

const { dependencies, devDependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))

const versionOf = (name: string): string => `${name} ${{ ...devDependencies, ...dependencies }[name]}`

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((text, i) => text.padEnd(widths[i] ?? 0)).join(" | ")} |`
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n")
}

const topicOf = (id: string): string => id.slice(0, id.indexOf("/"))

const otherwise = (rows: ReadonlyArray<Row>, library: Library): string => {
  const entries = rows.flatMap(({ results, scenario: { id } }) => {
    const result = results.get(library)
    if (result?._tag !== "otherwise") return []
    const note = library.notes?.[id]
    return [
      `- **${id}**: ${result.deviations[0]}. Its documentation: “${library.promises[id]}”${
        note === undefined ? "" : ` ${note}`
      }`
    ]
  })
  return entries.length === 0 ? "" : `### ${library.name}\n\n${entries.join("\n")}\n`
}

const count = (rows: ReadonlyArray<Row>, library: Library, tag: Result["_tag"]): string =>
  String(rows.filter(({ results }) => results.get(library)?._tag === tag).length)

export const report = (rows: ReadonlyArray<Row>, date: string): string => {
  const topics = [...new Set(rows.map(({ scenario }) => topicOf(scenario.id)))]
  const sources = new Map(
    rows.flatMap(({ scenario }) => scenario.sources).map(({ name, url }) => [name, url] as const)
  )
  return `${
    [
      "# Results of the conformance suite",
      `Written by \`npm run conformance\` on ${date}, with Node ${
        process.versions.node.split(".")[0]
      }. [README.md](README.md) says how the scenarios are run, and what the three results mean.`,
      table(
        ["library", "versions", "promises are taken from", "yes", "otherwise", "not promised"],
        libraries.map((library) => [
          library.name,
          library.packages.map(versionOf).join(", ") || "this repository",
          cell(library.docs),
          count(rows, library, "does"),
          count(rows, library, "otherwise"),
          count(rows, library, "notPromised")
        ])
      ),
      ...topics.flatMap((topic) => [
        `## ${topic}`,
        table(
          ["scenario", "promise", ...libraries.map(({ name }) => name)],
          rows.filter(({ scenario }) => topicOf(scenario.id) === topic).map(({ results, scenario }) => [
            scenario.id.slice(topic.length + 1),
            cell(scenario.promise),
            ...libraries.map((library) => signs[results.get(library)?._tag ?? "notPromised"])
          ])
        )
      ]),
      "## What is done otherwise",
      ...libraries.map((library) => otherwise(rows, library).trimEnd()).filter((text) => text !== ""),
      "## Sources",
      [...sources].map(([name, url]) => `- [${name}](${url})`).join("\n")
    ].join("\n\n")
  }\n`
}
