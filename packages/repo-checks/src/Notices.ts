/** The licences of what a bundle has in it. */
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"

interface Package {
  readonly dir: string
  readonly name: string
  readonly version: string
  readonly license: string
}

const packageOf = (dir: string): Package => {
  const file = join(dir, "package.json")
  // Some package.json files contain only the module type.
  const manifest: Partial<Package> = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {}
  const { license = "", name, version } = manifest
  return name === undefined || version === undefined ? packageOf(dirname(dir)) : { dir, name, version, license }
}

const noticeOf = ({ dir, license, name, version }: Package): string => {
  const [file] = globSync("{LICENSE,LICENCE}*", { cwd: dir })
  if (file === undefined) throw new Error(`${name} ${version} has no licence that could go with a bundle.`)
  return `${name} ${version} (${license})\n\n${readFileSync(join(dir, file), "utf8").trim()}\n`
}

/** The licences of the packages of foreign modules, given as paths. */
export const notices = (modules: ReadonlyArray<string>): string => {
  const foreign = modules.filter((id) => id.includes("/node_modules/")).map((id) => packageOf(dirname(id)))
  const packages = new Map(foreign.toSorted((a, b) => a.name < b.name ? -1 : 1).map((found) => [found.dir, found]))
  return Array.from(packages.values(), noticeOf).join(`\n${"-".repeat(80)}\n\n`)
}
