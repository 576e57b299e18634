import type { MarkdownRenderer } from "vitepress"
import { route, target } from "./Pages.ts"

interface Environment {
  readonly relativePath: string
}

/** Leads each link of the repository to its page. */
export const links = (markdown: MarkdownRenderer): void => {
  markdown.core.ruler.push("repository-links", (state) => {
    const page: Environment = state.env
    for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === "link_open" ? token.attrGet("href") : null
      if (href === null) continue
      const to = target(page.relativePath, href)
      if (to !== undefined) token.attrSet("href", route(to))
    }
  })
}
