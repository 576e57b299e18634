/**
 * Runs the examples of doc comments and READMEs as tests.
 *
 * A fence that opens with "```ts import.meta.vitest" becomes one test. A statement followed by `// => value` asserts that the
 * expression (or the constant just declared) equals the value:
 *
 *     Duration.toMillis("1 second") // => 1000
 *
 * The fence reads as a user would write it: static imports by package name, `await` at the top. The module that holds it is
 * transformed while vitest runs it as a test (`includeSource`), and the source map leads a failure back to the line of the fence.
 */
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import { type Plugin, transformWithOxc } from "vite"
import type { Comment, Node } from "./Syntax.ts"
import { isNode, parse, walk } from "./Syntax.ts"

const marker = "```ts import.meta.vitest"

const runtime = fileURLToPath(new URL("./FenceAssertion.ts", import.meta.url))

/** A fence of TypeScript: `line` is the 1-based line of its first line of code. */
export interface Fence {
  readonly marked: boolean
  readonly title: string
  readonly line: number
  readonly code: string
}

/** The "```ts" fences of a text, TypeScript or Markdown; the marked ones run. */
export const fences = (text: string): ReadonlyArray<Fence> => {
  const lines = text.split("\n")
  const found: Array<Fence> = []
  let title = ""
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? ""
    const heading = /^[\s*]*(?:\*\*Example\*\*\s*\((.*)\)|#+\s+(.*?))\s*$/.exec(line)
    if (heading !== null) title = heading[1] === undefined ? (heading[2] ?? "") : `Example (${heading[1]})`
    const opening = line.replace(/^\s*(\* ?)?/, "").trimEnd()
    if (opening !== marker && opening !== "```ts") continue
    const strip = line.trimStart().startsWith("*") ? /^\s*\* ?/ : /^(?:)/
    const start = i + 1
    const code: Array<string> = []
    for (i = start; i < lines.length; i++) {
      const body = (lines[i] ?? "").replace(strip, "")
      if (body.trim() === "```") break
      code.push(body.replaceAll("*\\/", "*/"))
    }
    if (i === lines.length) throw new SyntaxError(`line ${start}: the fence is never closed`)
    found.push({ marked: opening === marker, title, line: start + 1, code: code.join("\n") })
  }
  return found
}

interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

const specifierName = (node: unknown): string => {
  if (!isNode(node)) return ""
  return String(node["name"] ?? node["value"])
}

/** A static import as statements that may stand inside a function. */
const dynamicImport = (node: Node): string => {
  const source = isNode(node["source"]) ? JSON.stringify(node["source"]["value"]) : ""
  if (node["importKind"] === "type") return ""
  const specifiers = (node["specifiers"] as ReadonlyArray<Node>).filter((s) => s["importKind"] !== "type")
  const named = specifiers.flatMap((s) => {
    const local = specifierName(s["local"])
    if (s.type === "ImportDefaultSpecifier") return [`default: ${local}`]
    if (s.type !== "ImportSpecifier") return []
    const imported = specifierName(s["imported"])
    return [imported === local ? local : `${imported}: ${local}`]
  })
  const namespaces = specifiers.filter((s) => s.type === "ImportNamespaceSpecifier")
    .map((s) => `const ${specifierName(s["local"])} = await import(${source});`)
  const first = named.length > 0 || namespaces.length === 0
    ? [`const { ${named.join(", ")} } = await import(${source});`]
    : []
  return [...first, ...namespaces].join(" ")
}

const assertion = (
  file: string,
  fence: Fence,
  statements: ReadonlyArray<Node>,
  comment: Comment
): ReadonlyArray<Edit> => {
  const line = fence.line + fence.code.slice(0, comment.start).split("\n").length - 1
  const fail = (why: string): never => {
    throw new SyntaxError(`${file}:${line}: ${why}`)
  }
  const expected = comment.value.trim().slice(2).trim()
  try {
    parse(file, `(${expected})`)
  } catch {
    fail(`what follows "// =>" is not an expression: ${expected}`)
  }
  const before = statements
    .filter((s) => s.end <= comment.start && /^[;\s]*$/.test(fence.code.slice(s.end, comment.start)))
    .toSorted((a, b) => b.start - a.start)
  const innermost = before[0]
  const erase = { start: comment.start, end: comment.end, text: "" }
  if (innermost?.type === "ExpressionStatement" && isNode(innermost["expression"])) {
    const { end, start } = innermost["expression"]
    return [{ start, end: start, text: "__equals((" }, { start: end, end, text: `), (${expected}))` }, erase]
  }
  const declarations = innermost?.["declarations"]
  const declared = Array.isArray(declarations) && declarations.length === 1 ? declarations[0]?.id : undefined
  if (innermost !== undefined && isNode(declared) && declared.type === "Identifier") {
    const name = String(declared["name"])
    return [{ start: innermost.end, end: innermost.end, text: `; __equals(${name}, (${expected}))` }, erase]
  }
  return fail("\"// =>\" must follow an expression or the declaration of one constant")
}

/** The body of the test of a fence: as many lines as the fence, with imports and assertions put into code. */
export const compile = (file: string, fence: Fence): string => {
  const padded = "\n".repeat(fence.line - 1) + fence.code
  parse(file, padded)
  const { body, comments } = parse(file, fence.code)
  const statements: Array<Node> = []
  walk(body, (node) => {
    if (node.type === "ExpressionStatement" || node.type === "VariableDeclaration") statements.push(node)
  })
  const edits: Array<Edit> = body.filter((node) => node.type === "ImportDeclaration").map((node) => ({
    start: node.start,
    end: node.end,
    text: dynamicImport(node) + fence.code.slice(node.start, node.end).replace(/[^\n]/g, "")
  }))
  const expectations = comments.filter((c) => c.type === "Line" && /^\s*=>/.test(c.value))
  if (expectations.length === 0 && !fence.code.includes("assert")) {
    throw new SyntaxError(`${file}:${fence.line}: the example asserts nothing: end a line in "// => value"`)
  }
  for (const comment of expectations) edits.push(...assertion(file, fence, statements, comment))
  return edits
    .toSorted((a, b) => b.start - a.start || b.end - a.end)
    .reduce((code, { end, start, text }) => code.slice(0, start) + text + code.slice(end), fence.code)
}

export interface Compiled {
  readonly code: string
  /** The 0-based line of the original that each line of code comes from. */
  readonly lines: ReadonlyArray<number>
}

/** The tests of a text's fences as the text of a module, or nothing if it has none. */
export const compileAll = (file: string, text: string): Compiled | undefined => {
  const found = fences(text).filter(({ marked }) => marked)
  if (found.length === 0) return undefined
  const code = ["if (import.meta.vitest) {"]
  const lines = [0]
  for (const fence of found) {
    const name = JSON.stringify(`${basename(file)}:${fence.line} ${fence.title}`.trimEnd())
    code.push(`import.meta.vitest.test(${name}, async () => {`)
    code.push(`const { equals: __equals } = await import(${JSON.stringify(runtime)});`)
    lines.push(fence.line - 1, fence.line - 1)
    compile(file, fence).split("\n").forEach((line, i) => {
      code.push(line)
      lines.push(fence.line - 1 + i)
    })
    code.push("})")
    lines.push(fence.line - 1)
  }
  code.push("}")
  lines.push(0)
  return { code: code.join("\n"), lines }
}

const vlq = (n: number): string => {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  let rest = n < 0 ? (-n << 1) | 1 : n << 1
  let out = ""
  do {
    out += digits[(rest & 31) | (rest > 31 ? 32 : 0)]
    rest >>>= 5
  } while (rest > 0)
  return out
}

const sourceMap = (file: string, text: string, lines: ReadonlyArray<number>) => ({
  version: 3 as const,
  names: [],
  sources: [file],
  sourcesContent: [text],
  mappings: lines.map((line, i) => `AA${vlq(line - (lines[i - 1] ?? 0))}A`).join(";")
})

/**
 * The vite plugin. A module of `src` is loaded in two ways: as a test, when it is its marked fences and nothing else, and by imports, from
 * where a user has it, `node_modules`. So all examples share one copy of each module, whichever file they stand in: vitest evaluates
 * a file that it runs as a test anew, and the classes of a second copy are others.
 */
export const docFences = (): Plugin => ({
  name: "doc-fences",
  enforce: "pre",
  async resolveId(source, importer, options) {
    // What vitest runs is imported by the page that vite thinks of, and so is what it has in its cache.
    const isRun = importer === undefined || importer.endsWith("/index.html")
    if (isRun && !source.includes("/node_modules/")) return null
    const resolved = await this.resolve(source, importer, { ...options, skipSelf: true })
    return resolved &&
      { ...resolved, id: resolved.id.replace(/\/packages\/([^/]+\/src\/)/, "/node_modules/@effect-resilience/$1") }
  },
  async transform(text, id) {
    const file = id.replace(/[?#].*$/, "")
    if (file.includes("/node_modules/") || !/\.(ts|md)$/.test(file) || !text.includes(marker)) return undefined
    const compiled = compileAll(file, text)
    return compiled &&
      transformWithOxc(compiled.code, `${file}.ts`, { lang: "ts" }, sourceMap(file, text, compiled.lines))
  }
})
