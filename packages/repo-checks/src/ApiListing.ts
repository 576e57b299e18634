/**
 * The public API of each package as a page for review, `packages/X/api.md`: `npm run api` writes them from what `npm run build` made.
 *
 * A page has the signatures without bodies and comments, sorted by name, so that a change of the API is a small diff and a change
 * inside is none. What is marked by its stability differs from the rest of its module.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Export, ModuleApi, PackageApi } from "./PublicApi.ts"
import { publicApi } from "./PublicApi.ts"
import { root } from "./Workspace.ts"

const byName = (a: Export, b: Export) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.kind < b.kind ? -1 : 1

const deprecated = ({ doc }: Export) =>
  doc?.tags.some(({ name }) => name === "deprecated") === true ? ["deprecated"] : []

const entry = (e: Export, module: ModuleApi): string => {
  const marks = [...e.stability === module.stability ? [] : [e.stability ?? ""], ...deprecated(e)]
  const comment = marks.length === 0 ? "" : `// ${marks.join(", ")}\n`
  return comment + (e.from === undefined ? e.signature : `export { ${e.name} } from "${e.from}"`)
}

const block = (
  entries: ReadonlyArray<string>
): ReadonlyArray<string> => ["```ts fragment", entries.join("\n\n"), "```", ""]

const section = (module: ModuleApi): ReadonlyArray<string> => [
  `## ${module.name}`,
  "",
  `\`${module.entry}\`${module.namespace === undefined ? ", not in the index" : ""}; ${module.stability ?? "no mark"}${
    module.runsOn.length === 0 ? "" : `; runs on ${module.runsOn.join(", ")}`
  }.`,
  "",
  ...module.exports.length === 0 ? [] : block(module.exports.toSorted(byName).map((e) => entry(e, module))),
  ...module.hidden.length === 0
    ? []
    : ["Not exported, but mentioned:", "", ...block(module.hidden.toSorted(byName).map(({ signature }) => signature))]
]

/** What the page of a package should be. */
export const page = (api: PackageApi): string =>
  [
    `# API of ${api.name}`,
    "",
    "Written by `npm run api` from the declarations; do not edit it. [What the marks mean](../../docs/guides/stability.md).",
    "",
    ...api.modules.flatMap(section)
  ].join("\n")

/** The file of a package's page, from the root. */
export const fileOf = (api: PackageApi): string => `packages/${api.folder}/api.md`

/** The pages that are not as `npm run api` writes them. */
export const stale = (api: ReadonlyArray<PackageApi>): ReadonlyArray<string> =>
  api.filter((each) => {
    const file = join(root, fileOf(each))
    return !existsSync(file) || readFileSync(file, "utf8") !== page(each)
  }).map(fileOf)

if (import.meta.main) {
  for (const each of publicApi()) writeFileSync(join(root, fileOf(each)), page(each))
}
