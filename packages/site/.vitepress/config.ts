import { fileURLToPath } from "node:url"
import { defineConfig } from "vitepress"
import { root } from "../../repo-checks/src/Workspace.ts"
import { links } from "../src/links.ts"
import { navigation } from "../src/navigation.ts"
import { rewrite } from "../src/Pages.ts"
import { pictures, style } from "../src/pictures.ts"
import { search } from "../src/search.ts"
import { slug } from "../src/Slug.ts"

export default defineConfig({
  title: "effect-resilience",
  description: "Keeps calls to an unreliable API alive, for TypeScript backends on Effect",
  lang: "en",
  head: [["link", { rel: "icon", href: "data:," }], ["style", {}, style]],
  // Markdown stays where a forge shows it.
  srcDir: root,
  srcExclude: [
    ".*/**",
    "scratch/**",
    "packages/*/{api,CHANGELOG}.md",
    "packages/*/{src,test,fixtures,scratch,playground}/**"
  ],
  rewrites: rewrite,
  outDir: fileURLToPath(new URL("../dist", import.meta.url)),
  cacheDir: fileURLToPath(new URL("../dist/.cache", import.meta.url)),
  markdown: {
    anchor: { slugify: slug },
    config: (markdown) => {
      links(markdown)
      pictures(markdown)
    }
  },
  // The index of the search is large, and loaded when someone searches.
  vite: { publicDir: false, build: { chunkSizeWarningLimit: 3000 } },
  themeConfig: {
    search,
    outline: { level: [2, 3] },
    ...navigation
  }
})
