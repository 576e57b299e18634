import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { root } from "../src/Workspace.ts"

const page = readFileSync(join(root, "docs", "architecture.md"), "utf8")

const listed = (name: string): ReadonlyArray<string> => {
  const block = page.split(`<!-- trace: ${name} -->`)[1]?.split("```")[1] ?? ""
  return block.trim().split("\n").slice(1)
}

it.each(["retry", "pipeline", "token", "upload"])(
  "passes the files that the page lists: %s",
  (name) => {
    const node = join(root, "node_modules", ".bin", "node")
    const trace = [
      "--conditions=@effect-resilience/source",
      "packages/repo-checks/fixtures/traces/main.ts",
      `packages/repo-checks/fixtures/traces/${name}.ts`
    ]
    expect(listed(name)).toEqual(execFileSync(node, trace, { cwd: root, encoding: "utf8" }).trim().split("\n"))
  }
)
