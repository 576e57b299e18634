import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { anys } from "../src/Declarations.ts"
import { problems } from "../src/Published.ts"
import type { Package } from "../src/Workspace.ts"
import { filesOf, publicPackages, root } from "../src/Workspace.ts"

const packages = publicPackages().filter((pkg) => pkg.modules.some(({ path }) => !/^(index|main)\.ts$/.test(path)))

const declarations = (pkg: Package) =>
  pkg.modules
    .filter(({ path }) => !path.includes("internal/"))
    .map(({ path }) => `packages/${pkg.name}/dist/${path.replace(/\.ts$/, ".d.ts")}`)

describe("a published package", () => {
  it.each(packages.map(({ name }) => name))("%s satisfies publint and attw", async (name) => {
    expect(await problems(join(root, "packages", name))).toEqual([])
  })

  it.each(packages)("$name brings its licence along, which npm packs from nowhere else", ({ name }) => {
    expect(readFileSync(join(root, "packages", name, "LICENSE"), "utf8")).toBe(
      readFileSync(join(root, "LICENSE"), "utf8")
    )
  })

  it.each(packages)("$name declares no any", (pkg) => {
    const files = declarations(pkg)
    expect(files.flatMap((file) => anys(file, readFileSync(join(root, file), "utf8")))).toEqual([])
  })

  it("is rejected for a missing file and for types that do not resolve", async () => {
    const dir = mkdtempSync(join(tmpdir(), "published-"))
    onTestFinished(() => rmSync(dir, { recursive: true }))
    mkdirSync(join(dir, "dist"))
    const manifest = {
      name: "broken",
      version: "1.0.0",
      type: "module",
      license: "MIT",
      files: ["dist"],
      exports: {
        ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
        "./Gone": { types: "./dist/Gone.d.ts", default: "./dist/Gone.js" }
      }
    }
    writeFileSync(join(dir, "package.json"), JSON.stringify(manifest))
    writeFileSync(join(dir, "dist/index.d.ts"), "export * from \"./nowhere.js\"\n")
    writeFileSync(join(dir, "dist/index.js"), "export {}\n")
    writeFileSync(join(dir, "unpublished.js"), "export {}\n")
    const found = (await problems(dir)).join("\n")
    expect(found).toContain("publint FILE_DOES_NOT_EXIST")
    expect(found).toContain("\"InternalResolutionError\"")
    expect(found).toContain("\"NoResolution\"")
    expect(filesOf(dir)).toContain("unpublished.js")
  })

  it("is rejected for any, and not for the word in a comment or a string", () => {
    const code = [
      "/** any */",
      "export declare const a: \"any\"",
      "declare const A_base: new(x: any) => {}",
      "export declare const b: Array<any>",
      "export declare const c: (x: any) => void"
    ].join("\n")
    expect(anys("a.d.ts", code)).toEqual([
      "a.d.ts:4 export declare const b: Array<any>",
      "a.d.ts:5 export declare const c: (x: any) => void"
    ])
  })
})
