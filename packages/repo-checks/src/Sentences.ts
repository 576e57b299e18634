/**
 * The sentences that expressions of a module can become: literals, templates with the names of their parts, both sides of a
 * condition, and what functions of the same module return. What cannot be followed is its name in braces.
 */
import { isNode, type Node, parse, walk } from "./Syntax.ts"

type Bindings = ReadonlyMap<string, ReadonlyArray<string>>

const most = 24
const deepest = 12

const nodesOf = (u: unknown): ReadonlyArray<Node> => Array.isArray(u) ? u.filter(isNode) : isNode(u) ? [u] : []
const first = (u: unknown): Node | undefined => nodesOf(u)[0]
const nameOf = (u: unknown): string | undefined =>
  isNode(u) && u.type === "Identifier" && typeof u["name"] === "string" ? u["name"] : undefined
const isFunction = (node: Node): boolean =>
  /^(ArrowFunctionExpression|FunctionExpression|FunctionDeclaration)$/.test(node.type)

const contains = (inner: Node) => (outer: Node): boolean => outer.start <= inner.start && inner.end <= outer.end

const unwrapped = (node: Node): Node => {
  const inner = /^(YieldExpression|ParenthesizedExpression|TSAsExpression|TSSatisfiesExpression|AwaitExpression)$/
      .test(node.type)
    ? first(node["argument"] ?? node["expression"])
    : undefined
  return inner === undefined ? node : unwrapped(inner)
}

/** What a function returns, without what functions inside it return. */
const returnsOf = (fn: Node): ReadonlyArray<Node> => {
  const body = first(fn["body"])
  if (body === undefined) return []
  if (body.type !== "BlockStatement") return [body]
  const found: Array<Node> = []
  const visit = (u: unknown): void => {
    for (const node of nodesOf(u)) {
      if (isFunction(node)) continue
      if (node.type === "ReturnStatement") found.push(...nodesOf(node["argument"]))
      else for (const key in node) visit(node[key])
    }
  }
  visit(body)
  return found
}

/** One module. */
export class Module {
  readonly #code: string
  readonly body: ReadonlyArray<Node>
  readonly #values: Array<{ readonly name: string; readonly value: Node; readonly scope: Node | undefined }> = []
  /** The functions that have a name, by it, and the calls of each. */
  readonly #functions = new Map<string, Node>()
  readonly #calls = new Map<string, Array<Node>>()

  constructor(file: string, code: string) {
    this.#code = code
    this.body = parse(file, code).body
    const scopes: Array<Node> = []
    walk(this.body, (node) => {
      if (isFunction(node)) scopes.push(node)
      const name = nameOf(node["id"])
      const value = first(node["init"])
      if (node.type === "FunctionDeclaration" && name !== undefined) this.#functions.set(name, node)
      if (node.type === "VariableDeclarator" && name !== undefined && value !== undefined) {
        const wrapped = value.type === "CallExpression" ? nodesOf(value["arguments"]).find(isFunction) : undefined
        const fn = isFunction(value) ? value : wrapped
        if (fn === undefined) this.#values.push({ name, value, scope: scopes.findLast(contains(node)) })
        else this.#functions.set(name, fn)
      }
      const callee = node.type === "CallExpression" ? nameOf(node["callee"]) : undefined
      if (callee !== undefined) this.#calls.set(callee, [...this.#calls.get(callee) ?? [], node])
    })
  }

  /** The sentences of an expression. Its parameters are what the calls of the function around it give. */
  of(node: Node): ReadonlyArray<string> {
    const around = Array.from(this.#functions, ([name, fn]) => ({ name, fn }))
      .filter(({ fn }) => contains(node)(fn))
      .toSorted((a, b) => b.fn.start - a.fn.start)[0]
    const calls = this.#calls.get(around?.name ?? "") ?? []
    if (around === undefined || calls.length === 0) return this.#follow(node, new Map(), 0)
    const { fn } = around
    return unique(calls.flatMap((call) => this.#follow(node, this.#bound(fn, call, new Map(), 1), 1)))
  }

  #bound(fn: Node, call: Node, outer: Bindings, depth: number): Bindings {
    const given = nodesOf(call["arguments"])
    return new Map(
      nodesOf(fn["params"]).flatMap((param, i) => {
        const name = nameOf(param) ?? nameOf(param["left"])
        const value = given[i] ?? first(param["right"])
        return name === undefined || value === undefined ? [] : [[name, this.#follow(value, outer, depth + 1)] as const]
      })
    )
  }

  #follow(wrapped: Node, bound: Bindings, depth: number): ReadonlyArray<string> {
    const node = unwrapped(wrapped)
    const placeholder = [`{${this.#label(node)}}`]
    if (depth > deepest) return placeholder
    const next = (u: unknown) => nodesOf(u).flatMap((node) => this.#follow(node, bound, depth + 1))
    switch (node.type) {
      case "Literal":
        return [String(node["value"])]
      case "TemplateLiteral": {
        const texts = nodesOf(node["quasis"]).map(({ value }) => (value as { readonly cooked: string }).cooked)
        return nodesOf(node["expressions"]).reduce<ReadonlyArray<string>>(
          (all, part, i) => times(times(all, this.#follow(part, bound, depth + 1)), [texts[i + 1] ?? ""]),
          [texts[0] ?? ""]
        )
      }
      case "BinaryExpression":
        return node["operator"] === "+" ? times(next(node["left"]), next(node["right"])) : placeholder
      case "ConditionalExpression":
        return unique([...next(node["consequent"]), ...next(node["alternate"])])
      case "LogicalExpression":
        return node["operator"] === "&&" ? placeholder : unique([...next(node["left"]), ...next(node["right"])])
      case "Identifier": {
        const name = nameOf(node) ?? ""
        if (name === "undefined") return []
        const value = this.#values.findLast((value) =>
          value.name === name && (value.scope === undefined || contains(node)(value.scope))
        )?.value
        return bound.get(name) ??
          (value === undefined || !this.#isText(value) ? placeholder : this.#follow(value, new Map(), depth + 1))
      }
      case "CallExpression": {
        const fn = this.#functions.get(nameOf(node["callee"]) ?? "")
        const returned = fn === undefined ? [] : returnsOf(fn)
        if (fn === undefined || returned.length === 0 || !returned.some((node) => this.#isText(node))) {
          return placeholder
        }
        const inner = this.#bound(fn, node, bound, depth)
        return unique(returned.flatMap((node) => this.#follow(node, inner, depth + 1)))
      }
      default:
        return isFunction(node)
          ? unique(returnsOf(node).flatMap((node) => this.#follow(node, bound, depth + 1)))
          : placeholder
    }
  }

  /** Whether there is a text in it that is more than a part. */
  #isText(wrapped: Node): boolean {
    const node = unwrapped(wrapped)
    switch (node.type) {
      case "Literal":
        return typeof node["value"] === "string"
      case "TemplateLiteral":
        return true
      case "BinaryExpression":
        return node["operator"] === "+" && nodesOf([node["left"], node["right"]]).some((side) => this.#isText(side))
      case "ConditionalExpression":
        return nodesOf([node["consequent"], node["alternate"]]).some((side) => this.#isText(side))
      default:
        return false
    }
  }

  #label(node: Node): string {
    const name = nameOf(node)
    if (name !== undefined) return name
    if (node.type === "MemberExpression") {
      return nameOf(node["property"]) ?? "…"
    }
    if (node.type === "CallExpression") {
      const [argument] = nodesOf(node["arguments"])
      const callee = first(node["callee"]) ?? node
      return argument === undefined || isFunction(argument) || argument.type === "Literal"
        ? this.#label(first(callee["object"]) ?? callee)
        : this.#label(argument)
    }
    const object = first(node["object"] ?? node["left"] ?? node["argument"] ?? node["test"])
    return object === undefined
      ? this.#code.slice(node.start, node.end).replace(/\s+/g, " ").slice(0, 20)
      : this.#label(object)
  }
}

const unique = (texts: ReadonlyArray<string>): ReadonlyArray<string> => Array.from(new Set(texts)).slice(0, most)

const times = (starts: ReadonlyArray<string>, ends: ReadonlyArray<string>): ReadonlyArray<string> =>
  unique(starts.flatMap((start) => ends.map((end) => start + end)))
