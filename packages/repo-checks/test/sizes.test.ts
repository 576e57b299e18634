import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"
import type { Bundle, Extent } from "../src/Sizes.ts"
import { withEsbuild, withRolldown } from "../src/Sizes.ts"
import { filesOf } from "../src/Workspace.ts"

const fixtures = fileURLToPath(new URL("../fixtures/sizes", import.meta.url))

// Bytes, minified and gzipped: raise one only together with the reason in the commit.
const budget: Readonly<Record<string, Readonly<Record<Extent, number>>>> = JSON.parse(
  readFileSync(join(fixtures, "budget.json"), "utf8")
)

const withoutSchema = ["errors", "recovery"]

const imports = filesOf(fixtures).filter((path) => path.endsWith(".ts")).map((path) => path.replace(/\.ts$/, ""))

const isSchema = (path: string) => /effect\/dist\/Schema(AST|Parser|Issue)?\.js$/.test(path)

const sizes = new Map<string, ReadonlyArray<Bundle>>()

const rows: Array<string> = []

describe("the size of an import", () => {
  afterAll(() => {
    const head = "import          own: esbuild  rolldown    budget   with effect: esbuild  rolldown    budget"
    console.log([head, ...rows].join("\n"))
  })

  it("has a budget for each fixture", () => {
    expect(Object.keys(budget).toSorted()).toEqual([...imports])
  })

  it.each(imports)("%s stays within its budget", { timeout: 60_000 }, async (name) => {
    const file = join(fixtures, `${name}.ts`)
    const own = [await withEsbuild(file, "own"), await withRolldown(file, "own")] as const
    const whole = [await withEsbuild(file, "whole"), await withRolldown(file, "whole")] as const
    const limit = budget[name] ?? { own: 0, whole: 0 }
    const cells = [...own.map((b) => b.bytes), limit.own, ...whole.map((b) => b.bytes), limit.whole]
    rows.push(name.padEnd(14) + cells.map((n, i) => String(n).padStart(i === 3 ? 23 : i === 0 ? 14 : 10)).join(""))
    expect(Math.max(...own.map((b) => b.bytes)), "own bytes").toBeLessThanOrEqual(limit.own)
    expect(Math.max(...whole.map((b) => b.bytes)), "bytes with effect").toBeLessThanOrEqual(limit.whole)
    sizes.set(name, whole)
  })

  it.each(withoutSchema)("%s brings in no Schema", (name) => {
    const bundles = sizes.get(name) ?? []
    expect(bundles).toHaveLength(2)
    expect(bundles.flatMap(({ modules }) => modules.filter(isSchema))).toEqual([])
  })

  it("sees a Schema that is brought in", { timeout: 60_000 }, async () => {
    const file = fileURLToPath(new URL("../fixtures/schema.ts", import.meta.url))
    const bundles = [await withEsbuild(file, "whole"), await withRolldown(file, "whole")]
    expect(bundles.map(({ modules }) => modules.some(isSchema))).toEqual([true, true])
  })
})
