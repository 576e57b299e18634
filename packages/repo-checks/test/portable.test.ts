import { build } from "esbuild"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { portable } from "../src/Architecture.ts"
import { root, scope } from "../src/Workspace.ts"

/** Everything that the import of a module loads: files of this repository, and modules of Node. */
const loaded = async (specifier: string): Promise<ReadonlyArray<string>> => {
  const { metafile } = await build({
    stdin: { contents: `export * from ${JSON.stringify(specifier)}`, resolveDir: join(root, "examples") },
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    conditions: [`${scope}source`, "import"],
    logLevel: "silent",
    // What Node brings with it, without a prefix too.
    platform: "node"
  })
  const files = Object.keys(metafile.inputs).map((file) => /packages\/[^/]+\/src\/.*$/.exec(file)?.[0] ?? file)
  const modules = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
  return [...files, ...modules]
}

const ofNode = (file: string): boolean => {
  const name = /^packages\/([^/]+)\//.exec(file)?.[1]
  if (name !== undefined) return !portable.includes(name)
  return !file.startsWith("<") && !/(^|\/)node_modules\/(effect|@noble\/hashes)\//.test(file)
}

describe("a portable package", () => {
  it.each(portable)(
    "%s has an index that loads no module of Node and no package that is not portable",
    async (name) => {
      const files = await loaded(scope + name)
      expect(files.some((file) => file.startsWith(`packages/${name}/src/`))).toBe(true)
      expect(files.filter(ofNode)).toEqual([])
    }
  )

  it("would be caught loading them", async () => {
    const files = await loaded(`${scope}tbm-studio/SimulatedStudio`)
    expect(files.filter(ofNode)).toContain("packages/tbm-simulator/src/Simulator.ts")
    expect(files.filter(ofNode)).toContain("node:http")
  })
})
