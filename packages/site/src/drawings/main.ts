/** The drawings of the guides, and the blocks of the pages that show them: the second half of `npm run pictures`. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "../../../repo-checks/src/Workspace.ts"
import { choosing } from "./choosing.ts"
import type { Drawing, Width } from "./Drawing.ts"
import { block, fileName, svg, themes, widths } from "./Drawing.ts"
import { order } from "./order.ts"

const directory = join(root, "docs/drawings")

const marked = /(<!-- drawing -->\n)[^]*?(\n<!-- end -->\n)/

/** The list that follows the drawing of a guide. */
const listIn = (page: string): string => /<!-- end -->\n[^]*?\n((?:(?:- | {2}- ).*\n)+)/.exec(page)?.[1] ?? ""

const pages: ReadonlyArray<readonly [slug: string, page: string, drawing: (page: string) => Drawing]> = [
  ["choosing-a-policy", "docs/guides/choosing-a-policy.md", (page) => choosing(listIn(page))],
  ["order", "docs/guides/order.md", order]
]

/** Each file with what it should hold. */
export const files = (): ReadonlyArray<{ readonly file: string; readonly text: string }> =>
  pages.flatMap(([slug, page, of]) => {
    const text = readFileSync(join(root, page), "utf8")
    const drawing = of(text)
    if (!marked.test(text)) throw new Error(`${page} has no place for its drawing`)
    return [
      ...(Object.keys(widths) as ReadonlyArray<Width>).flatMap((width) =>
        themes.map((theme) => ({
          file: join(directory, fileName(slug, width, theme)),
          text: svg(drawing, width, theme)
        }))
      ),
      {
        file: join(root, page),
        text: text.replace(marked, `$1${block(slug, drawing, "../drawings/").replaceAll("$", "$$$$")}$2`)
      }
    ]
  })

/** What is in the directory. */
export const present = (): ReadonlyArray<string> => readdirSync(directory).map((name) => join(directory, name))

if (import.meta.main) {
  const written = files()
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  for (const { file, text } of written) writeFileSync(file, text)
}
