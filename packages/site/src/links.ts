import type { MarkdownRenderer } from "vitepress"
import { route, target } from "./Pages.ts"

interface Environment {
  readonly relativePath: string
}

/** Leads each link of the repository to its page, and marks the pictures of HTML in Markdown as files that Vite takes along. */
export const links = (markdown: MarkdownRenderer): void => {
  markdown.core.ruler.push("repository-links", (state) => {
    const page: Environment = state.env
    for (const token of state.tokens.flatMap((token) => token.children ?? [token])) {
      const href = token.type === "link_open" ? token.attrGet("href") : null
      const to = href === null ? undefined : target(page.relativePath, href)
      if (to !== undefined) token.attrSet("href", route(to))
      if (token.type.startsWith("html_")) {
        token.content = token.content.replace(/(\s(?:src|srcset)=")(?![./]|[a-z]+:)/g, "$1./")
      }
    }
  })
}
