/** The navigation of the site. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { layers } from "../../repo-checks/src/Architecture.ts"
import { root, scope } from "../../repo-checks/src/Workspace.ts"
import { pages, rewrite } from "./Pages.ts"
import { referenceSidebars } from "./Reference.ts"

const titleOf = (file: string): string => /^# (.+)$/m.exec(readFileSync(join(root, file), "utf8"))?.[1] ?? file

const entry = (file: string) => ({
  text: titleOf(file).replaceAll("`", "").replace(scope, ""),
  link: `/${rewrite(file)}`.replace(/index\.md$|\.md$/, "")
})

/** The guides in the order in which a new reader needs them. What has no place in it follows. */
const order = [
  "README",
  "getting-started",
  "choosing-a-policy",
  "order",
  "recipes",
  "testing",
  "operating",
  "scaling-out",
  "migrating"
]

const place = (file: string): number => {
  const index = order.findIndex((name) => file.startsWith(`docs/guides/${name}`))
  return index < 0 ? order.length : index
}

const isIndex = (file: string): boolean => file.endsWith("/README.md")

const all = pages()
const guides = all.filter((file) => file.startsWith("docs/guides/")).toSorted((a, b) =>
  place(a) - place(b) || Number(isIndex(b)) - Number(isIndex(a)) || a.localeCompare(b)
)
const background = all.filter((file) => file.startsWith("docs/") && !file.startsWith("docs/guides/"))
const packages = [...layers, "repo-checks"].map((name) => `packages/${name}/README.md`).filter((file) =>
  all.includes(file)
)

const examples = all.filter((file) => file.startsWith("examples/"))

const folderOf = (file: string): string | undefined => /^docs\/guides\/([^/]+)\//.exec(file)?.[1]

const folders = [...new Set(guides.flatMap((file) => folderOf(file) ?? []))]

const folderTitle = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1)

export const navigation = {
  nav: [
    { text: "Guides", link: "/docs/guides/" },
    { text: "Packages", link: "/packages/client/" },
    { text: "Reference", link: "/reference/" }
  ],
  sidebar: {
    ...referenceSidebars(),
    "/": [
      { text: "Guides", items: guides.filter((file) => folderOf(file) === undefined).map(entry) },
      ...folders.map((name) => ({
        text: folderTitle(name),
        collapsed: true,
        items: guides.filter((file) => folderOf(file) === name).map(entry)
      })),
      { text: "Examples", collapsed: true, items: examples.map(entry) },
      { text: "Background", collapsed: true, items: background.map(entry) },
      { text: "Packages", items: packages.map(entry) }
    ].filter(({ items }) => items.length > 0)
  }
}
