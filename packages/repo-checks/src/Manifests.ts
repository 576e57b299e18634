/**
 * Who owns this project is said once, in the package.json of the root: `author`, `homepage`, `repository` and `bugs`. The packages
 * repeat it: `npm run manifests` writes it into them, and a test compares. Until an owner is known, its addresses end in `.invalid`,
 * a
 * domain that cannot be registered.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { isCommand, portable } from "./Architecture.ts"
import type { Package } from "./Workspace.ts"
import { publicPackages, root } from "./Workspace.ts"

export interface Project {
  readonly author: { readonly name: string; readonly url: string }
  readonly homepage: string
  readonly repository: { readonly type: string; readonly url: string }
  readonly bugs: { readonly url: string }
}

export const readProject = (dir: string = root): Project => {
  const { author, bugs, homepage, repository }: Project = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"))
  return { author, homepage, repository, bugs }
}

/** The addresses of the project that have no owner yet. */
export const placeholders = (project: Project): ReadonlyArray<string> => {
  const addresses = {
    ...project,
    author: project.author.url,
    repository: project.repository.url,
    bugs: project.bugs.url
  }
  return Object.entries(addresses)
    .filter(([, url]) => /(^|\.)invalid$/.test(new URL(url.replace(/^git\+/, "")).hostname))
    .map(([field, url]) => `package.json: ${field} is a placeholder: ${url}`)
}

/** What a package says about its owner, and which engines it needs: none, if it runs anywhere. */
const shared = (project: Project, { name, manifest }: Package) => {
  const homepage = new URL(project.homepage)
  homepage.pathname += `/tree/main/packages/${name}`
  return {
    author: project.author,
    homepage: homepage.href,
    repository: { ...project.repository, directory: `packages/${name}` },
    bugs: project.bugs,
    engines: portable.includes(name) && !isCommand(manifest) ? undefined : { node: ">=22.19" }
  }
}

const order = [
  "name",
  "version",
  "private",
  "description",
  "keywords",
  "license",
  "author",
  "homepage",
  "repository",
  "bugs"
]

const rank = (key: string): number => order.includes(key) ? order.indexOf(key) : order.length

/** The package.json of a package as it must be. */
export const manifestOf = (project: Project, pkg: Package): Readonly<Record<string, unknown>> => {
  const manifest = { ...pkg.manifest, ...shared(project, pkg) }
  const sorted = Object.entries(manifest).toSorted(([a], [b]) => rank(a) - rank(b))
  return Object.fromEntries(sorted.filter(([, value]) => value !== undefined))
}

/** The packages whose package.json says something else than the project. */
export const differing = (project: Project, packages: ReadonlyArray<Package>): ReadonlyArray<string> =>
  packages.filter((pkg) => JSON.stringify(manifestOf(project, pkg)) !== JSON.stringify(pkg.manifest))
    .map(({ name }) => `packages/${name}/package.json does not repeat the project's: npm run manifests`)

if (import.meta.main) {
  for (const pkg of publicPackages()) {
    const manifest = manifestOf(readProject(), pkg)
    writeFileSync(join(root, "packages", pkg.name, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`)
  }
}
