import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import * as Numbers from "../src/Numbers.ts"
import { root } from "../src/Workspace.ts"

const from: Numbers.Sources = {
  results: `# Results

## retry

2026-11-28 · Node 24.21.0

### success (ns/call)

| subject | median | p25 | p75 | with / subject | at most |
| ------- | -----: | --: | --: | -------------: | ------: |
| with    |    900 | 890 | 990 |                |         |
| without | 12,345 | 100 | 100 |           0.07 |         |
`,
  hacks: "| `fast` | `packages/limit/src/A.ts` | a closure | a call | 93 % | retry › success (ns/call) › without |\n",
  outages:
    "Written by `npm run outages` on 2026-11-29.\n\n## Down\n\nWords.\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n## Next\n\n| c |\n",
  conformance:
    "# Results\n\nWritten by `npm run conformance` on 2026-11-29, with Node.\n\n| a | yes |\n| - | - |\n| x | 95 |\n\n## backoff\n\n| y |\n",
  sizes: { client: { ours: 44_400, whole: 79_200 } }
}

const page = (comment: string, table = "| old |") =>
  `Before.\n\n<!-- ${comment} -->\n\n${table}\n\n<!-- end -->\n\nAfter.\n`

const written = (comment: string) => Numbers.quoted(page(comment), from).split("\n").slice(4, -5).join("\n")

describe("the numbers of README and guides", () => {
  it("are those of the files that the benchmarks write (npm run numbers)", () => {
    const sources = Numbers.sources()
    const pages = Numbers.pages()
    expect(pages).toContain("docs/guides/performance.md")
    const texts = pages.map((file) => [file, readFileSync(join(root, file), "utf8")] as const)
    expect(texts.map(([file, text]) => [file, Numbers.plain(text)])).toEqual(
      texts.map(([file, text]) => [file, Numbers.plain(Numbers.quoted(text, sources))])
    )
  })

  it("have their command and their date, and units to read", () => {
    expect(written("numbers\na call | retry › success (ns/call) › without\n")).toContain(
      "| a call | 900 ns | without: 12 µs | 0.07 | `npm run bench -- retry` | 2026-11-28 |"
    )
    expect(written("hacks")).toContain(
      "| [`fast`](../../packages/limit/src/A.ts) | a closure | a call | 900 ns | 12 µs | 93 % | `npm run bench -- retry` | 2026-11-28 |"
    )
    expect(written("outages Down")).toContain("| 1 | 2 |\n\nWritten by `npm run outages` on 2026-11-29.")
    expect(written("conformance")).toMatch(/\| x \| 95 \|\n\nWritten by `npm run conformance` on 2026-11-29\.$/)
    expect(written("sizes\nthe client | client\n")).toContain("| the client | 44.4 kB | 79.2 kB | `npm run packages` |")
  })

  it("leave the rest of a page alone", () => {
    expect(Numbers.quoted(page("outages Down"), from)).toMatch(/^Before\.\n[^]*<!-- end -->\n\nAfter\.\n$/)
  })

  it("must exist", () => {
    const rows = "numbers\na call | retry › success (ns/call) › hardly\n"
    expect(() => written(rows)).toThrow("RESULTS.md has no \"retry › success (ns/call) › hardly\"")
    expect(() => written("outages Up")).toThrow("OUTAGES.md has no heading \"Up\"")
    expect(() => written("sizes\nx | lab\n")).toThrow("budget.json has no \"lab\"")
  })
})
