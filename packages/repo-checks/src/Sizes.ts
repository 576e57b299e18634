/** What an import costs the user of a bundler: bytes, minified and gzipped, and the modules that stay after tree-shaking. */
import { build } from "esbuild"
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"
import { scope } from "./Workspace.ts"

export interface Bundle {
  readonly bytes: number
  /** The modules with code in the output. */
  readonly modules: ReadonlyArray<string>
}

/** `own` leaves effect out of the bundle; `whole` takes it in. */
export type Extent = "own" | "whole"

const conditions = [`${scope}source`, "import"]

const effect = (id: string): boolean => /^(effect|@effect\/[^/]+)(\/|$)/.test(id)

const gzipped = (code: string): number => gzipSync(code, { level: 9 }).length

export const withEsbuild = async (file: string, extent: Extent): Promise<Bundle> => {
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
    external: extent === "own" ? ["effect", "effect/*", "@effect/*"] : []
  })
  const output = Object.values(result.metafile.outputs)[0]
  return {
    bytes: gzipped(result.outputFiles[0]?.text ?? ""),
    modules: Object.entries(output?.inputs ?? {}).filter(([, input]) => input.bytesInOutput > 0).map(([path]) => path)
  }
}

export const withRolldown = async (file: string, extent: Extent): Promise<Bundle> => {
  const bundle = await rolldown({
    input: file,
    platform: "browser",
    logLevel: "silent",
    resolve: { conditionNames: [...conditions, "browser", "default"] },
    external: extent === "own" ? effect : []
  })
  const { output } = await bundle.generate({ format: "esm", minify: true })
  await bundle.close()
  return {
    bytes: gzipped(output[0].code),
    modules: Object.entries(output[0].modules).filter(([, module]) => module.renderedLength > 0).map(([path]) => path)
  }
}
