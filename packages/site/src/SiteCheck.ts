/**
 * Checks the built site: each link and picture leads to a file of it, each anchor to a heading of that page, and no page loads anything from
 * elsewhere. Addresses of other hosts are not asked.
 */
import { posix } from "node:path"

/** The files of a site by their path, relative to its root; the text of a page, and an empty text for what is no page. */
export type Site = ReadonlyMap<string, string>

const attributes = (html: string, name: string): ReadonlyArray<string> =>
  [...html.matchAll(new RegExp(`<[a-z][^>]*?\\s${name}="([^"]*)"`, "g"))].map(([, value = ""]) =>
    value.replaceAll("&amp;", "&")
  )

const isForeign = (address: string): boolean => /^(?:[a-z][a-z\d+.-]*:|\/\/)/i.test(address)

interface Heading {
  readonly level: number
  readonly text: string
}

const headings = (html: string): ReadonlyArray<Heading> =>
  [...html.matchAll(/<h([1-6]) id="[^"]*" tabindex="-1">(.*?) ?<a class="header-anchor"/g)].map((
    [, level, text = ""]
  ) => ({ level: Number(level), text: text.replace(/<[^>]*>/g, "").trim() }))

/** The headings of a page, each after those that it stands below. */
const places = (html: string): ReadonlyArray<string> => {
  const above: Array<string> = []
  return headings(html).map(({ level, text }) => {
    above.length = Math.min(above.length, level - 1)
    above[level - 1] = text
    return above.filter((part) => part !== undefined).join(" > ")
  })
}

/** The title of a page, which search shows. */
const titleOf = (html: string): string => headings(html)[0]?.text ?? ""

const repeated = (values: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(values.filter((value, i) => values.indexOf(value) < i))
]

const fileOf = (site: Site, page: string, path: string): string | undefined => {
  const file = path === "" ? page : posix.resolve(`/${posix.dirname(page)}`, decodeURI(path)).slice(1)
  return [file, posix.join(file, "index.html")].find((candidate) => site.has(candidate))
}

/** What is wrong with a site, one line each. */
export const faults = (site: Site): ReadonlyArray<string> => {
  const pages = [...site].filter(([file]) => file.endsWith(".html"))
  const ids = new Map(pages.map(([file, html]) => [file, new Set(attributes(html, "id"))]))
  const found = pages.flatMap(([page, html]) => {
    const links = [...new Set(attributes(html, "href"))].filter((href) => !isForeign(href))
    const dead = links.flatMap((href) => {
      const [path = "", anchor = ""] = href.split("#")
      const file = fileOf(site, page, path)
      if (file === undefined) return [`${page} links to ${href}, which is no file`]
      const lacks = anchor !== "" && file.endsWith(".html") && ids.get(file)?.has(decodeURIComponent(anchor)) !== true
      return lacks ? [`${page} links to ${href}, which is no heading`] : []
    })
    const loaded = [...attributes(html, "src"), ...attributes(html.replaceAll(/<a\s[^>]*>/g, ""), "href")]
    const missing = [...new Set(loaded)].flatMap((address) => {
      if (address.startsWith("data:")) return []
      if (isForeign(address)) return [`${page} loads ${address} from elsewhere`]
      return fileOf(site, page, address.split("#")[0] ?? "") === undefined
        ? [`${page} loads ${address}, which is no file`]
        : []
    })
    const twice = repeated(places(html)).map((heading) => `${page} has the heading "${heading}" twice`)
    return [...new Set([...dead, ...missing])].concat(twice)
  })
  const titles = pages.map(([, html]) => titleOf(html)).filter((title) => title !== "")
  return [...found, ...repeated(titles).map((title) => `two pages have the title "${title}"`)]
}
