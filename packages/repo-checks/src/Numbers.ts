/**
 * The numbers that README and guides quote: `npm run numbers` writes them, and a test compares.
 *
 * A page says what it quotes in a comment, and the lines below it, up to `<!-- end -->`, are written from the file that has the
 * numbers:
 *
 * - `numbers`: rows of RESULTS.md, one a line: what it is, `|`, `suite › case (unit) › subject`.
 * - `hacks`: all hacks of HACKS.md.
 * - `outages HEADING`: the table of OUTAGES.md below that heading.
 * - `conformance`: how many promises each library keeps.
 * - `sizes`: what imports cost at most, one a line: what it is, `|`, the name of a fixture.
 */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { cellsOf, type Row, rowsOf } from "./Results.ts"
import { root } from "./Workspace.ts"

/** The files that have the numbers. */
export interface Sources {
  readonly results: string
  readonly hacks: string
  readonly outages: string
  readonly conformance: string
  readonly sizes: Readonly<Record<string, { readonly ours: number; readonly whole: number }>>
}

const read = (file: string) => readFileSync(join(root, file), "utf8")

export const sources = (): Sources => ({
  results: read("packages/bench/RESULTS.md"),
  hacks: read("packages/bench/HACKS.md"),
  outages: read("packages/bench/OUTAGES.md"),
  conformance: read("packages/conformance/RESULTS.md"),
  sizes: JSON.parse(read("packages/repo-checks/fixtures/sizes/budget.json"))
})

/** The pages with quotations. */
export const pages = (): ReadonlyArray<string> =>
  execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "README.md", "docs/**/*.md"], {
    cwd: root,
    encoding: "utf8"
  }).trim().split("\n").filter((file) => quotation.test(read(file)))

const quotation = /(<!-- (numbers|hacks|outages|conformance|sizes)\b([^]*?)-->\n)[^]*?(<!-- end -->)/
const quotations = new RegExp(quotation, "g")

const lines = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const listed = (list: string) =>
  list.trim().split("\n").map((line) => line.split("|").map((part) => part.trim()) as [string, string])

const found = <A>(map: { readonly get: (key: string) => A | undefined }, key: string, where: string): A => {
  const value = map.get(key)
  if (value === undefined) throw new Error(`${where} has no "${key}"`)
  return value
}

/** `718 ns`, `152 µs`, `36 ms`, `0.755 s`, `168 MB`. */
const measured = (median: string, { unit }: Row): string => {
  if (!unit.startsWith("ns/call")) return `${median} ${unit.replace(" on the clock", "")}`
  const nanos = Number(median.replaceAll(",", ""))
  const [value, name] = nanos < 10_000 ? [nanos, "ns"] : nanos < 10_000_000 ? [nanos / 1000, "µs"] : [nanos / 1e6, "ms"]
  return `${Math.round(value).toLocaleString("en")} ${name}`
}

const by = ({ date, suite }: Row) => [`\`npm run bench -- ${suite}\``, date]

/** The first table of a section, with its command and date. */
const table = (section: string, command: string, page: string): string => {
  const rows = (section.split(/^## /m)[0] ?? "").split("\n").filter((line) => line.startsWith("|"))
  return [...rows, "", `Written by \`npm run ${command}\` on ${/ on (\d{4}-\d\d-\d\d)\b/.exec(page)?.[1]}.`].join("\n")
}

const writers: Record<string, (list: string, sources: Sources) => string> = {
  numbers: (list, { results }) => {
    const rows = rowsOf(results)
    return lines(
      ["what", "ours", "beside it", "ours / beside it", "made by", "on"],
      listed(list).map(([what, id]) => {
        const row = found(rows, id, "RESULTS.md")
        const { ours, ratio, subject } = row
        return [what, measured(ours.median, row), `${subject}: ${measured(row.median, row)}`, ratio, ...by(row)]
      })
    )
  },
  hacks: (_, { hacks, results }) => {
    const rows = rowsOf(results)
    return lines(
      ["hack", "saves", "of", "with", "without", "saving", "made by", "on"],
      hacks.split("\n").filter((line) => line.startsWith("| `")).map((line) => {
        const [name = "", file = "", what = "", call = "", saving = "", id = ""] = cellsOf(line)
        const row = found(rows, id, "RESULTS.md")
        const link = `[${name}](../../${file.replaceAll("`", "")})`
        return [link, what, call, measured(row.ours.median, row), measured(row.median, row), saving, ...by(row)]
      })
    )
  },
  outages: (heading, { outages }) => {
    const [, section] = outages.split(`\n## ${heading.trim()}\n`)
    if (section === undefined) throw new Error(`OUTAGES.md has no heading "${heading.trim()}"`)
    return table(section, "outages", outages)
  },
  conformance: (_, { conformance }) => table(conformance, "conformance", conformance),
  sizes: (list, { sizes }) => {
    const known = new Map(Object.entries(sizes))
    return lines(
      ["what you import", "our code", "with Effect", "checked by"],
      listed(list).map(([what, name]) => {
        const { ours, whole } = found(known, name, "budget.json")
        return [what, ...[ours, whole].map((bytes) => `${(bytes / 1000).toFixed(1)} kB`), "`npm run packages`"]
      })
    )
  }
}

/** A page with its quotations as they should be. */
export const quoted = (page: string, from: Sources): string =>
  page.replaceAll(quotations, (_, comment: string, kind: string, list: string, end: string) => {
    const write = found(new Map(Object.entries(writers)), kind, "Numbers.ts")
    return `${comment}\n${write(list, from)}\n\n${end}`
  })

/** A page without what the formatter adds to tables. */
export const plain = (page: string): string => page.replace(/ +/g, " ").replace(/-{3,}/g, "---").replace(/\n+/g, "\n")

if (import.meta.main) {
  const from = sources()
  const files = pages()
  for (const file of files) writeFileSync(join(root, file), quoted(read(file), from))
  execFileSync(join(root, "node_modules/.bin/dprint"), ["fmt", "--config", ".dprint.json", ...files], { cwd: root })
}
