import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import { hovers } from "../src/LanguageServer.ts"
import { root } from "../src/Workspace.ts"

const tsc = fileURLToPath(new URL("./bin/tsc", import.meta.resolve("typescript/package.json")))

/** A folder with a module that sees the sources of the packages. */
const project = (name: string, code: string): string => {
  const dir = join(root, "packages/repo-checks/dist", name)
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, "module.ts"), code)
  writeFileSync(
    join(dir, "tsconfig.json"),
    JSON.stringify({
      extends: "../../../../tsconfig.base.json",
      compilerOptions: {
        composite: false,
        emitDeclarationOnly: true,
        rootDir: "../../../..",
        outDir: "out",
        types: ["node"],
        customConditions: ["@effect-resilience/source"]
      },
      files: ["module.ts"]
    })
  )
  return dir
}

/** The declarations that tsc writes of a module. */
const declared = (code: string): string => {
  const dir = project("hover", code)
  const run = spawnSync(process.execPath, [tsc, "-p", dir, "--pretty", "false"], { cwd: dir, encoding: "utf8" })
  expect(run.stdout).toBe("")
  return readFileSync(join(dir, "out/packages/repo-checks/dist/hover/module.d.ts"), "utf8")
}

it("shows a pipeline by the keys of its parts, and can declare one with parts of its own", () => {
  const declarations = declared(`
import { Pipeline } from "@effect-resilience/pipeline"
export const ledger = Pipeline.make({ name: "ledger", retry: { times: 3 }, bulkhead: { permits: 10 } })
const parts = { ...Pipeline.parts, again: Pipeline.parts.retry }
export const mine = Pipeline.make({ name: "mine", again: { times: 3 } }, { parts })
`)
  expect(declarations).toContain(
    `ledger: import("effect/Effect").Effect<Pipeline.Pipeline<Pick<Pipeline.Parts, "bulkhead" | "retry">, never, never>, never, never>`
  )
  expect(declarations).toContain(`again: import(`)
  expect(declarations).not.toContain(`name: "mine"`)
})

const fixture = join(root, "packages/repo-checks/fixtures/hovers")

it("shows the main types in a few lines, and what an option is for", async () => {
  const code = readFileSync(join(fixture, "module.ts"), "utf8")
  const shown = await hovers(join(project("hovers", code), "module.ts"), code)
  expect(shown.filter(({ hover }) => hover.split("\n").length > 14 || /\bany\b|\bextends\b|nothing/.test(hover)))
    .toEqual([])
  const text = shown.map(({ hover, line }) => `# ${line}\n${hover}\n`).join("\n")
  await expect(text).toMatchFileSnapshot(join(fixture, "hovers.txt"))
})
