import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { root } from "../src/Workspace.ts"

const read = (file: string) => readFileSync(join(root, file), "utf8")

const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, name = ""]) => name)

it("docs/metrics.md names every metric, and none that does not exist", () => {
  const files = execFileSync("git", ["ls-files", "packages/*/src/**.ts"], { cwd: root, encoding: "utf8" }).trim()
  const made = files.split("\n").flatMap((file) => all(read(file), /\bMetric\.(?:\w+)\(\s*"([a-z_.]+)"/g))
  const page = all(read("docs/metrics.md"), /^\| `([a-z_.]+)` +\|/gm)
  expect(made.length).toBeGreaterThan(20)
  expect(page.toSorted()).toEqual(made.toSorted())
})
