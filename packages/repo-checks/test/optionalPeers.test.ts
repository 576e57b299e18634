import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { expect, it } from "vitest"
import { imports } from "../src/Syntax.ts"
import { publicPackages, root } from "../src/Workspace.ts"

/** The optional peers that a module imports, by itself or by others of its package. */
const peersOf = (file: string, optional: ReadonlyArray<string>, seen = new Set<string>()): ReadonlyArray<string> => {
  if (seen.has(file)) return []
  seen.add(file)
  return imports(file, readFileSync(file, "utf8")).flatMap(({ from }) =>
    from.startsWith(".")
      ? peersOf(join(dirname(file), from), optional, seen)
      : optional.filter((name) => from === name || from.startsWith(`${name}/`))
  )
}

it("only these modules need a peer that is optional, so all others are usable and have types without it", () => {
  const needs = publicPackages().flatMap(({ manifest, name }) => {
    const optional = Object.entries(manifest.peerDependenciesMeta ?? {}).flatMap(([peer, meta]) =>
      meta.optional === true ? [peer] : []
    )
    if (optional.length === 0) return []
    return Object.keys(manifest.exports ?? {}).filter((path) => !path.endsWith(".json")).flatMap((path) => {
      const file = join(root, "packages", name, "src", path === "." ? "index.ts" : `${path}.ts`)
      const peers = [...new Set(peersOf(file, optional))]
      return peers.length === 0 ? [] : [`${join(name, path)}: ${peers.join(" ")}`]
    })
  })
  expect(needs).toEqual([
    "lab/Vitest: vitest",
    "node/Connections: @effect/platform-node",
    "node/Decompression: @effect/platform-node",
    "node/HashingThreads: @effect-resilience/upload",
    "node/LocalFileSystem: @effect/platform-node",
    "tbm-studio/SimulatedStudio: @effect-resilience/tbm-simulator"
  ])
})
