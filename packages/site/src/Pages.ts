/**
 * Where each page of the site comes from and where it goes.
 *
 * The Markdown stays in its folders and links as a forge follows it. Here a link of that kind becomes the route of its page; one that leads
 * to a file or a folder without a page of its own leads to a page that shows it.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join, posix } from "node:path"
import { filesOf, root } from "../../repo-checks/src/Workspace.ts"

const isPage = (file: string): boolean =>
  file === "README.md" || /^docs\/.+\.md$/.test(file) || /^packages\/[^/]+\/(?:README|docs\/.+)\.md$/.test(file) ||
  /^packages\/[^/]+\/(?!CHANGELOG)[A-Z]+\.md$/.test(file) || /^examples\/[^/]+\/README\.md$/.test(file)

const foldersOf = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) =>
    `${folder}/${name}`
  )

/** The Markdown that becomes pages, relative to the repository. */
export const pages = (): ReadonlyArray<string> => {
  const texts = (folder: string, under: string) =>
    filesOf(join(root, folder, under)).map((file) => posix.join(folder, under, file))
  const flat = (folder: string) => readdirSync(join(root, folder)).map((name) => posix.join(folder, name))
  return [
    ...flat("."),
    ...texts("docs", "."),
    ...foldersOf("packages").flatMap((folder) => [...flat(folder), ...texts(folder, "docs")]),
    ...foldersOf("examples").flatMap(flat)
  ].filter(isPage)
}

/** A README is the page of its folder. */
export const rewrite = (file: string): string =>
  file.startsWith("packages/site/pages/")
    ? file.slice("packages/site/pages/".length)
    : file.replace(/(^|\/)README\.md$/, "$1index.md")

export interface Target {
  /** A file or a folder, relative to the repository. */
  readonly file: string
  readonly anchor: string
}

/** What a link of a page leads to, which may not exist; nothing if it stays on its page or leaves the repository. */
export const target = (page: string, href: string): Target | undefined => {
  if (href === "" || /^(?:[a-z][a-z\d+.-]*:|#|\/)/i.test(href)) return undefined
  const [path = "", anchor = ""] = href.split("#")
  const file = posix.join(posix.dirname(page), decodeURI(path)).replace(/\/$/, "")
  return { file, anchor }
}

/** What a page of a source is called, without its ending. */
export const sourceName = (file: string): string => file.replace(/\.md$/, "")

/** The page that shows a file or a folder: its own, the README of the folder, or one that shows the source. */
export const route = ({ anchor, file }: Target): string => {
  const readme = posix.join(file, "README.md")
  const page = isPage(file) ? file : existsSync(join(root, readme)) && isPage(readme) ? readme : undefined
  return `/${page === undefined ? `source/${sourceName(file)}.md` : rewrite(page)}${anchor === "" ? "" : `#${anchor}`}`
}

const withoutCode = (text: string): string =>
  text.replace(/^(\s*)(`{3,}).*\n[^]*?^\s*\2\s*$/gm, "").replace(/`[^`\n]*`/g, "")

/** The files and folders that need a page which shows them, since a page links to them; what a folder holds follows. */
export const sources = (): ReadonlyArray<string> => {
  const found = new Set<string>()
  const add = (file: string) => {
    const shown = route({ file, anchor: "" }).startsWith("/source/") && existsSync(join(root, file))
    if (!shown || found.has(file)) return
    found.add(file)
    if (statSync(join(root, file)).isDirectory()) contents(file).forEach(add)
  }
  for (const page of pages()) {
    for (
      const [, href = ""] of withoutCode(readFileSync(join(root, page), "utf8")).matchAll(
        /(?<!!\[[^\]]*)\]\(([^)\s]*)\)/g
      )
    ) {
      const to = target(page, href)
      if (to !== undefined) add(to.file)
    }
  }
  return [...found].toSorted()
}

const contents = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder)).filter((name) => !["dist", "node_modules"].includes(name)).map((name) =>
    posix.join(folder, name)
  )

const languages: Readonly<Record<string, string>> = { ts: "ts", tsx: "tsx", js: "js", json: "json", md: "md", sh: "sh" }

/** The Markdown of the page that shows a file or a folder. */
export const sourcePage = (file: string): string => {
  const path = join(root, file)
  const title = `# ${file}\n\n`
  if (statSync(path).isDirectory()) {
    return title +
      contents(file).map((child) => `- [${posix.basename(child)}](${route({ file: child, anchor: "" })})`).join("\n")
  }
  const text = readFileSync(path, "utf8").trimEnd()
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length + 1)))
  return `${title}${fence}${languages[posix.extname(file).slice(1)] ?? "text"}\n${text}\n${fence}\n`
}
