import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { unnamed } from "../src/Npx.ts"
import { root } from "../src/Workspace.ts"

describe("npx", () => {
  it("is given the name of a package wherever it is written", () => {
    const files = execFileSync("git", ["ls-files", "*.md", "*.sh", "*.yml", ".ci"], { cwd: root, encoding: "utf8" })
      .trim().split("\n")
    expect(files.length).toBeGreaterThan(20)
    expect(files.flatMap((file) => unnamed(file, readFileSync(join(root, file), "utf8")))).toEqual([])
  })

  it("is found with a command alone, and left alone with a package, or in prose", () => {
    const found = (text: string) => unnamed("a.md", text)
    expect(found("npx -p @effect-resilience/tbm-studio-cli tbm-studio login")).toEqual([])
    expect(found("npx --yes --package=@effect-resilience/tbm-simulator tbm-simulator")).toEqual([])
    expect(found("`npx`, or another; npx")).toEqual([])
    expect(found("a\nnpx tbm-studio login")).toEqual(["a.md:2 npx tbm-studio"])
    expect(found("npx -y tbm-studio")).toEqual(["a.md:1 npx -y tbm-studio"])
    expect(found("npm exec -- tbm-studio")).toEqual(["a.md:1 npm exec -- tbm-studio"])
    expect(found("npx -p tbm-studio-cli tbm-studio")).toEqual(["a.md:1 npx -p"])
    expect(found("pnpm dlx tbm-simulator; bunx tbm-studio")).toHaveLength(2)
  })
})
