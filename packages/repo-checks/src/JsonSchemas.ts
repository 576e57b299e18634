/**
 * The JSON Schemas of descriptions, for editors. Types, bounds and defaults are those of the fields that read a description; what an
 * option means is told by its own doc comment or that of its interface or variant, and by no other text.
 */
import * as Schema from "effect/Schema"
import type { Node } from "./Syntax.ts"
import { isNode, parse, walk } from "./Syntax.ts"
import type { Package } from "./Workspace.ts"

interface Json {
  [key: string]: unknown
}

const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** What a doc comment says: a sentence or more about the symbol, and about options: in bullets, or at the members of an interface. */
interface Doc {
  readonly symbol: string
  readonly file: string
  readonly summary: string
  readonly options: ReadonlyMap<string, string>
}

const docsOf = (packages: ReadonlyArray<Package>): ReadonlyArray<Doc> =>
  packages.flatMap((pkg) =>
    pkg.modules.flatMap(({ code, path }) => {
      const file = `packages/${pkg.name}/src/${path}`
      const { body, comments } = parse(file, code)
      const docs: Array<Doc> = []
      walk(body, (node) => {
        if (node.type !== "ExportNamedDeclaration") return
        const symbol = /^export (?:interface|const|type) (\w+)/.exec(code.slice(node.start, node.start + 200))?.[1]
        const commentOf = ({ start }: Node) =>
          comments.findLast(({ end, type }) => type === "Block" && end <= start && code.slice(end, start).trim() === "")
        const comment = commentOf(node)
        if (symbol === undefined || comment === undefined) return
        const { options, summary } = read(comment.value)
        // A policy is no description of one.
        if (/^export interface [^{]*\bPolicy</.test(code.slice(node.start, node.end))) return
        walk(node["declaration"], (member) => {
          const isOption = member.type === "TSPropertySignature" &&
            !code.slice(member.start, member.end).endsWith(": undefined")
          const own = isOption ? commentOf(member) : undefined
          const key = member["key"]
          if (own !== undefined && isNode(key)) options.set(String(key["name"]), flat(textOf(own.value)))
        })
        docs.push({ symbol, file, summary, options })
      })
      return docs
    })
  )

/** A comment without its stars, up to its tags and sections. */
const textOf = (comment: string): string => {
  const lines = comment.split("\n").map((line) => line.replace(/^\s*\* ?/, "").trimEnd())
  return lines.join("\n").split(/\n(?=@|\*\*)/)[0] ?? ""
}

const read = (comment: string): { readonly summary: string; readonly options: Map<string, string> } => {
  const text = textOf(comment)
  const options = new Map<string, string>()
  for (const [, names = "", about = ""] of text.matchAll(/^- ((?:`\w+`(?:, )?)+): ([^]*?)(?=\n- |\n\n|$(?![^]))/gm)) {
    for (const [, name = ""] of names.matchAll(/`(\w+)`/g)) options.set(name, flat(about))
  }
  return { summary: flat(text.split(/\n\n|\n- /)[0] ?? ""), options }
}

const flat = (text: string): string => {
  const one = text.replace(/\s+/g, " ").trim()
  return /[.?!]$/.test(one) ? one[0]?.toUpperCase() + one.slice(1) : `${one[0]?.toUpperCase()}${one.slice(1)}.`
}

/** A JSON Schema with descriptions, and the paths of options that no doc comment tells about. */
export const jsonSchema = (
  id: string,
  schema: Schema.Codec<unknown>,
  packages: ReadonlyArray<Package>
): { readonly json: string; readonly untold: ReadonlyArray<string> } => {
  const docs = docsOf(packages)
  const untold: Array<string> = []
  const document = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" })
  const { schema: root } = JSON.parse(JSON.stringify(document)) as { readonly schema: Json }
  describe(root, docs, untold, "")
  const definitions = hoist(root)
  const whole = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: id,
    ...root,
    // So that a file can name its schema.
    properties: { $schema: { type: "string" }, ...root["properties"] as Json },
    $defs: definitions
  }
  return { json: `${JSON.stringify(whole, null, 2)}\n`, untold }
}

const describe = (schema: unknown, docs: ReadonlyArray<Doc>, untold: Array<string>, path: string, of?: Doc): void => {
  if (!isJson(schema)) return
  // An integer that JavaScript can count to is no rule of ours.
  if (schema["maximum"] === Number.MAX_SAFE_INTEGER) delete schema["maximum"]
  if (schema["minimum"] === Number.MIN_SAFE_INTEGER) delete schema["minimum"]
  const alternatives = Array.isArray(schema["anyOf"]) ? schema["anyOf"] as ReadonlyArray<unknown> : []
  const variants = alternatives.filter((one) => isJson(one) && keysOf(one).length === 1)
  const folder = variants.length < 2 ? undefined : folderOf(variants.flatMap((one) => keysOf(one as Json)), docs)
  for (const one of alternatives) {
    const [name = ""] = isJson(one) ? keysOf(one) : []
    const variant = folder && variants.includes(one)
      ? docs.find((doc) => doc.symbol === name && doc.file === `${folder}/${name}.ts`)
      : undefined
    describe(one, docs, untold, path, variant ?? of)
  }
  for (const key of ["items", "additionalProperties"]) describe(schema[key], docs, untold, `${path}[]`)
  const keys = keysOf(schema)
  const properties = schema["properties"]
  if (keys.length === 0 || !isJson(properties)) return
  const parts = keys.every((key) => key === "name" || docs.some((doc) => isPart(doc, key)))
  const alone = of !== undefined && keys.length === 1 && keys[0] === of.symbol
  const best = alone ? [] : [...(of === undefined ? [] : [of]), ...bestOf(keys, of, docs)]
  for (const key of keys) {
    const about = alone
      ? of.summary
      : parts
      ? docs.find((doc) => isPart(doc, key))?.summary ?? "The name, in errors, logs and metrics."
      : best.find(({ options }) => options.has(key))?.options.get(key)
    if (about === undefined) untold.push(`${path}.${key}`)
    else properties[key] = { description: about, ...properties[key] as Json }
    describe(properties[key], docs, untold, `${path}.${key}`, alone ? of : undefined)
  }
}

const keysOf = (schema: Json): ReadonlyArray<string> =>
  isJson(schema["properties"]) ? Object.keys(schema["properties"]) : []

const isPart = (doc: Doc, key: string): boolean =>
  doc.file === `packages/pipeline/src/parts/${key}.ts` && doc.symbol === key

/** The folder that has a module for each variant of a choice. */
const folderOf = (names: ReadonlyArray<string>, docs: ReadonlyArray<Doc>): string | undefined => {
  const foldersOf = (name: string) =>
    docs.filter(({ file, symbol }) => symbol === name && file.endsWith(`/${name}.ts`)).map(({ file }) =>
      file.slice(0, -`/${name}.ts`.length)
    )
  const [first = "", ...others] = names
  return foldersOf(first).find((folder) => others.every((name) => foldersOf(name).includes(folder)))
}

/** The doc comments that tell about most options and the fewest others; those of a variant's package where they are of one. */
const bestOf = (keys: ReadonlyArray<string>, of: Doc | undefined, docs: ReadonlyArray<Doc>): ReadonlyArray<Doc> => {
  const told = ({ options }: Doc) => keys.filter((key) => options.has(key)).length
  const near = docs.filter((doc) => told(doc) > 0 && (of === undefined || packageOf(doc) === packageOf(of)))
  return near.toSorted((a, b) => told(b) - told(a) || a.options.size - b.options.size)
}

const packageOf = ({ file }: Doc): string => file.split("/")[1] ?? ""

/** Moves what occurs more than once into definitions, and returns those. */
const hoist = (root: Json): Json => {
  const definitions: Json = {}
  const named = new Map<string, string>()
  const seen = new Map<string, number>()
  const visit = (value: unknown, f: (one: Json, key: string) => unknown, key: string): unknown => {
    if (Array.isArray(value)) return value.map((one) => visit(one, f, key))
    if (!isJson(value)) return value
    for (const [name, inner] of Object.entries(value)) {
      value[name] = visit(inner, f, /^(anyOf|items|properties|additionalProperties)$/.test(name) ? key : name)
    }
    return f(value, key)
  }
  const free = (key: string, times = 1): string => {
    const name = times === 1 ? key : `${key}${times}`
    return definitions[name] === undefined ? name : free(key, times + 1)
  }
  const textOf = ({ default: _, description: __, ...rest }: Json) => JSON.stringify(rest)
  const isWorth = (one: Json) => (one["anyOf"] !== undefined || one["type"] === "object") && textOf(one).length > 200
  visit(root, (one) => {
    if (isWorth(one)) seen.set(textOf(one), (seen.get(textOf(one)) ?? 0) + 1)
    return one
  }, "")
  const texts = new Map<Json, string>()
  const remember = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(remember)
    if (!isJson(value)) return
    texts.set(value, textOf(value))
    Object.values(value).forEach(remember)
  }
  remember(root)
  visit(root, (one, key) => {
    const text = texts.get(one) ?? ""
    if (one === root || !((seen.get(text) ?? 0) > 1)) return one
    const name = named.get(text) ?? free(key)
    const { default: preset, description, ...rest } = one
    if (!named.has(text)) {
      named.set(text, name)
      definitions[name] = rest
    }
    return {
      $ref: `#/$defs/${name}`,
      ...(description !== undefined && { description }),
      ...(preset !== undefined && { default: preset })
    }
  }, "")
  return definitions
}
