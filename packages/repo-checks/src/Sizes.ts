/** What an import costs the user of a bundler: bytes, minified and gzipped, and the modules that stay after tree-shaking. */
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"
import { imports } from "./Syntax.ts"
import { publicPackages, scope } from "./Workspace.ts"

export interface Bundle {
  readonly bytes: number
  /** The modules with code in the output. */
  readonly modules: ReadonlyArray<string>
}

/**
 * What goes into the bundle: `own`, the packages that the fixture imports; `ours`, those and their siblings; `whole`, effect too. The
 * statements that import what is left out do not count.
 */
export type Extent = "own" | "ours" | "whole"

export const extents: ReadonlyArray<Extent> = ["own", "ours", "whole"]

const conditions = [`${scope}source`, "import"]

const effect = ["effect", "@effect/platform-node", "@effect/platform-node-shared"]

const externals = (file: string, extent: Extent): ReadonlyArray<string> => {
  if (extent === "whole") return []
  if (extent === "ours") return effect
  const imported = imports(file, readFileSync(file, "utf8")).map(({ from }) => from)
  const siblings = publicPackages().map(({ manifest }) => manifest.name)
  return [...effect, ...siblings.filter((name) => !imported.some((from) => `${from}/`.startsWith(`${name}/`)))]
}

// A bundle of a program has none of them. esbuild writes one for each module that imports, 2 kB of a whole client.
const importStatement = /import(?:\*as [\w$]+|\{[^}]*\}|[\w$]+) ?from ?"[^"]+";?/g

const gzipped = (code: string): number => gzipSync(code.replace(importStatement, ""), { level: 9 }).length

const withEsbuild = async (file: string, external: ReadonlyArray<string>): Promise<Bundle> => {
  const result = await build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: "esm",
    target: "es2023",
    platform: "browser",
    conditions,
    logLevel: "silent",
    external: external.flatMap((name) => [name, `${name}/*`])
  })
  const output = Object.values(result.metafile.outputs)[0]
  return {
    bytes: gzipped(result.outputFiles[0]?.text ?? ""),
    modules: Object.entries(output?.inputs ?? {}).filter(([, input]) => input.bytesInOutput > 0).map(([path]) => path)
  }
}

const withRolldown = async (file: string, external: ReadonlyArray<string>): Promise<Bundle> => {
  const bundle = await rolldown({
    input: file,
    platform: "browser",
    logLevel: "silent",
    resolve: { conditionNames: [...conditions, "browser", "default"] },
    external: (id) => external.some((name) => `${id}/`.startsWith(`${name}/`))
  })
  const { output } = await bundle.generate({ format: "esm", minify: true })
  await bundle.close()
  return {
    bytes: gzipped(output[0].code),
    modules: Object.entries(output[0].modules).filter(([, module]) => module.renderedLength > 0).map(([path]) => path)
  }
}

/** The bundles that esbuild and rolldown make of a file. */
export const bundles = async (file: string, extent: Extent): Promise<readonly [Bundle, Bundle]> => {
  const external = externals(file, extent)
  return [await withEsbuild(file, external), await withRolldown(file, external)]
}
