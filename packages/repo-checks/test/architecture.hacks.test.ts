import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import * as Hacks from "../src/Hacks.ts"
import type { Package } from "../src/Workspace.ts"
import { publicPackages, root } from "../src/Workspace.ts"

const bench = (file: string): string => readFileSync(join(root, "packages/bench", file), "utf8")

const made = (name: string, code: Record<string, string>): Package => ({
  name,
  manifest: { name: `@effect-resilience/${name}` },
  modules: Object.entries(code).map(([path, text]) => ({ path, code: text })),
  hasReadme: false,
  references: []
})

const results = `# Results

## hacks

### a call (ns/call)

| subject | median | p25 | p75 | with / subject | at most |
| ------- | -----: | --: | --: | -------------: | ------: |
| with    |     90 |  90 |  90 |                |         |
| without |    100 | 100 | 100 |           0.90 |         |
| hardly  |     92 |  92 |  92 |           0.98 |         |
`

const rowOf = (name: string, file: string, saving: string, subject: string) =>
  `| \`${name}\` | \`packages/limit/src/${file}\` | a closure | a call | ${saving} | hacks › a call (ns/call) › ${subject} |\n`

describe("the table of hacks", () => {
  it("names each hack, what it saves and the row that shows it", () => {
    expect(Hacks.hacks(publicPackages(), bench("HACKS.md"), bench("RESULTS.md"))).toEqual([])
  })

  it("reports marks and rows that lack each other, wrong savings and small ones", () => {
    const code = {
      "A.ts": "// hack: fine\n/**\n * hack: unlisted\n */\n",
      "internal/b.ts": "// hack: small. Why\n// hack: wrong\n// hack: unseen\nconst text = \"hack: none\"\n"
    }
    const table = [
      rowOf("fine", "A.ts", "10 %", "without"),
      rowOf("small", "internal/b.ts", "2 %", "hardly"),
      rowOf("wrong", "internal/b.ts", "50 %", "without"),
      rowOf("unseen", "internal/b.ts", "10 %", "with"),
      rowOf("gone", "A.ts", "10 %", "without")
    ].join("")
    expect(Hacks.hacks([made("limit", code)], table, results)).toEqual([
      "packages/limit/src/A.ts marks the hack unlisted, which HACKS.md lacks",
      "small saves 2 %, less than 5 %: remove it",
      "HACKS.md says that wrong saves 50 %, RESULTS.md says 10 %",
      "HACKS.md shows unseen by \"hacks › a call (ns/call) › with\", which RESULTS.md lacks",
      "HACKS.md names gone in packages/limit/src/A.ts, which has no such mark"
    ])
  })
})
