/**
 * What a user gets from the registry, checked without packing: publint for package.json and its files, attw for how TypeScript
 * resolves each export (ES modules only, as `attw --profile esm-only`).
 */
import { checkPackage, Package as Tarball } from "@arethetypeswrong/core"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { filesOf } from "./Workspace.ts"
import type { Manifest } from "./Workspace.ts"

/** The files that npm would pack from a folder, relative to it. */
const packed = (dir: string, manifest: Manifest): ReadonlyArray<string> =>
  filesOf(dir).filter((path) =>
    path === "package.json" || /^(README|LICENSE)/i.test(path) ||
    (manifest.files ?? []).some((entry) => path === entry || path.startsWith(`${entry}/`)) &&
      manifest.files?.includes(`!${path}`) !== true
  )

/** The problems of a package, one line each; nothing if it is fit to publish. */
export const problems = async (dir: string): Promise<ReadonlyArray<string>> => {
  const json = readFileSync(join(dir, "package.json"), "utf8")
  const manifest: Manifest = JSON.parse(json)
  const files = packed(dir, manifest).map((path) => ({ path, data: readFileSync(join(dir, path)) }))

  const lint = await publint({
    pkgDir: dir,
    strict: true,
    pack: { files: files.map(({ data, path }) => ({ name: join(dir, path), data })) }
  })
  const linted = lint.messages.map((message) => {
    const text = formatMessage(message, lint.pkg, { color: false })
    return `${manifest.name}: publint ${message.code}: ${text ?? JSON.stringify(message.args)}`
  })

  const inTarball = Object.fromEntries(
    files.map(({ data, path }) => [`/node_modules/${manifest.name}/${path}`, data.toString("utf8")])
  )
  const types = await checkPackage(new Tarball(inTarball, manifest.name, manifest.version ?? "0.0.0"))
  if (types.types === false) return [...linted, `${manifest.name}: attw finds no types`]
  const wrong = types.problems
    .filter((problem) => !("resolutionKind" in problem) || !["node10", "node16-cjs"].includes(problem.resolutionKind))
    .map((problem) => `${manifest.name}: attw ${JSON.stringify(problem)}`)
  return [...linted, ...wrong]
}
