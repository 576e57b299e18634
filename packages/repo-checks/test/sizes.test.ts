import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"
import type { Bundle, Extent } from "../src/Sizes.ts"
import { bundles, extents } from "../src/Sizes.ts"
import { filesOf } from "../src/Workspace.ts"

const fixtures = fileURLToPath(new URL("../fixtures/sizes", import.meta.url))

// Bytes, minified and gzipped: raise one only together with the reason in the commit.
const budget: Readonly<Record<string, Readonly<Record<Extent, number>>>> = JSON.parse(
  readFileSync(join(fixtures, "budget.json"), "utf8")
)

const names = filesOf(fixtures).filter((path) => path.endsWith(".ts")).map((path) => path.replace(/\.ts$/, ""))
  .toSorted()

const isSchema = (path: string) => /effect\/dist\/Schema(AST|Parser|Issue)?\.js$/.test(path)

const whole = new Map<string, Promise<ReadonlyArray<Bundle>>>()

/** The bundles of a fixture with all that it imports: two tests look at them. */
const wholeOf = (name: string): Promise<ReadonlyArray<Bundle>> => {
  const made = whole.get(name) ?? bundles(join(fixtures, `${name}.ts`), "whole")
  whole.set(name, made)
  return made
}

const row = (name: string, cells: ReadonlyArray<unknown>) =>
  name.padEnd(12) + cells.map((cell) => String(cell).padStart(10)).join("")

const rows = [
  row("bytes", ["own:", "", "budget", "siblings:", "", "budget", "effect:", "", "budget"]),
  row("import", ["esbuild", "rolldown", "", "esbuild", "rolldown", "", "esbuild", "rolldown", ""])
]

describe("the size of an import", () => {
  afterAll(() => console.log(rows.join("\n")))

  it("has a budget for each fixture", () => {
    expect(Object.keys(budget).toSorted()).toEqual(names)
  })

  it.each(names)("%s stays within its budget", async (name) => {
    const cells: Array<number> = []
    const over: Array<string> = []
    for (const extent of extents) {
      const made = extent === "whole" ? await wholeOf(name) : await bundles(join(fixtures, `${name}.ts`), extent)
      const limit = budget[name]?.[extent] ?? 0
      cells.push(...made.map(({ bytes }) => bytes), limit)
      if (made.some(({ bytes }) => bytes > limit)) {
        over.push(`${extent}: ${made.map(({ bytes }) => bytes).join(", ")} bytes, budget ${limit}`)
      }
    }
    rows.push(row(name, cells))
    expect(over).toEqual([])
  })

  // Effect brings it in wherever it makes an `HttpClient`.
  it.each(names.filter((name) => !name.startsWith("client")))(
    "%s brings in no Schema",
    async (name) => {
      const made = await wholeOf(name)
      expect(made).toHaveLength(2)
      expect(made.flatMap(({ modules }) => modules.filter(isSchema))).toEqual([])
    }
  )

  it("sees a Schema that is brought in", async () => {
    const file = fileURLToPath(new URL("../fixtures/schema.ts", import.meta.url))
    const made = await bundles(file, "whole")
    expect(made.map(({ modules }) => modules.some(isSchema))).toEqual([true, true])
  })
})
