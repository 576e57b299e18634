import type { MarkdownRenderer } from "vitepress"

const darkly = /(?: and )?\(prefers-color-scheme: dark\)/

const sources = /\s*<source\s+media="([^"]*)"\s+srcset="([^"]*)"\s*>/g

/** Shows the picture of the theme that the reader has chosen. */
export const style = "html:not(.dark) .in-dark,html.dark .in-light{display:none}"

/**
 * A picture for light and dark as two pictures, of which `style` shows one. A forge follows the reader's system; the site
 * has a switch of its own, of which no media query knows.
 */
export const themed = (html: string): string =>
  html.replace(/<picture>[^]*?<\/picture>/g, (picture) => {
    if (!darkly.test(picture)) return picture
    let always: string | undefined
    const light = picture.replace(sources, (source, media: string) => darkly.test(media) ? "" : source)
    const dark = picture.replace(sources, (source, media: string, file: string) => {
      if (media.replace(darkly, "") === "") always = file
      return media.replace(darkly, "") === "" || !darkly.test(media) ? "" : source.replace(darkly, "")
    })
    const lazy = (one: string) => one.replace("<img", "<img loading=\"lazy\"")
    return lazy(light).replace("<picture>", "<picture class=\"in-light\">") +
      lazy(dark).replace("<picture>", "<picture class=\"in-dark\">").replace(/(\ssrc=")[^"]*/, `$1${always ?? ""}`)
  })

/** Lets the pictures of a page follow the switch of the site. */
export const pictures = (markdown: MarkdownRenderer): void => {
  markdown.core.ruler.push("pictures-by-theme", (state) => {
    for (const token of state.tokens) if (token.type === "html_block") token.content = themed(token.content)
  })
}
