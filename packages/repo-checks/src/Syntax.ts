/**
 * The syntax tree of a TypeScript module, as far as the checks need it.
 *
 * TypeScript 7 has no JavaScript API, so the parser is the one that vite ships.
 */
import { parseSync } from "vite"

export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

export interface Comment {
  readonly type: "Line" | "Block"
  readonly value: string
  readonly start: number
  readonly end: number
}

export interface Syntax {
  readonly body: ReadonlyArray<Node>
  readonly comments: ReadonlyArray<Comment>
}

export const isNode = (u: unknown): u is Node =>
  typeof u === "object" && u !== null && "type" in u && typeof u.type === "string"

/** Parses TypeScript; a syntax error is thrown with its offset in the code. */
export const parse = (file: string, code: string, lang: "ts" | "dts" = "ts"): Syntax => {
  const result = parseSync(file, code, { lang, sourceType: "module" })
  const error = result.errors[0]
  if (error !== undefined) {
    throw new SyntaxError(`${file}:${lineAt(code, error.labels[0]?.start ?? 0)}: ${error.message}`)
  }
  return {
    body: result.program.body as unknown as ReadonlyArray<Node>,
    comments: result.comments as ReadonlyArray<Comment>
  }
}

/** Visits every node, parents first. */
export const walk = (node: unknown, visit: (node: Node) => void): void => {
  if (Array.isArray(node)) {
    for (const child of node) walk(child, visit)
  } else if (isNode(node)) {
    visit(node)
    for (const key in node) walk(node[key], visit)
  }
}

/** The 1-based line of an offset. */
export const lineAt = (code: string, offset: number): number => code.slice(0, offset).split("\n").length

export interface Import {
  readonly from: string
  readonly line: number
  readonly typeOnly: boolean
}

/** Every import and re-export of a module, static or dynamic. */
export const imports = (file: string, code: string): ReadonlyArray<Import> => {
  const found: Array<Import> = []
  walk(parse(file, code).body, (node) => {
    const source = node["source"]
    if (isNode(source) && typeof source["value"] === "string") {
      const kind = node["importKind"] ?? node["exportKind"]
      found.push({ from: source["value"], line: lineAt(code, node.start), typeOnly: kind === "type" })
    }
  })
  return found
}
