/** What the published declarations promise: no `any`, written or inferred. */
import type { Node } from "./Syntax.ts"
import { isNode, lineAt, parse, walk } from "./Syntax.ts"

/** What `class A extends f()` compiles to, a constant of the type that f, effect's, returns. */
const isBase = (node: Node): boolean => {
  const declarations = node["declarations"]
  const id = Array.isArray(declarations) ? declarations[0]?.id : undefined
  return isNode(id) && String(id["name"]).endsWith("_base")
}

/** Where a declaration says `any`: the file, the line and its text. */
export const anys = (file: string, code: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  walk(parse(file, code, "dts").body.filter((node) => !isBase(node)), (node) => {
    if (node.type === "TSAnyKeyword") {
      const line = lineAt(code, node.start)
      found.push(`${file}:${line} ${(code.split("\n")[line - 1] ?? "").trim()}`)
    }
  })
  return found
}
