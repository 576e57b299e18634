/** The packages of this repository, read from disk. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../../../", import.meta.url))

export const scope = "@effect-resilience/"

type Dependencies = Readonly<Record<string, string>>

export interface Manifest {
  readonly name: string
  readonly version?: string
  readonly private?: boolean
  readonly description?: string
  readonly keywords?: ReadonlyArray<string>
  readonly license?: string
  readonly type?: string
  readonly sideEffects?: boolean
  readonly engines?: { readonly node?: string }
  readonly files?: ReadonlyArray<string>
  readonly bin?: Readonly<Record<string, string>>
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly dependencies?: Dependencies
  readonly peerDependencies?: Dependencies
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
  readonly optionalDependencies?: Dependencies
  readonly publishConfig?: { readonly access?: string }
}

/** A source file; `path` is relative to `src`. */
export interface Module {
  readonly path: string
  readonly code: string
}

export interface Package {
  /** The folder under `packages`, which is the name without the scope. */
  readonly name: string
  readonly manifest: Manifest
  readonly modules: ReadonlyArray<Module>
  readonly hasReadme: boolean
  /** The names of the packages that its tsconfig.json refers to. */
  readonly references: ReadonlyArray<string>
}

/** The files of a folder, deep, relative to it, in order; none if there is no such folder. */
export const filesOf = (dir: string): ReadonlyArray<string> =>
  existsSync(dir)
    ? readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1).replaceAll("\\", "/"))
      .toSorted()
    : []

interface TsConfig {
  readonly references?: ReadonlyArray<{ readonly path: string }>
}

/** The names of the packages that a tsconfig.json refers to. */
export const referencesOf = (file: string): ReadonlyArray<string> => {
  if (!existsSync(file)) return []
  const config: TsConfig = JSON.parse(readFileSync(file, "utf8"))
  return (config.references ?? []).map(({ path }) => path.replace(/^\.\.?\//, "").replace(/\/$/, ""))
}

const readPackage = (dir: string, name: string): Package => {
  const src = join(dir, "src")
  return {
    name,
    manifest: JSON.parse(readFileSync(join(dir, "package.json"), "utf8")),
    modules: filesOf(src)
      .filter((path) => path.endsWith(".ts"))
      .map((path) => ({ path, code: readFileSync(join(src, path), "utf8") })),
    hasReadme: existsSync(join(dir, "README.md")),
    references: referencesOf(join(dir, "tsconfig.json"))
  }
}

export const readPackages = (): ReadonlyArray<Package> => {
  const dir = join(root, "packages")
  return readdirSync(dir)
    .filter((name) => existsSync(join(dir, name, "package.json")))
    .map((name) => readPackage(join(dir, name), name))
}

/** The packages that are published. */
export const publicPackages = (): ReadonlyArray<Package> => readPackages().filter((p) => p.manifest.private !== true)
