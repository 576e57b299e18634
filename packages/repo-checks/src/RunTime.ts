/**
 * What of Effect a module runs on, whatever its types say: the parts that are not stable and of which it, or a module that it loads, uses
 * something. A minor version of Effect that changes one may change what the module does, or keep it from loading.
 */
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { unstable } from "./Stability.ts"
import type { Node } from "./Syntax.ts"
import { isNode, parse, walk } from "./Syntax.ts"
import type { Package } from "./Workspace.ts"
import { root, scope } from "./Workspace.ts"

interface Loaded {
  /** The sources of these packages that it loads. */
  readonly modules: ReadonlyArray<string>
  readonly unstable: ReadonlyArray<string>
}

const isType = (node: Node): boolean => node["importKind"] === "type" || node["exportKind"] === "type"

const nameOf = (node: unknown): string => isNode(node) ? String(node["name"] ?? node["value"]) : ""

const specifiers = (node: Node): ReadonlyArray<Node> =>
  Array.isArray(node["specifiers"]) ? node["specifiers"].filter(isNode).filter((each) => !isType(each)) : []

/** The modules that a program loads, with what it uses of each: names, or nothing where it only loads it. */
export const uses = (file: string, code: string): ReadonlyMap<string, ReadonlySet<string>> => {
  const used = new Map<string, Set<string>>()
  const namespaces = new Map<string, Set<string>>()
  const { body } = parse(file, code)
  walk(body, (node) => {
    const source = node["source"]
    const from = isNode(source) && typeof source["value"] === "string" ? source["value"] : undefined
    if (from === undefined || isType(node)) return
    const names = used.get(from) ?? new Set()
    const found = specifiers(node)
    // One of which only types are left is not loaded.
    if (Array.isArray(node["specifiers"]) && node["specifiers"].length > 0 && found.length === 0) return
    used.set(from, names)
    for (const each of found) {
      if (each.type === "ImportNamespaceSpecifier") namespaces.set(nameOf(each["local"]), names)
      else names.add(nameOf(each["imported"] ?? each["local"]))
    }
  })
  walk(body, (node) => {
    const object = node.type === "MemberExpression" ? node["object"] : undefined
    if (isNode(object) && object.type === "Identifier") namespaces.get(nameOf(object))?.add(nameOf(node["property"]))
  })
  return used
}

export class RunTime {
  readonly #packages: ReadonlyArray<Package>
  readonly #loaded = new Map<string, Loaded>()

  constructor(packages: ReadonlyArray<Package>) {
    this.#packages = packages
  }

  /** The parts of Effect that are not stable and that a module runs on. It is named as in `packages/retry/src/Hedge.ts`. */
  runsOn(path: string): ReadonlyArray<string> {
    const seen = new Set<string>()
    const found = new Set<string>()
    const visit = (each: string): void => {
      if (seen.has(each)) return
      seen.add(each)
      const { modules, unstable } = this.#load(each)
      for (const part of unstable) found.add(part)
      modules.forEach(visit)
    }
    visit(path)
    return [...found].toSorted()
  }

  #load(path: string): Loaded {
    const known = this.#loaded.get(path)
    if (known !== undefined) return known
    const all = uses(path, readFileSync(join(root, path), "utf8"))
    const loaded = {
      modules: [...all.keys()].flatMap((from) => this.#resolve(path, from) ?? []),
      unstable: [...all].flatMap(([from, names]) => [...names].flatMap((name) => unstable(from, name) ?? []))
    }
    this.#loaded.set(path, loaded)
    return loaded
  }

  #resolve(path: string, from: string): string | undefined {
    if (from.startsWith(".")) return from.endsWith(".ts") ? join(dirname(path), from) : undefined
    if (!from.startsWith(scope)) return undefined
    const [folder = "", ...rest] = from.slice(scope.length).split("/")
    const exports = this.#packages.find(({ name }) => name === folder)?.manifest.exports
    const entry = exports?.[rest.length === 0 ? "." : `./${rest.join("/")}`]
    const source = typeof entry === "object" ? entry[`${scope}source`] : undefined
    return source === undefined ? undefined : join("packages", folder, source)
  }
}
