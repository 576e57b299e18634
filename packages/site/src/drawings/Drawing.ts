/** What the drawings of guides have in common: their sizes, their colours, and the block of a page that shows one. */
import { escape } from "../../../lab/src/internal/markup.ts"
import { palette } from "../../../lab/src/internal/palette.ts"

export const themes = ["light", "dark"] as const

/** A phone's column of text is at least 312 pixels wide. Text has the same size in both. */
export const widths = { wide: 720, narrow: 312 } as const

export type Width = keyof typeof widths

export interface Drawing {
  readonly title: string
  /** What a reader without the picture is told. */
  readonly alternative: string
  readonly draw: (width: Width) => { readonly height: number; readonly shapes: ReadonlyArray<string> }
}

const rules =
  "text{font:13px system-ui,sans-serif;fill:var(--quiet)}.name{fill:var(--ink);font-weight:600}.band{fill:var(--sent);font-weight:600}" +
  ".paper{fill:var(--paper)}.line{fill:none;stroke:var(--grid)}" +
  ".box{fill:var(--paper);stroke:var(--grid);stroke-width:1.5}.tint{fill:var(--sent);fill-opacity:.07}" +
  ".part{stroke:var(--good);stroke-width:2.5}.extra{stroke:var(--quiet);stroke-width:2.5;stroke-dasharray:3 3}" +
  ".pill{fill:var(--good);fill-opacity:.13;stroke:var(--good)}"

export const text = (x: number, y: number, words: string, kind?: "name" | "band"): string =>
  `<text${kind === undefined ? "" : ` class="${kind}"`} x="${x}" y="${y}">${escape(words)}</text>`

export const svg = ({ alternative, draw, title }: Drawing, width: Width, theme: typeof themes[number]): string => {
  const { height, shapes } = draw(width)
  const pixels = widths[width]
  return `<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 ${pixels} ${height}" width="${pixels}" height="${height}">` +
    `<title>${escape(title)}</title><desc>${escape(alternative)}</desc><style>svg{${palette[theme]}}${rules}</style>` +
    `<rect class="paper" width="${pixels}" height="${height}"/>${shapes.join("")}</svg>\n`
}

export const fileName = (slug: string, width: Width, theme: typeof themes[number]): string =>
  `${slug}${width === "narrow" ? "-narrow" : ""}-${theme}.svg`

/** How a page below `docs` shows it, beside `folder`. */
export const block = (slug: string, { alternative }: Drawing, folder: string): string => {
  const source = (width: Width, theme: typeof themes[number], conditions: ReadonlyArray<string>) => {
    const media = `media="${conditions.map((each) => `(${each})`).join(" and ")}"`
    const file = `srcset="${folder}${fileName(slug, width, theme)}"`
    const line = `  <source ${media} ${file}>`
    // As dprint wraps it.
    return line.length <= 120 ? line : `  <source\n    ${media}\n    ${file}\n  >`
  }
  const [small, dark] = ["max-width: 767px", "prefers-color-scheme: dark"]
  return [
    "<picture>",
    source("narrow", "dark", [small, dark]),
    source("narrow", "light", [small]),
    source("wide", "dark", [dark]),
    "  <img",
    `    src="${folder}${fileName(slug, "wide", "light")}"`,
    `    alt="${escape(alternative)}"`,
    "  >",
    "</picture>"
  ].join("\n")
}
