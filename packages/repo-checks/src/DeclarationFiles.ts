/** The declaration files that are built of the packages, with the modules they are made of: what a name in them means. */
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import type { DocComment } from "./DocComment.ts"
import { read } from "./DocComment.ts"
import type { Comment, Node } from "./Syntax.ts"
import { isNode, parse, walk } from "./Syntax.ts"
import type { Package } from "./Workspace.ts"
import { publicPackages, root, scope } from "./Workspace.ts"

interface Binding {
  readonly from: string
  /** `*` for the module itself. */
  readonly name: string
}

export interface Declaration {
  readonly file: File
  readonly name: string
  /** Overloads are several. */
  readonly nodes: ReadonlyArray<Node>
  /** What has the comment, which is an `export` where there is one. */
  readonly outer: Node
}

/** A declaration file with the source of it. */
export class File {
  readonly path: string
  readonly code: string
  readonly body: ReadonlyArray<Node>
  readonly comments: ReadonlyArray<Comment>
  readonly declarations = new Map<string, Array<Declaration>>()
  /** In order: names that it exports, with what they are here or elsewhere. */
  readonly exports = new Map<string, Binding>()
  readonly stars: Array<string> = []
  readonly bindings = new Map<string, Binding>()

  constructor(path: string, lang: "ts" | "dts") {
    this.path = path
    this.code = readFileSync(path, "utf8")
    const { body, comments } = parse(path, this.code, lang)
    this.body = body
    this.comments = comments
    for (const node of body) this.#read(node)
  }

  #read(node: Node): void {
    const from = valueOf(node["source"])
    if (node.type === "ImportDeclaration" && from !== undefined) {
      for (const specifier of nodesOf(node["specifiers"])) {
        const name = specifier.type === "ImportNamespaceSpecifier" ? "*" : nameOf(specifier["imported"])
        this.bindings.set(nameOf(specifier["local"]), { from, name })
      }
    } else if (node.type === "ExportAllDeclaration" && from !== undefined) {
      if (isNode(node["exported"])) this.exports.set(nameOf(node["exported"]), { from, name: "*" })
      else this.stars.push(from)
    } else if (node.type === "ExportNamedDeclaration" && isNode(node["declaration"])) {
      for (const name of this.#declare(node["declaration"], node)) this.exports.set(name, { from: "", name })
    } else if (node.type === "ExportNamedDeclaration") {
      for (const specifier of nodesOf(node["specifiers"])) {
        const binding = { from: from ?? "", name: nameOf(specifier["local"]) }
        this.exports.set(nameOf(specifier["exported"]), binding)
      }
    } else this.#declare(node, node)
  }

  #declare(node: Node, outer: Node): ReadonlyArray<string> {
    const names = node.type === "VariableDeclaration"
      ? nodesOf(node["declarations"]).map((declarator) => nameOf(declarator["id"]))
      : isNode(node["id"])
      ? [nameOf(node["id"])]
      : []
    for (const name of names) {
      const before = this.declarations.get(name) ?? []
      const last = before.at(-1)
      if (last !== undefined && isFunction(node) && last.nodes.every(isFunction)) {
        before[before.length - 1] = { ...last, nodes: [...last.nodes, node] }
      } else before.push({ file: this, name, nodes: [node], outer })
      this.declarations.set(name, before)
    }
    return names
  }

  /** The comment that ends where a node begins. */
  comment(node: Node): DocComment | undefined {
    const comment = this.comments.findLast(({ end, type, value }) =>
      type === "Block" && value.startsWith("*") && end <= node.start && this.code.slice(end, node.start).trim() === ""
    )
    return comment === undefined ? undefined : read(comment.value)
  }

  /** The text of a node without comments. */
  text(node: { readonly start: number; readonly end: number }): string {
    let text = ""
    let at = node.start
    for (const { end, start } of this.comments) {
      if (start < at || end > node.end) continue
      text += this.code.slice(at, start).replace(/[ \t]+$/, "")
      at = end
    }
    return withoutImports(text + this.code.slice(at, node.end)).replaceAll(/\n\s*\n/g, "\n")
  }
}

/** `import("effect/Cause").YieldableError` as a module would write it: `Cause.YieldableError`. */
export const withoutImports = (text: string): string =>
  text.replaceAll(/import\("([^"]*)"\)\.(\w+)/g, (_, from: string, name: string) => {
    const module = /^effect\/(?:.*\/)?([A-Z]\w*)$/.exec(from)?.[1]
    return module === undefined ? name : `${module}.${name}`
  })

export const nodesOf = (nodes: unknown): ReadonlyArray<Node> => Array.isArray(nodes) ? nodes.filter(isNode) : []

export const nameOf = (node: unknown): string => isNode(node) ? String(node["name"] ?? node["value"]) : ""

export const valueOf = (node: unknown): string | undefined =>
  isNode(node) && typeof node["value"] === "string" ? node["value"] : undefined

const isFunction = (node: Node) => node.type === "TSDeclareFunction"

/** Resolves names through the declaration files of all packages. */
export class Program {
  readonly packages: ReadonlyArray<Package> = publicPackages()
  readonly #files = new Map<string, File | undefined>()
  readonly #sources = new Map<string, File>()

  file(path: string): File | undefined {
    if (!this.#files.has(path)) this.#files.set(path, existsSync(path) ? new File(path, "dts") : undefined)
    return this.#files.get(path)
  }

  /** The module of which a declaration file is made. */
  source(file: File): File {
    const path = file.path.replace("/dist/", "/src/").replace(/\.d\.ts$/, ".ts")
    const present = this.#sources.get(path)
    if (present !== undefined) return present
    const source = new File(path, "ts")
    this.#sources.set(path, source)
    return source
  }

  /** The declaration file of an entry point, or of a path as another file writes it. */
  resolve(specifier: string, from?: File): File | undefined {
    if (specifier.startsWith(".") && from !== undefined) {
      return this.file(join(dirname(from.path), specifier.replace(/\.ts$/, ".d.ts")))
    }
    if (!specifier.startsWith(scope)) return undefined
    const [folder = "", ...rest] = specifier.slice(scope.length).split("/")
    const exports = this.packages.find(({ name }) => name === folder)?.manifest.exports ?? {}
    const entry = exports[rest.length === 0 ? "." : `./${rest.join("/")}`]
    const types = typeof entry === "object" ? entry["types"] : undefined
    return types === undefined ? undefined : this.file(join(root, "packages", folder, types))
  }

  /** The names that a file exports, in order. */
  exported(file: File): ReadonlyArray<string> {
    return [
      ...file.exports.keys(),
      ...file.stars.flatMap((from) => {
        const star = this.resolve(from, file)
        return star === undefined ? [] : this.exported(star)
      })
    ]
  }

  /** What a file means by a name: of one that it exports, or of one that is in its scope. */
  find(file: File, name: string, exported: boolean): ReadonlyArray<Declaration> {
    const binding = exported ? file.exports.get(name) : undefined
    if (binding === undefined && exported) {
      for (const from of file.stars) {
        const star = this.resolve(from, file)
        const found = star === undefined ? [] : this.find(star, name, true)
        if (found.length > 0) return found
      }
      return []
    }
    if (binding !== undefined && binding.from !== "") return this.#through(file, binding)
    const local = binding?.name ?? name
    const found = file.declarations.get(local)
    if (found !== undefined) return found
    const imported = file.bindings.get(local)
    return imported === undefined ? [] : this.#through(file, imported)
  }

  #through(file: File, { from, name }: Binding): ReadonlyArray<Declaration> {
    const target = this.resolve(from, file)
    return target === undefined || name === "*" ? [] : this.find(target, name, true)
  }

  /** The module elsewhere that declares what a type's name means in a file, with its name there. */
  foreign(file: File, text: string): Binding | undefined {
    const [, from, name] = /^import\("([^"]*)"\)\.(\w+)/.exec(text) ?? []
    if (from !== undefined && name !== undefined) return { from, name }
    const [first = "", second] = text.split(".")
    const binding = file.bindings.get(first)
    if (binding === undefined) return undefined
    return binding.name === "*" ? { from: binding.from, name: second ?? "" } : binding
  }

  /** What a type's name means in a file: `Options`, or `Policy.Policy`. */
  named(file: File, text: string): ReadonlyArray<Declaration> {
    const imported = /^import\("([^"]*)"\)\.(\w+)/.exec(text)
    if (imported !== null) return this.#through(file, { from: imported[1] ?? "", name: imported[2] ?? "" })
    const [first = "", second] = text.split(".")
    if (second === undefined) return this.find(file, first, false)
    const binding = file.bindings.get(first)
    const target = binding?.name === "*" ? this.resolve(binding.from, file) : undefined
    return target === undefined ? [] : this.find(target, second, true)
  }
}

/** The names of types and values that a node mentions, as they are written. */
export const mentioned = (file: File, node: unknown): ReadonlySet<string> => {
  const names = new Set<string>()
  walk(node, (child) => {
    const name = child.type === "TSTypeReference"
      ? child["typeName"]
      : child.type === "TSTypeQuery"
      ? child["exprName"]
      : child.type === "TSInterfaceHeritage"
      ? child["expression"]
      : child.type === "ClassDeclaration"
      ? child["superClass"]
      : undefined
    if (isNode(name)) names.add(file.code.slice(name.start, name.end))
    if (child.type === "TSImportType") names.add(file.code.slice(child.start, child.end).replace(/<[^]*$/, ""))
  })
  return names
}

/** The members of the object types that a type is made of: itself, or parts of a union, an intersection or an array. */
export const literals = (type: unknown): ReadonlyArray<Node> => {
  if (!isNode(type)) return []
  switch (type.type) {
    case "TSTypeAnnotation":
      return literals(type["typeAnnotation"])
    case "TSTypeLiteral":
      return nodesOf(type["members"])
    case "TSUnionType":
    case "TSIntersectionType":
      return nodesOf(type["types"]).flatMap(literals)
    case "TSArrayType":
      return literals(type["elementType"])
    case "TSTypeOperator":
    case "TSParenthesizedType":
      return literals(type["typeAnnotation"])
    case "TSTypeReference":
      return ["ReadonlyArray", "Array", "Readonly", "Partial"].includes(nameOf(type["typeName"])) &&
          isNode(type["typeArguments"])
        ? nodesOf(type["typeArguments"]["params"]).flatMap(literals)
        : []
    default:
      return []
  }
}

/** The parameters of the functions that a node declares or is typed as. */
export const parametersOf = (node: Node): ReadonlyArray<Node> => {
  if (isFunction(node)) return nodesOf(node["params"])
  const type = node.type === "VariableDeclaration"
    ? nodesOf(node["declarations"]).map(({ id }) => isNode(id) ? id["typeAnnotation"] : undefined).find(isNode)
    : undefined
  const written = type?.["typeAnnotation"]
  if (!isNode(written)) return []
  if (written.type === "TSFunctionType") return nodesOf(written["params"])
  return literals(written).filter(({ type }) => type === "TSCallSignatureDeclaration").flatMap(({ params }) =>
    nodesOf(params)
  )
}
