import { describe, expect, it } from "vitest"
import { publicApi } from "../../repo-checks/src/PublicApi.ts"
import { publicPackages, scope } from "../../repo-checks/src/Workspace.ts"
import { referencePages } from "../src/Reference.ts"

const pages = new Map(referencePages().map(({ content, page }) => [page, content]))

describe("the reference", () => {
  it("has a page for each entry point but the indexes, which the overview lists", () => {
    const entries = publicPackages().flatMap(({ manifest, name }) =>
      Object.entries(manifest.exports ?? {})
        .filter(([path, target]) => path !== "." && typeof target === "object")
        .map(([path]) => name + path.slice(1))
    )
    expect(entries.filter((entry) => !pages.has(entry))).toEqual([])
    expect(entries.filter((entry) => pages.get("index")?.includes(`(/reference/${entry})`) !== true)).toEqual([])
  })

  it("describes each export once, with its signature", () => {
    const lacking = publicApi().flatMap(({ modules }) => modules).flatMap(({ entry, exports }) => {
      const page = pages.get(entry.slice(scope.length)) ?? ""
      return exports.filter(({ name, signature }) =>
        page.split(`\n### ${name}\n`).length !== 2 || !page.includes(signature)
      ).map(({ name }) => `${entry} ${name}`)
    })
    expect(lacking).toEqual([])
  })

  it("leaves no type in a text to be read as HTML", () => {
    const html = [...pages].filter(([, content]) =>
      /<[A-Za-z]|\{\{/.test(content.replace(/^ *```[^]*?^ *```$/gm, "").replace(/`[^`\n]*`/g, ""))
    )
    expect(html.map(([page]) => page)).toEqual([])
  })
})
