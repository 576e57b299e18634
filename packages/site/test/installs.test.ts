import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { fences } from "../../repo-checks/src/DocFences.ts"
import { imports } from "../../repo-checks/src/Syntax.ts"
import { root } from "../../repo-checks/src/Workspace.ts"
import { pages } from "../src/Pages.ts"

const packageOf = (specifier: string): string =>
  specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")

/** What the programs of a page import and its install lines do not name. A page that installs a command only has no such lines. */
const missing = (page: string, text: string): ReadonlyArray<string> => {
  const lines = [...text.matchAll(/^npm install (?!--global)(.*)$/gm)].map(([, words = ""]) => words)
  if (lines.length === 0) return []
  const installed = lines.join(" ").split(" ")
  const names = fences(text).flatMap(({ code }) => imports(page, code)).map(({ from }) => packageOf(from))
  return [...new Set(names)].filter((name) => !name.startsWith("node:") && !installed.includes(name)).map((name) =>
    `${page} imports ${name} and does not install it`
  )
}

it("names in the install lines of a guide what its programs import", () => {
  const guides = pages().filter((page) => page.startsWith("docs/guides/"))
  expect(guides.flatMap((page) => missing(page, readFileSync(join(root, page), "utf8")))).toEqual([])
  expect(missing("a.md", "```sh\nnpm install effect\n```\n```ts\nimport \"effect/http\"\nimport \"@a/b/C\"\n```\n"))
    .toEqual(["a.md imports @a/b and does not install it"])
})
