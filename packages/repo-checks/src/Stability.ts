/**
 * What of Effect the public API rests on. Effect marks each of its exports: `@stability stable`, `unstable` or `experimental`. A minor
 * version of Effect may change one that is not stable, and then changes what mentions it in its type.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "./Workspace.ts"

const declaration =
  /@stability (\w+)(?:(?!\/\*\*)[^])*?\*\/\s*export (?:declare )?(?:abstract )?(?:const|function|class|interface|type|namespace) (\w+)/g

/** The modules of Effect that have been read, with the exports that are not stable. */
const read = new Map<string, ReadonlySet<string>>()

const unstableOf = (module: string): ReadonlySet<string> => {
  const known = read.get(module)
  if (known !== undefined) return known
  const file = join(root, "node_modules/effect/dist", `${module.slice("effect/".length)}.d.ts`)
  const marks = existsSync(file)
    ? [...readFileSync(file, "utf8").matchAll(declaration)].map(([, mark = "", name = ""]) => ({ mark, name }))
    : []
  // A type and a value of one name are stable if one of them is.
  const stable = new Set(marks.filter(({ mark }) => mark === "stable").map(({ name }) => name))
  const unstable = new Set(marks.map(({ name }) => name).filter((name) => !stable.has(name)))
  read.set(module, unstable)
  return unstable
}

/** What an export of Effect is called in a mark, if it is not stable: the folder of its module, or the module. */
export const unstable = (module: string, name: string): string | undefined => {
  if (!module.startsWith("effect/") || !unstableOf(module).has(name)) return undefined
  return module.split("/").slice(0, 2).join("/")
}

/** The mark of what rests on these: `stable`, `experimental`, `rests on effect/http`, or `experimental, rests on effect/http`. */
export const markOf = (restsOn: ReadonlyArray<string>, experimental: boolean): string => {
  const rests = restsOn.length === 0 ? [] : [`rests on ${restsOn.join(", ")}`]
  return (experimental ? ["experimental", ...rests] : restsOn.length === 0 ? ["stable"] : rests).join(", ")
}

/** Reads a mark. */
export const parseMark = (
  mark: string | undefined
): { readonly experimental: boolean; readonly restsOn: ReadonlyArray<string> } => {
  const rests = /rests on (.*)$/.exec(mark ?? "")?.[1]
  return { experimental: mark?.startsWith("experimental") === true, restsOn: rests?.split(", ") ?? [] }
}
