/**
 * Runs the tests of the portable packages against the oldest and the newest `effect` that their peer range allows, in a copy of the
 * repository: `npm run peers`, or `npm run peers -- VERSION…` for others.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { portable } from "./Architecture.ts"
import { copyRepository } from "./Copy.ts"
import { readPackages, root } from "./Workspace.ts"

const peer = "effect"

/** The range that all packages name. They are used together, so they must agree. */
export const rangeOf = (ranges: ReadonlyArray<string | undefined>): string => {
  const [range, ...others] = new Set(ranges.filter((range) => range !== undefined))
  if (range === undefined || others.length > 0) {
    throw new RangeError(`the packages name ${[range, ...others].join(" and ")} of ${peer}`)
  }
  return range
}

/** The oldest and the newest of the versions, in their order, unless `npm test` runs with them anyway. */
export const untried = (versions: ReadonlyArray<string>, installed: string): ReadonlyArray<string> =>
  [...new Set([versions[0] ?? installed, versions.at(-1) ?? installed])].filter((version) => version !== installed)

const versionOf = (dir: string, name: string): string | undefined => {
  const file = join(dir, "node_modules", name, "package.json")
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined
}

const npm = (cwd: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

/** In their order; npm gives no list where there is one. */
const published = (spec: string, field: "version" | "versions"): ReadonlyArray<string> =>
  [JSON.parse(npm(root, "view", spec, field, "--json"))].flat()

/** The packages that are released together with `effect`. */
const companions = ["platform-node", "platform-node-shared", "sql-pg", "opentelemetry", "vitest"].map((name) =>
  `@effect/${name}`
)

const test = (version: string, installed: string): boolean => {
  const dir = copyRepository("peers-")
  try {
    const specs = companions
      .filter((name) => versionOf(dir, name) === installed && published(name, "versions").includes(version))
      .map((name) => `${name}@${version}`)
    for (const spec of [`${peer}@${version}`, ...specs]) replace(dir, spec)
    console.log(`== ${peer} ${versionOf(dir, peer)}${specs.map((spec) => `, ${spec}`).join("")}`)
    const { status } = spawnSync(
      process.execPath,
      [
        join(dir, "node_modules/vitest/vitest.mjs"),
        "run",
        "--config",
        "vitest.workspace.ts",
        ...portable.flatMap((name) => ["--project", name])
      ],
      { cwd: dir, stdio: "inherit" }
    )
    return status === 0
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

// What npm would install follows the ranges of all packages, and would bring the newest back.
const replace = (dir: string, spec: string): void => {
  const name = spec.slice(0, spec.lastIndexOf("@"))
  const target = join(dir, "node_modules", name)
  const packed = mkdtempSync(join(tmpdir(), "peers-pack-"))
  try {
    const [{ filename }] = JSON.parse(npm(packed, "pack", spec, "--json"))
    execFileSync("tar", ["-xzf", filename, "--strip-components=1"], { cwd: packed })
    rmSync(join(packed, filename))
    rmSync(target, { recursive: true, force: true })
    execFileSync("mkdir", ["-p", dirname(target)])
    execFileSync("cp", ["-a", packed, target])
  } finally {
    rmSync(packed, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const installed = versionOf(root, peer) ?? ""
  const range = rangeOf(readPackages().map(({ manifest }) => manifest.peerDependencies?.[peer]))
  const asked = process.argv.slice(2)
  const versions = asked.length > 0 ? asked : untried(published(`${peer}@${range}`, "version"), installed)
  if (versions.length === 0) {
    console.log(`${peer} ${range}: ${installed} is the oldest and the newest, and npm test has it`)
  }
  const failed = versions.filter((version) => !test(version, installed))
  if (failed.length > 0) {
    console.error(`the tests fail with ${peer} ${failed.join(", ")}`)
    process.exitCode = 1
  }
}
