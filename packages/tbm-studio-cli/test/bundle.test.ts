import { globSync, readFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"

const dist = fileURLToPath(new URL("../dist/", import.meta.url))
const read = (file: string) => readFileSync(join(dist, file), "utf8")

describe("the bundle of the command", () => {
  const files = ["command.js", ...globSync("command/*.js", { cwd: dist })]

  it("needs no package that may not be installed", () => {
    const imported = files.flatMap((file) =>
      Array.from(read(file).matchAll(/^(?:import|export) (?:.* from )?"([^"]+)"/gm), ([, from = ""]) => from)
    )
    const foreign = imported.filter((from) => !/^(node:|\.)/.test(from) && !builtinModules.includes(from))
    expect(imported).not.toEqual([])
    expect(foreign).toEqual([])
  })

  it("includes the licence of each package in it", () => {
    const notices = read("command/LICENSES.txt")
    for (const name of ["effect", "@effect/platform-node", "@effect/sql-pg", "@noble/hashes", "undici"]) {
      expect(notices).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(MIT\\)\\n\\n.*MIT License`, "m"))
    }
  })
})
