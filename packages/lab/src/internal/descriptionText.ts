/** The text of a description, as JSON or YAML, with the places of its values. */
import * as Result from "effect/Result"
import * as Yaml from "yaml"
import type { Remark, World } from "../Lint.ts"
import * as Lint from "../Lint.ts"
import type { Path } from "./subject.ts"

/** A line and a column, both from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

export interface DescriptionText {
  readonly value: unknown
  /** Where a value is written: its key, or the deepest one on the way that is written. */
  readonly positionOf: (path: Path) => Position
}

/** The longest text that is read. */
export const maxLength = 1024 * 1024

const maxDepth = 64

/** Reads a text. What is wrong is said in one line. JSON is YAML, so both have their places. */
export const parse = (text: string, isJson = false): Result.Result<DescriptionText, string> => {
  if (text.length > maxLength) return Result.fail(`longer than ${maxLength} characters`)
  // Brackets within texts count too, and no description has so many.
  if (depthOf(text) > maxDepth) return Result.fail(`nested deeper than ${maxDepth}`)
  if (isJson) {
    const parsed = Result.try((): unknown => JSON.parse(text))
    if (Result.isFailure(parsed)) return Result.fail(messageOf(parsed.failure))
  }
  return Result.try({ try: () => read(text), catch: messageOf }).pipe(Result.flatMap((result) => result))
}

const read = (text: string): Result.Result<DescriptionText, string> => {
  const lines = new Yaml.LineCounter()
  const document = Yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" })
  const position = (offset: number): Position => {
    const { col, line } = lines.linePos(offset)
    return { line, column: col }
  }
  const [error] = document.errors
  if (error !== undefined) {
    const { column, line } = position(error.pos[0])
    return Result.fail(`${line}:${column} ${error.message}`)
  }
  const aliases: Array<number> = []
  Yaml.visit(document, { Alias: (_, alias) => void aliases.push(alias.range?.[0] ?? 0) })
  const [alias] = aliases
  if (alias !== undefined) {
    const { column, line } = position(alias)
    return Result.fail(`${line}:${column} an alias: write the value out`)
  }
  return Result.succeed({
    value: document.toJS({ maxAliasCount: 0 }) as unknown,
    positionOf: (path) => position(offsetOf(document.contents, path))
  })
}

const offsetOf = (root: unknown, path: Path): number => {
  let offset = rangeOf(root)
  let node = root
  for (const key of path) {
    if (Yaml.isMap(node)) {
      const pair = node.items.find((pair) => Yaml.isScalar(pair.key) && String(pair.key.value) === String(key))
      if (pair === undefined) return offset
      offset = rangeOf(pair.key)
      node = pair.value
    } else if (Yaml.isSeq(node)) {
      node = node.items[Number(key)]
      if (node === undefined) return offset
      offset = rangeOf(node)
    } else {
      return offset
    }
  }
  return offset
}

const rangeOf = (node: unknown): number => Yaml.isNode(node) ? node.range?.[0] ?? 0 : 0

// Of flow collections, which JSON has, and of blocks by their indentation.
const depthOf = (text: string): number => {
  let depth = 0
  let deepest = 0
  for (const line of text.split("\n")) {
    deepest = Math.max(deepest, Math.ceil((/^ *(?:- *)*/.exec(line)?.[0].length ?? 0) / 2))
    for (const character of line) {
      if (character === "{" || character === "[") deepest = Math.max(deepest, ++depth)
      else if (character === "}" || character === "]") depth--
    }
  }
  return deepest
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

/** A remark and where it stands. */
export interface Located extends Remark, Position {}

/** Lints a text. The remarks are in the order of `Lint.check`. */
export const lint = ({ positionOf, value }: DescriptionText, world?: World): ReadonlyArray<Located> =>
  Lint.check(value, world).map((remark) => ({ ...remark, ...positionOf(remark.path) }))
