/** The pages of the reference, as Markdown: one for each module, and one that lists them. */
import type { Export, Member, ModuleApi, PackageApi } from "../../repo-checks/src/PublicApi.ts"
import { publicApi } from "../../repo-checks/src/PublicApi.ts"
import { scope } from "../../repo-checks/src/Workspace.ts"

/** A page: `page` is its path without ending, below `/reference/`. */
export interface ReferencePage {
  readonly page: string
  readonly content: string
}

/** The path of a module's page, such as `retry/RetryPolicy`. */
const pathOf = (entry: string): string => entry.slice(scope.length)

/** Text of a doc comment as Markdown of the site: a type such as `Effect<A>` outside of code is no HTML. */
const text = (doc: string): string =>
  doc.split(/(^```[^]*?^```$|`[^`\n]*`)/m).map((part, i) =>
    i % 2 === 1 ? part : part.replaceAll("<", "&lt;").replaceAll("{{", "&#123;&#123;")
  )
    .join("")

const stability = ({ doc }: Pick<Export, "doc">): string | undefined =>
  doc?.tags.find(({ name }) => name === "stability")?.text

const category = ({ doc }: Export): string => doc?.tags.find(({ name }) => name === "category")?.text ?? "exports"

const fence = (code: string): string => `\`\`\`ts\n${code}\n\`\`\``

/** The members that a reader cannot know from the signature and the text: those with a comment of their own. */
const members = (exported: Export): string => {
  const told = exported.doc?.items
  const line = ({ doc, name }: Member) =>
    doc === undefined || told?.has(name) === true ? [] : [`- \`${name}\`: ${text(doc.text).replaceAll("\n", "\n  ")}`]
  return exported.members.flatMap(line).join("\n")
}

const linked = (known: ReadonlySet<string>, { references }: Export): string => {
  const links = references.filter(({ entry }) => known.has(entry)).map(({ entry, name, text }) =>
    `[\`${text}\`](/reference/${pathOf(entry)}#${name.toLowerCase()})`
  )
  return links.length === 0 ? "" : `Types: ${[...new Set(links)].join(", ")}`
}

const describe = (known: ReadonlySet<string>, module: ModuleApi, exported: Export): string => {
  const mark = stability(exported) ?? stability(module)
  return [
    fence(exported.signature),
    mark === undefined || mark === "stable" ? "" : `_Stability: ${mark}._`,
    text(exported.doc?.text ?? ""),
    members(exported),
    linked(known, exported)
  ].filter((part) => part !== "").join("\n\n")
}

const imported = ({ entry, name, namespace }: ModuleApi): string => {
  const alone = `import * as ${namespace ?? name} from "${entry}"`
  const index = entry.slice(0, entry.lastIndexOf("/"))
  return fence(namespace === undefined ? alone : `import { ${namespace} } from "${index}"\n// or\n${alone}`)
}

const grouped = <A>(
  items: ReadonlyArray<A>,
  key: (item: A) => string
): ReadonlyArray<readonly [string, ReadonlyArray<A>]> => [
  ...Map.groupBy(items, key)
]

const runsOn = ({ runsOn }: ModuleApi): ReadonlyArray<string> =>
  runsOn.length === 0 ? [] : [`runs on ${runsOn.join(", ")}`]

const modulePage = (known: ReadonlySet<string>, module: ModuleApi): ReferencePage => {
  const mark = stability(module)
  const names = new Set(module.exports.map(({ name }) => name))
  const categories = grouped(module.exports, category).map(([heading, exports]) => {
    // A type and a value of one name are one entry, at its first category.
    const here = grouped(exports, ({ name }) => name).filter(([name]) => names.delete(name)).map(([name]) =>
      [
        `### ${name}`,
        ...module.exports.filter((exported) => exported.name === name).map((exported) =>
          describe(known, module, exported)
        )
      ].join("\n\n")
    )
    return here.length === 0 ? "" : [`## Category: ${heading}`, ...here].join("\n\n")
  })
  const content = [
    `# ${pathOf(module.entry)}`,
    imported(module),
    mark === undefined ? "" : `_Stability: ${[mark, ...runsOn(module)].join("; ")}._`,
    text(module.doc?.text ?? ""),
    ...categories
  ]
  return { page: pathOf(module.entry), content: content.filter((part) => part !== "").join("\n\n") }
}

const listOf = ({ description, folder, modules }: PackageApi): string => {
  const rows = modules.map((module) =>
    `| [\`${module.name}\`](/reference/${pathOf(module.entry)}) | ${
      text(module.doc?.summary ?? "").replaceAll("|", "\\|")
    } |`
  )
  return [
    `## ${folder}`,
    `${description}. [README](/packages/${folder}/)`,
    ["| module | what it does |", "| --- | --- |", ...rows].join("\n")
  ]
    .join("\n\n")
}

const intro = `# Reference

Each module with its exports, from the declarations that are published. What is marked _rests on_ a module of Effect that is not stable may change
with a minor version of Effect; what _runs on_ one uses it without naming it in its types.`

let api: ReadonlyArray<PackageApi> | undefined

const packages = (): ReadonlyArray<PackageApi> => api ??= publicApi()

/** All pages of the reference. They need the packages to be built. */
export const referencePages = (): ReadonlyArray<ReferencePage> => {
  const modules = packages().flatMap((p) => p.modules)
  const known = new Set(modules.map(({ entry }) => entry))
  return [
    { page: "index", content: [intro, ...packages().map(listOf)].join("\n\n") },
    ...modules.map((module) => modulePage(known, module))
  ]
}

/** The sidebars of the reference: each package has its own, since a page that lists all modules of all packages is mostly that list. */
export const referenceSidebars = () => {
  const overview = {
    text: "Packages",
    items: packages().map(({ folder }) => ({ text: folder, link: `/reference/#${folder}` }))
  }
  return Object.fromEntries([
    ...packages().map(({ folder, modules }) => [`/reference/${folder}/`, [
      { text: folder, items: modules.map(({ entry, name }) => ({ text: name, link: `/reference/${pathOf(entry)}` })) },
      overview
    ]]),
    ["/reference/", [overview]]
  ])
}
