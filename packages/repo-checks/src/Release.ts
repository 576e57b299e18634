/**
 * Releases the packages: `npm run release -- --registry URL [--dry-run]`.
 *
 * It builds, packs, checks what is in the tarballs, writes an SBOM of what they install, and publishes them, dependencies first. What
 * the registry has already is left alone if it is the same, so a release that stopped half-way goes on when it is run again. Tarballs
 * and SBOM stay in `packages/repo-checks/dist/release`. Provenance is npm's setting: `NPM_CONFIG_PROVENANCE=true` in the workflow.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { layers } from "./Architecture.ts"
import type { Project } from "./Manifests.ts"
import { differing, placeholders, readProject } from "./Manifests.ts"
import { problems } from "./Published.ts"
import type { Package } from "./Workspace.ts"
import { publicPackages, root, scope } from "./Workspace.ts"

export interface State {
  readonly project: Project
  readonly packages: ReadonlyArray<Package>
  /** The names of the files in `.changeset`. */
  readonly changesets: ReadonlyArray<string>
  /** The text of a package's CHANGELOG.md, empty if it has none. */
  readonly changelog: (name: string) => string
  /** The files that differ from the commit. */
  readonly uncommitted: ReadonlyArray<string>
}

/** What has to be done before a release, one line each. */
export const obstacles = ({ changelog, changesets, packages, project, uncommitted }: State): ReadonlyArray<string> => {
  const pending = changesets.filter((file) => file.endsWith(".md") && file !== "README.md")
  const silent = packages.filter(({ manifest, name }) => !changelog(name).includes(`\n## ${manifest.version}\n`))
  return [
    ...placeholders(project),
    ...differing(project, packages),
    ...(pending.length > 0
      ? [`${pending.length} changesets have no version yet: npm run versions, and commit`]
      : silent.map(({ manifest, name }) => `packages/${name}/CHANGELOG.md says nothing about ${manifest.version}`)),
    ...(uncommitted.length > 0 ? [`${uncommitted.length} files are not committed: ${uncommitted.join(", ")}`] : [])
  ]
}

const git = (...args: ReadonlyArray<string>): string => execFileSync("git", args, { cwd: root, encoding: "utf8" })

const readState = (): State => ({
  project: readProject(),
  packages: publicPackages(),
  changesets: readdirSync(join(root, ".changeset")),
  changelog: (name) => {
    const file = join(root, "packages", name, "CHANGELOG.md")
    return existsSync(file) ? readFileSync(file, "utf8") : ""
  },
  uncommitted: git("status", "--porcelain").split("\n").filter((line) => line !== "").map((line) => line.slice(3))
})

const npm = (cwd: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1e8 })

interface Tarball {
  readonly name: string
  readonly version: string
  readonly filename: string
  readonly integrity: string
}

/** Dependencies first. */
const pack = (packages: ReadonlyArray<Package>, dir: string): ReadonlyArray<Tarball> => {
  const names = packages.map(({ name }) => name).toSorted((a, b) => layers.indexOf(a) - layers.indexOf(b))
  const workspaces = names.flatMap((name) => ["--workspace", `packages/${name}`])
  const packed: ReadonlyArray<Tarball> = JSON.parse(
    npm(root, "pack", "--json", "--pack-destination", dir, ...workspaces)
  )
  return names.flatMap((name) => packed.filter((tarball) => tarball.name === scope + name))
}

const problemsOf = async (dir: string, { filename }: Tarball): Promise<ReadonlyArray<string>> => {
  const unpacked = mkdtempSync(join(tmpdir(), "release-"))
  try {
    execFileSync("tar", ["-xzf", join(dir, filename), "-C", unpacked, "--strip-components=1"])
    return await problems(unpacked)
  } finally {
    rmSync(unpacked, { recursive: true, force: true })
  }
}

/** An SBOM of everything that a program has which installs all packages, with versions, licences and hashes. */
const sbom = (dir: string, tarballs: ReadonlyArray<Tarball>, packages: ReadonlyArray<Package>): string => {
  const temporary = mkdtempSync(join(tmpdir(), "release-"))
  // npm names the program after its folder.
  const program = join(temporary, "effect-resilience")
  try {
    const peers = packages.flatMap(({ manifest }) =>
      Object.entries(manifest.peerDependencies ?? {})
        .filter(([name]) => manifest.peerDependenciesMeta?.[name]?.optional !== true)
    )
    const ours = tarballs.map(({ filename, name }) => [name, `file:${join(dir, filename)}`])
    const manifest = { version: tarballs[0]?.version, dependencies: Object.fromEntries([...peers, ...ours]) }
    mkdirSync(program)
    writeFileSync(join(program, "package.json"), JSON.stringify(manifest))
    npm(program, "install", "--package-lock-only", "--ignore-scripts", "--omit=optional")
    return npm(program, "sbom", "--sbom-format=cyclonedx", "--package-lock-only", "--omit=optional")
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** A scope may have a registry of its own, which npm would prefer to `--registry`. */
const at = (registry: string): ReadonlyArray<string> => [
  `--registry=${registry}`,
  `--${scope.slice(0, -1)}:registry=${registry}`
]

/** The integrity of a version that the registry has. */
const published = (registry: string, { name, version }: Tarball): string | undefined => {
  const args = ["view", `${name}@${version}`, "dist.integrity", "--json", ...at(registry)]
  const { status, stderr, stdout } = spawnSync("npm", args, { cwd: root, encoding: "utf8" })
  if (status === 0) return stdout.trim() === "" ? undefined : JSON.parse(stdout)
  if (`${stdout}${stderr}`.includes("E404")) return undefined
  throw new Error(`npm view ${name}@${version}: ${stderr}`)
}

const publish = (registry: string, dir: string, tarball: Tarball): void => {
  const found = published(registry, tarball)
  if (found === undefined) {
    npm(root, "publish", join(dir, tarball.filename), "--access=public", ...at(registry))
  } else if (found !== tarball.integrity) {
    throw new Error(`the registry has another ${tarball.name}@${tarball.version}: a version is published once`)
  }
  console.log(`${tarball.name}@${tarball.version} ${found === undefined ? "published" : "was there"}`)
}

const release = async (registry: string, dryRun: boolean): Promise<ReadonlyArray<string>> => {
  const state = readState()
  const first = obstacles(state)
  if (first.length > 0 && !dryRun) return first
  const dir = join(root, "packages/repo-checks/dist/release")
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  npm(root, "run", "build")
  const tarballs = pack(state.packages, dir)
  const found = [...first]
  for (const tarball of tarballs) found.push(...await problemsOf(dir, tarball))
  writeFileSync(join(dir, "sbom.cdx.json"), sbom(dir, tarballs, state.packages))
  if (found.length > 0) return found
  if (dryRun) {
    for (const { filename, name, version } of tarballs) console.log(`${name}@${version} would be ${filename}`)
  } else for (const tarball of tarballs) publish(registry, dir, tarball)
  return []
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { registry: { type: "string" }, "dry-run": { type: "boolean", default: false } }
  })
  if (values.registry === undefined || !URL.canParse(values.registry)) {
    console.error("npm run release -- --registry URL [--dry-run]")
    process.exitCode = 64
  } else {
    const found = await release(values.registry, values["dry-run"])
    for (const problem of found) console.error(problem)
    if (found.length > 0) process.exitCode = 1
  }
}
