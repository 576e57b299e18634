/** What the local search knows, and what it shows first. */
import type { DefaultTheme, MarkdownEnv, MarkdownRenderer } from "vitepress"
import { referencePages } from "./Reference.ts"

const withoutFences = (markdown: string): string => markdown.replace(/^```[^]*?^```$/gm, "")

/** Pages that are generated have no file to be read. Those of the reference are found by the names and the text of what they describe. */
const render = async (markdown: string, env: MarkdownEnv, renderer: MarkdownRenderer): Promise<string> => {
  const page = /^packages\/site\/pages\/reference\/(.*)\.md$/.exec(env.relativePath)?.[1]
  const described = referencePages().find((reference) => reference.page === page)
  const html = await renderer.renderAsync(described === undefined ? markdown : withoutFences(described.content), env)
  return env.frontmatter?.["search"] === false ? "" : html
}

export const search: DefaultTheme.LocalSearchOptions & { readonly provider: "local" } & {
  readonly options: DefaultTheme.LocalSearchOptions
} = {
  provider: "local",
  options: {
    _render: render,
    miniSearch: {
      searchOptions: {
        // It runs in the page, so it knows nothing but its arguments: guides first, then packages, the reference, tables last.
        boostDocument: (id: string) =>
          id.startsWith("/docs/guides/")
            ? 2
            : /\/(?:[A-Z]+|renames)\.html/.test(id)
            ? 0.2
            : id.startsWith("/reference/")
            ? 0.5
            : 1
      }
    }
  }
}
