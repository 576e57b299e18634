/** What is not documented in the public API. There are no exceptions but members that something else declares. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { DocComment } from "./DocComment.ts"
import { fences } from "./DocFences.ts"
import type { Export, Member, ModuleApi, PackageApi } from "./PublicApi.ts"
import { markOf, parseMark } from "./Stability.ts"
import { root } from "./Workspace.ts"

const at = ({ file, line }: { readonly file: string; readonly line: number }, what: string): string =>
  `${file}:${line} ${what}`

const says = (doc: DocComment | undefined): boolean => doc !== undefined && /\p{L}{2}/u.test(doc.text)

/** A call signature and a constructor are documented with the type that has them, and so is an index. */
const isNamed = ({ inherited, kind }: Member): boolean =>
  !inherited && kind !== "call" && kind !== "new" && kind !== "index"

/** The members of a constant are values that its own comment describes. */
const undocumentedMembers = (e: Export): ReadonlyArray<string> =>
  e.kind === "const"
    ? []
    : e.members.filter((member) => isNamed(member) && !says(member.doc))
      .map(({ name, source }) => at(source, `${e.name}.${name} is not documented`))

/** Numbers and durations that an option may leave out have a default, which its comment says. */
const withoutDefaults = (e: Export): ReadonlyArray<string> =>
  e.kind !== "interface" || !e.name.endsWith("Options")
    ? []
    : e.members.filter(({ doc, optional, signature }) =>
      optional && /\?: (Duration\.Input|number)\b/.test(signature) &&
      !doc?.tags.some(({ name }) => name === "deprecated") &&
      !/default|absent|without|otherwise|undefined/i.test(doc?.text ?? "")
    ).map(({ name, source }) => at(source, `${e.name}.${name} does not say its default`))

const ofExport = (e: Export): ReadonlyArray<string> => [
  ...says(e.doc) && e.doc?.summary !== "" ? [] : [at(e.source, `${e.name} has no sentence that says what it is`)],
  ...["category", "since"].filter((tag) => !e.doc?.tags.some(({ name }) => name === tag))
    .map((tag) => at(e.source, `${e.name} has no @${tag}`)),
  ...undocumentedMembers(e),
  ...withoutDefaults(e)
]

/**
 * The mark of an export says what of Effect its type rests on: exactly, where it has one of its own; at least, where it has that of
 * its module.
 */
const ofStability = (e: Export, module: ModuleApi): ReadonlyArray<string> => {
  const { experimental, restsOn } = parseMark(e.stability)
  const needed = markOf(e.restsOn, experimental)
  const inherited = e.stability === module.stability && restsOn.length > 0
  const right = inherited ? e.restsOn.every((part) => restsOn.includes(part)) : e.stability === needed
  return right ? [] : [at(e.source, `${e.name} needs "@stability ${needed}", and has ${e.stability ?? "none"}`)]
}

/** The mark of a module names nothing that none of its exports rests on. */
const ofModuleStability = (module: ModuleApi): ReadonlyArray<string> => {
  const rests = new Set(module.exports.flatMap(({ restsOn }) => restsOn))
  return module.stability === undefined
    ? [at(module.source, "the module has no @stability")]
    : parseMark(module.stability).restsOn.filter((part) => !rests.has(part))
      .map((part) => at(module.source, `nothing in the module rests on ${part}`))
}

const hasExample = ({ doc }: { readonly doc: DocComment | undefined }): boolean =>
  doc?.text.includes("```ts import.meta.vitest") === true

/** Whether an example of the package's README runs and uses the module. */
const isShown = ({ name }: ModuleApi, pages: ReadonlyArray<string>): boolean =>
  pages.flatMap(fences).some(({ code, marked }) => marked && new RegExp(`\\b${name}\\.`).test(code))

/** Every module has an example that runs: in its own comment, in that of an export, or in the README. */
const ofModule = (module: ModuleApi, pages: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...ofModuleStability(module),
  ...module.doc === undefined || module.doc.summary === "" ? [at(module.source, "the module has no comment")] : [],
  ...hasExample(module) || module.exports.some(hasExample) || isShown(module, pages)
    ? []
    : [at(module.source, "the module has no example that runs")]
]

const readmeOf = ({ folder }: PackageApi): ReadonlyArray<string> => {
  const file = join(root, "packages", folder, "README.md")
  return existsSync(file) ? [readFileSync(file, "utf8")] : []
}

/** What the API lacks: `file:line` and what. */
export const undocumented = (api: ReadonlyArray<PackageApi>): ReadonlyArray<string> => [
  ...new Set(api.flatMap((each) => {
    const pages = readmeOf(each)
    return each.modules.flatMap((module) => [
      ...ofModule(module, pages),
      ...module.exports.filter(({ from }) => from === undefined)
        .flatMap((e) => [...ofExport(e), ...ofStability(e, module)])
    ])
  }))
]
