/**
 * The public API of the published packages: entry points, exports with their signatures and doc comments, members with theirs.
 *
 *     import { publicApi } from "./PublicApi.ts"
 *     publicApi() // one PackageApi for each published package, in order of name; needs `npm run build`
 *
 * It is read from the declarations in `dist`, whose text is the signatures, with vite's parser: a second for all packages. TypeDoc gets
 * the namespaces right too, but takes five seconds a package, adds what every class inherits from Effect's, and has no
 * text of a signature. api-extractor wants a run for each entry point. What a declaration file does not repeat is read from `src`: the comment
 * of a module, and what a class extends.
 */
import { spawnSync } from "node:child_process"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import type { Declaration, File } from "./DeclarationFiles.ts"
import { literals, mentioned, nameOf, nodesOf, parametersOf, Program, withoutImports } from "./DeclarationFiles.ts"
import type { DocComment } from "./DocComment.ts"
import { read, sentenceOn } from "./DocComment.ts"
import { RunTime } from "./RunTime.ts"
import { unstable } from "./Stability.ts"
import type { Node } from "./Syntax.ts"
import { isNode, lineAt } from "./Syntax.ts"
import type { Package } from "./Workspace.ts"
import { root, scope } from "./Workspace.ts"

/** Where something is declared. */
export interface Source {
  /** Relative to the root, such as `packages/retry/src/Hedge.ts`. */
  readonly file: string
  readonly line: number
}

export type MemberKind = "property" | "method" | "getter" | "call" | "new" | "index"

/** A member of an interface, class or object type, or of an object among a function's parameters. */
export interface Member {
  /** A path where it is nested: `options.after`. A symbol's is in brackets: `[Recovery.symbol]`. */
  readonly name: string
  readonly kind: MemberKind
  readonly optional: boolean
  readonly static: boolean
  /** True where something else declares it: an override, a member of an implemented interface, or one whose name is a symbol. */
  readonly inherited: boolean
  /** Without comments: `readonly after?: Duration.Input | undefined`. */
  readonly signature: string
  /** Its own comment, or what the comment of its owner says: the item "- `name`: ..." or the sentence that names it. */
  readonly doc: DocComment | undefined
  /** An interface that is not exported, of which it comes. */
  readonly from: string | undefined
  readonly source: Source
}

export type ExportKind = "class" | "const" | "function" | "interface" | "type"

/** A name in a signature that is an export of one of the packages. */
export interface Reference {
  /** As it is written, such as `Policy.Policy`. */
  readonly text: string
  /** The entry point, such as `@effect-resilience/kernel/Policy`. */
  readonly entry: string
  readonly name: string
}

export interface Export {
  readonly name: string
  readonly kind: ExportKind
  /** Formatted, without bodies, comments, `export` and `declare`. Overloads are on lines of their own. */
  readonly signature: string
  readonly doc: DocComment | undefined
  readonly members: ReadonlyArray<Member>
  readonly references: ReadonlyArray<Reference>
  /**
   * The parts of Effect that are not stable and that its type mentions, itself or through types of these packages: `effect/http`.
   */
  readonly restsOn: ReadonlyArray<string>
  /** Its `@stability`, or that of its module: `stable`, `experimental`, or `rests on effect/http`. */
  readonly stability: string | undefined
  /** The entry point of another package that declares it. */
  readonly from: string | undefined
  readonly source: Source
}

export interface ModuleApi {
  /** The last part of the entry point; `index` for the package itself. */
  readonly name: string
  /** What a program imports, such as `@effect-resilience/retry/Hedge`. */
  readonly entry: string
  /** The name by which the package's index exports it, if it does: `import { Hedge } from "@effect-resilience/retry"`. */
  readonly namespace: string | undefined
  readonly doc: DocComment | undefined
  /** Its `@stability`, which its exports have that have none of their own. */
  readonly stability: string | undefined
  /** In the order of the module. */
  readonly exports: ReadonlyArray<Export>
  /** Declarations that the signatures of exports name and that are not exported themselves. */
  readonly hidden: ReadonlyArray<Export>
  /** The parts of Effect that are not stable and of which it, or a module that it loads, uses something when it runs. */
  readonly runsOn: ReadonlyArray<string>
  readonly source: Source
}

export interface PackageApi {
  /** The folder under `packages`. */
  readonly folder: string
  /** With its scope. */
  readonly name: string
  readonly description: string
  /** In order of name, without the index, which only exports them as namespaces. */
  readonly modules: ReadonlyArray<ModuleApi>
}

const lineOf = (file: File, node: Node): number => lineAt(file.code, node.start)

const pathOf = (file: File): string => relative(root, file.path).replaceAll("\\", "/")

const kindOf = (node: Node): MemberKind | undefined => {
  switch (node.type) {
    case "TSPropertySignature":
    case "PropertyDefinition":
    case "Property":
      return "property"
    case "TSMethodSignature":
      return "method"
    case "MethodDefinition":
      return node["kind"] === "get" ? "getter" : node["kind"] === "method" ? "method" : undefined
    case "TSCallSignatureDeclaration":
      return "call"
    case "TSConstructSignatureDeclaration":
      return "new"
    case "TSIndexSignature":
      return "index"
    default:
      return undefined
  }
}

interface Mentions {
  readonly own: ReadonlyArray<Declaration>
  readonly unstable: ReadonlyArray<string>
}

interface EntryPoint {
  readonly entry: string
  readonly file: File
}

class Reader {
  readonly program = new Program()
  readonly #runTime = new RunTime(this.program.packages)
  readonly #signatures: Array<{ text: string }> = []
  /** The entry point of an exported declaration, by its outer node. */
  readonly #exported = new Map<Node, Reference>()
  readonly #mentioned = new Map<Node, Mentions>()

  packages(): ReadonlyArray<PackageApi> {
    const entries = this.program.packages.map((p) => ({ p, entries: this.#entryPoints(p) }))
    this.#findHomes(entries.flatMap(({ entries }) => entries))
    const packages = entries.map(({ entries, p }): PackageApi => {
      const index = entries.find(({ entry }) => entry === p.manifest.name)?.file
      return {
        folder: p.name,
        name: p.manifest.name,
        description: p.manifest.description ?? "",
        modules: entries.filter(({ file }) => file !== index).map(({ entry, file }) => this.#module(entry, file, index))
          .toSorted((a, b) => a.entry < b.entry ? -1 : 1)
      }
    })
    this.#format()
    return packages
  }

  /** The home of a declaration is the entry point whose file it is in, or else one of its package, or else any that exports it. */
  #findHomes(entries: ReadonlyArray<EntryPoint>): void {
    const found = entries.flatMap(({ entry, file }) =>
      this.program.exported(file).flatMap((name) =>
        this.program.find(file, name, true).map(({ file: at, outer }) => ({
          outer,
          reference: { text: name, entry, name },
          rank: at === file ? 0 : at.path.startsWith(join(root, "packages", packageOf(entry), "/")) ? 1 : 2
        }))
      )
    )
    for (const { outer, reference } of found.toSorted((a, b) => a.rank - b.rank)) {
      if (!this.#exported.has(outer)) this.#exported.set(outer, reference)
    }
  }

  #entryPoints(p: Package): ReadonlyArray<EntryPoint> {
    return Object.entries(p.manifest.exports ?? {}).flatMap(([path, target]) => {
      const entry = p.manifest.name + path.slice(1)
      const file = typeof target === "object" ? this.program.resolve(entry) : undefined
      if (file === undefined && typeof target === "object") {
        throw new Error(`${entry} has no declarations: npm run build`)
      }
      return file === undefined ? [] : { entry, file }
    })
  }

  #module(entry: string, file: File, index: File | undefined): ModuleApi {
    const source = this.program.source(file)
    const first = source.comments[0]
    const isDoc = first !== undefined && first.value.startsWith("*") && source.code.slice(0, first.start).trim() === ""
    const namespace = [...index?.exports ?? []].find(([, { from }]) =>
      index !== undefined && this.program.resolve(from, index) === file
    )
    const declarations = this.program.exported(file).flatMap((name) =>
      this.program.find(file, name, true).map((declaration) => ({ name, declaration }))
    )
    const doc = isDoc ? read(first.value) : undefined
    return {
      name: entry.slice(entry.lastIndexOf("/") + 1),
      entry,
      namespace: namespace?.[0],
      doc,
      stability: stabilityOf(doc),
      exports: declarations.map(({ declaration, name }) => this.#export(name, declaration, entry, doc)),
      hidden: this.#hidden(declarations.map(({ declaration }) => declaration), doc),
      runsOn: this.#runTime.runsOn(pathOf(source)),
      source: { file: pathOf(source), line: 1 }
    }
  }

  /** The declarations that these mention, deeply, and that no entry point exports. */
  #hidden(from: ReadonlyArray<Declaration>, module: DocComment | undefined): ReadonlyArray<Export> {
    const found = new Map<Node, Declaration>()
    const visit = (declaration: Declaration) => {
      for (const name of declaration.nodes.flatMap((node) => [...mentioned(declaration.file, node)])) {
        for (const other of this.program.named(declaration.file, name)) {
          if (this.#exported.has(other.outer) || found.has(other.outer)) continue
          found.set(other.outer, other)
          visit(other)
        }
      }
    }
    from.forEach(visit)
    return [...found.values()].filter(({ name }) => !name.endsWith("_base")).map((other) =>
      this.#export(other.name, other, "", module)
    )
  }

  #export(name: string, declaration: Declaration, entry: string, module: DocComment | undefined): Export {
    const { file, nodes, outer } = declaration
    const [node] = nodes
    if (node === undefined) throw new Error(`${name} has no declaration`)
    const doc = file.comment(outer)
    const home = this.#exported.get(outer)?.entry
    const source = this.#source(declaration)
    const made = {
      name,
      kind: exportKind(node),
      signature: "",
      doc,
      members: this.#members(declaration, doc),
      references: this.#references(declaration),
      restsOn: [...this.#restsOn(declaration, new Set())].toSorted(),
      stability: stabilityOf(doc) ?? stabilityOf(module),
      from: home === undefined || home === entry || entry === "" || packageOf(home) === packageOf(entry)
        ? undefined
        : home,
      source
    }
    const text = nodes.map((each) => this.#text(declaration, each)).join("\n")
    const slot = {
      text: declaration.name === name ? text : text.replace(new RegExp(`\\b${declaration.name}\\b`), name)
    }
    this.#signatures.push(slot)
    return Object.defineProperty(made, "signature", { enumerable: true, get: () => slot.text })
  }

  /** The module of a declaration, and what it is there: a type and a value may have one name. */
  #sourceOf({ file, name, nodes }: Pick<Declaration, "file" | "name" | "nodes">): [File, Node | undefined] {
    const source = file.path.endsWith(".d.ts") ? this.program.source(file) : file
    const all = source.declarations.get(name) ?? []
    return [source, (all.find((each) => each.nodes[0]?.type === nodes[0]?.type) ?? all[0])?.outer]
  }

  #source(declaration: Declaration): Source {
    const [source, outer] = this.#sourceOf(declaration)
    return { file: pathOf(source), line: outer === undefined ? 1 : lineOf(source, outer) }
  }

  /** The text of a declaration; of a class with what its source says it extends. */
  #text({ file, name }: Declaration, node: Node): string {
    if (node.type !== "ClassDeclaration") return file.text(node)
    const heritage = this.#heritage(file, name)
    const base = node["superClass"]
    const params = node["superTypeArguments"]
    if (heritage === undefined || !isNode(base)) return file.text(node)
    const after = isNode(params) ? params.end : base.end
    return file.text({ start: node.start, end: base.start }) + heritage.text +
      file.text({ start: after, end: node.end })
  }

  #heritage(
    file: File,
    name: string
  ): { readonly source: File; readonly nodes: ReadonlyArray<Node>; readonly text: string } | undefined {
    const source = this.program.source(file)
    const node = source.declarations.get(name)?.map(({ nodes }) => nodes[0]).find((node) =>
      node?.type === "ClassDeclaration"
    )
    const base = node?.["superClass"]
    if (!isNode(base)) return undefined
    const params = node?.["superTypeArguments"]
    const nodes = isNode(params) ? [base, params] : [base]
    return {
      source,
      nodes,
      text: source.text({ start: base.start, end: nodes.at(-1)?.end ?? base.end }).replaceAll("/* @__PURE__ */ ", "")
    }
  }

  #members(declaration: Declaration, doc: DocComment | undefined): ReadonlyArray<Member> {
    const { file, name, nodes: [node] } = declaration
    if (node === undefined) return []
    switch (node.type) {
      case "TSInterfaceDeclaration": {
        const own = this.#list(declaration, isNode(node["body"]) ? nodesOf(node["body"]["body"]) : [], [doc], "")
        const hidden = nodesOf(node["extends"]).flatMap((heritage) => this.#membersOfHidden(file, heritage))
        return [...hidden.filter((member) => own.every(({ name }) => name !== member.name)), ...own]
      }
      case "TSTypeAliasDeclaration":
        return this.#list(declaration, literals(node["typeAnnotation"]), [doc], "")
      case "ClassDeclaration": {
        const heritage = this.#heritage(file, name)
        const implemented = new Set(
          nodesOf(node["implements"]).flatMap((each) => this.#heritageMembers(file, each).map((member) => member.name))
        )
        const shapes = heritage === undefined ? [] : heritage.nodes.flatMap((each) => shapesOf(each))
        return [
          ...heritage === undefined
            ? []
            : this.#list({ file: heritage.source, name, nodes: [node] }, shapes, [doc], ""),
          ...this.#list(declaration, isNode(node["body"]) ? nodesOf(node["body"]["body"]) : [], [doc], "")
            .map((member) => implemented.has(member.name) ? { ...member, inherited: true } : member)
        ]
      }
      case "VariableDeclaration": {
        const type = nodesOf(node["declarations"]).map(({ id }) => isNode(id) ? id["typeAnnotation"] : undefined).find(
          isNode
        )
        return [
          ...this.#list(
            declaration,
            literals(type).filter(({ type }) => type !== "TSCallSignatureDeclaration"),
            [doc],
            ""
          ),
          ...this.#parameters(declaration, doc)
        ]
      }
      default:
        return this.#parameters(declaration, doc)
    }
  }

  /** The members of objects among the parameters, once where overloads repeat them. */
  #parameters(declaration: Declaration, doc: DocComment | undefined): ReadonlyArray<Member> {
    const found = new Map<string, Member>()
    for (const parameter of declaration.nodes.flatMap(parametersOf)) {
      for (
        const member of this.#list(declaration, literals(parameter["typeAnnotation"]), [doc], `${nameOf(parameter)}.`)
      ) {
        if (!found.has(member.name)) found.set(member.name, member)
      }
    }
    return [...found.values()]
  }

  #interfaces(file: File, heritage: Node): ReadonlyArray<Declaration> {
    const expression = heritage["expression"]
    if (!isNode(expression)) return []
    return this.program.named(file, file.code.slice(expression.start, expression.end))
      .filter(({ nodes }) => nodes[0]?.type === "TSInterfaceDeclaration")
  }

  #heritageMembers(file: File, heritage: Node): ReadonlyArray<Member> {
    return this.#interfaces(file, heritage).flatMap((each) => this.#members(each, undefined))
  }

  #membersOfHidden(file: File, heritage: Node): ReadonlyArray<Member> {
    return this.#interfaces(file, heritage)
      .filter(({ outer }) => !this.#exported.has(outer))
      .flatMap((hidden) =>
        this.#members(hidden, hidden.file.comment(hidden.outer)).map((member) => ({
          ...member,
          from: member.from ?? hidden.name
        }))
      )
  }

  #list(
    declared: Pick<Declaration, "file" | "name" | "nodes">,
    nodes: ReadonlyArray<Node>,
    owners: ReadonlyArray<DocComment | undefined>,
    prefix: string
  ): ReadonlyArray<Member> {
    const { file } = declared
    return nodes.flatMap((node): ReadonlyArray<Member> => {
      const kind = kindOf(node)
      const key = isNode(node["key"]) ? node["key"] : undefined
      if (kind === undefined || node["accessibility"] === "private" || key?.type === "PrivateIdentifier") return []
      const written = key === undefined ? `(${kind})` : file.code.slice(key.start, key.end)
      const symbol = node["computed"] === true
      const name = prefix + (symbol ? `[${written}]` : written.replaceAll("\"", ""))
      const doc = file.comment(node) ?? describedBy(owners, name, name.slice(prefix.length))
      const slot = { text: file.text(node).replace(/[;,]$/, "") }
      const member = {
        name,
        kind,
        optional: node["optional"] === true,
        static: node["static"] === true,
        inherited: symbol || node["override"] === true || written === "_tag" || isContract(file, kind, written),
        signature: slot.text,
        doc,
        from: undefined,
        source: this.#memberSource(declared, written)
      }
      const nested = kind === "property" ? literals(node["typeAnnotation"]) : []
      return [member, ...this.#list(declared, nested, [doc, ...owners], `${name}.`)]
    })
  }

  /** The line of a member in the source of its declaration. */
  #memberSource(declared: Pick<Declaration, "file" | "name" | "nodes">, written: string): Source {
    const [source, outer] = this.#sourceOf(declared)
    const start = outer?.start ?? 0
    const at = source.code.slice(start).search(
      new RegExp(`^[^/*\\n]*(?<![\\w.])${written.replaceAll(/\W/g, "\\$&")}\\b`, "m")
    )
    return { file: pathOf(source), line: lineAt(source.code, start + Math.max(at, 0)) }
  }

  #references({ file, nodes }: Declaration): ReadonlyArray<Reference> {
    return [...new Set(nodes.flatMap((node) => [...mentioned(file, node)]))].flatMap((text) => {
      const reference = this.program.named(file, text).map(({ outer }) => this.#exported.get(outer)).find((r) =>
        r !== undefined
      )
      return reference === undefined ? [] : { ...reference, text: withoutImports(text) }
    })
  }

  /** The declarations that one mentions, and what is not stable of what it mentions elsewhere. */
  #mentions(declaration: Declaration): Mentions {
    const known = this.#mentioned.get(declaration.outer)
    if (known !== undefined) return known
    const { file } = declaration
    const names = declaration.nodes.flatMap((node) => [...mentioned(file, node)])
    const made = {
      own: names.flatMap((name) => this.program.named(file, name)),
      unstable: names.flatMap((name) => {
        const foreign = this.program.foreign(file, name)
        return foreign === undefined ? [] : unstable(foreign.from, foreign.name) ?? []
      })
    }
    this.#mentioned.set(declaration.outer, made)
    return made
  }

  #restsOn(declaration: Declaration, seen: Set<Node>): ReadonlySet<string> {
    if (seen.has(declaration.outer)) return new Set()
    seen.add(declaration.outer)
    const { own, unstable } = this.#mentions(declaration)
    return new Set([...unstable, ...own.flatMap((other) => [...this.#restsOn(other, seen)])])
  }

  /** Formats all signatures in one run of dprint. */
  #format(): void {
    const divider = "\n// ---\n"
    const text = this.#signatures.map(({ text }) => text).join(divider)
    const formatted = dprint(text).split(divider)
    if (formatted.length !== this.#signatures.length) throw new Error("dprint lost a signature")
    this.#signatures.forEach((slot, i) => {
      slot.text = (formatted[i] ?? "").trim().replaceAll(/^(export )?(declare )/gm, "")
    })
  }
}

/** The getter that says what an error's message is belongs to `Error`. */
const isContract = (file: File, kind: MemberKind, name: string) =>
  kind === "getter" && name === "message" && file.code.includes("_base")

/** What the comments around a member say of it, the nearest first: an item of a list, or a sentence. */
const describedBy = (
  owners: ReadonlyArray<DocComment | undefined>,
  ...names: ReadonlyArray<string>
): DocComment | undefined => {
  for (const owner of owners) {
    if (owner === undefined) continue
    for (const name of names) {
      const text = owner.items.get(name) ?? sentenceOn(name, owner)
      if (text !== undefined) return read(text)
    }
  }
  return undefined
}

const stabilityOf = (doc: DocComment | undefined): string | undefined =>
  doc?.tags.find(({ name }) => name === "stability")?.text

const packageOf = (entry: string): string => entry.slice(scope.length).split("/")[0] ?? ""

const exportKind = (node: Node): ExportKind => {
  switch (node.type) {
    case "ClassDeclaration":
      return "class"
    case "TSInterfaceDeclaration":
      return "interface"
    case "TSTypeAliasDeclaration":
      return "type"
    case "VariableDeclaration":
      return isCallable(node) ? "function" : "const"
    default:
      return "function"
  }
}

const isCallable = (node: Node): boolean => {
  const [declarator] = nodesOf(node["declarations"])
  const id = declarator?.["id"]
  const annotation = isNode(id) ? id["typeAnnotation"] : undefined
  const type = isNode(annotation) ? annotation["typeAnnotation"] : undefined
  return isNode(type) &&
    (type.type === "TSFunctionType" || literals(type).some(({ type }) => type === "TSCallSignatureDeclaration"))
}

/** The object types and schema fields among the arguments of what a class extends. */
const shapesOf = (node: Node): ReadonlyArray<Node> => {
  if (node.type === "TSTypeParameterInstantiation") return nodesOf(node["params"]).flatMap(literals)
  if (node.type !== "CallExpression") return []
  const types = node["typeArguments"]
  const callee = node["callee"]
  return [
    ...isNode(callee) ? shapesOf(callee) : [],
    ...isNode(types) ? shapesOf(types) : [],
    ...nodesOf(node["arguments"]).flatMap((argument) =>
      argument.type === "ObjectExpression" ? nodesOf(argument["properties"]) : []
    )
  ]
}

const dprint = (text: string): string => {
  const bin = fileURLToPath(new URL("./bin.cjs", import.meta.resolve("dprint/package.json")))
  const run = spawnSync(process.execPath, [bin, "fmt", "--config", join(root, ".dprint.json"), "--stdin", "api.d.ts"], {
    cwd: root,
    input: text,
    encoding: "utf8",
    maxBuffer: 100_000_000
  })
  if (run.status !== 0) throw new Error(`dprint: ${run.stderr}`)
  return run.stdout
}

/** The model of the public API of all published packages. */
export const publicApi = (): ReadonlyArray<PackageApi> => new Reader().packages()
