/**
 * Draws a simulation as SVG: what callers asked, what was sent, what came back well, the outage, and the states of breakers.
 *
 * **Details**
 *
 * A pure function from numbers to text, for files, reports and pages. Its colours follow the reader's light or dark theme.
 *
 * **Example** (A picture for a report)
 *
 * ```ts import.meta.vitest
 * import { Chart, Lab } from "@effect-resilience/lab"
 *
 * const { seconds } = Lab.simulate({
 *   duration: "1 minute",
 *   arrivals: { open: { perSecond: 50 } },
 *   server: { workers: 20, serviceTime: { exponential: "100 millis" } },
 *   outages: [{ from: "20 seconds", for: "10 seconds", fault: "down" }]
 * })
 * const svg = Chart.svg({ title: "No policy", seconds, capacity: 200, outages: [{ from: 20, to: 30 }] })
 * svg.startsWith("<svg") // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */

import { escape } from "./internal/markup.ts"
import { palette } from "./internal/palette.ts"

/**
 * What is drawn.
 *
 * - `outages.from`: when it began, in seconds from the start.
 * - `outages.to`: when it ended, in seconds from the start.
 *
 * @category models
 * @since 0.1.0
 */
export interface Data {
  /** What the picture is called, also by screen readers. */
  readonly title: string
  /** What the picture shows, in a sentence. */
  readonly summary?: string | undefined
  /** The numbers of each second. */
  readonly seconds: ReadonlyArray<Second>
  /** Requests that the server can serve in a second; a line where it is given. */
  readonly capacity?: number | undefined
  /** When outages were, in seconds from the start. */
  readonly outages?: ReadonlyArray<{ readonly from: number; readonly to: number }> | undefined
}

/**
 * The numbers of a second that are drawn.
 *
 * @category models
 * @since 0.1.0
 */
export interface Second {
  /** Calls that began. */
  readonly offered: number
  /** Requests that were sent for them. */
  readonly sent: number
  /** Calls that ended well. */
  readonly good: number
  /** The share of processes whose breaker is not closed, from 0 to 1, where there are breakers. */
  readonly open?: number | undefined
}

/**
 * How it is drawn.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** In pixels, at least 240; default 720. */
  readonly width?: number | undefined
  /** In pixels, at least 120; default 200. The states of breakers add 20. */
  readonly height?: number | undefined
  /**
   * The number at the upper end of the axis, where pictures are to be compared; default is the largest of the picture's own.
   */
  readonly top?: number | undefined
  /** `"light"` or `"dark"`; by default the reader's. */
  readonly theme?: "light" | "dark" | undefined
  /** `false` leaves the colours out, for a page that has `Chart.style` among its own. */
  readonly style?: boolean | undefined
}

const rules = [
  ".chart{font:12px system-ui,sans-serif}",
  ".chart text{fill:var(--quiet)}.chart .name{fill:var(--ink);font-weight:600}",
  ".chart .paper{fill:var(--paper)}.chart .grid{stroke:var(--grid)}.chart .outage{fill:var(--outage)}",
  ".chart .good{fill:var(--good);fill-opacity:.25;stroke:var(--good);stroke-width:1.5}",
  ".chart .sent{fill:none;stroke:var(--sent);stroke-width:1.5}",
  ".chart .offered{fill:none;stroke:var(--quiet);stroke-dasharray:2 3}",
  ".chart .capacity{stroke:var(--ink);stroke-dasharray:6 4}",
  ".chart .open{fill:var(--open)}.chart .ribbon{fill:none;stroke:var(--grid)}"
].join("")

/**
 * The colours and lines of pictures that have no style of their own.
 *
 * @category drawing
 * @since 0.1.0
 */
export const style: string = `:root{${palette.light}}@media(prefers-color-scheme:dark){:root{${palette.dark}}}${rules}`

const themes = { light: `.chart{${palette.light}}${rules}`, dark: `.chart{${palette.dark}}${rules}` }

const margin = { left: 56, right: 12, top: 26, bottom: 24 }

/** In pixels. */
const ribbonHeight = 20

/**
 * A picture as SVG. All text in it is escaped.
 *
 * @category drawing
 * @since 0.1.0
 */
export const svg = (data: Data, options: Options = {}): string => {
  const width = Math.max(240, Math.round(options.width ?? 720))
  const height = Math.max(120, Math.round(options.height ?? 200))
  const ribbon = data.seconds.some((second) => second.open !== undefined)
  const whole = height + (ribbon ? ribbonHeight : 0)
  const top = options.top ?? highest(data)
  const right = width - margin.right
  const bottom = height - margin.bottom
  const length = Math.max(1, data.seconds.length)
  const x = (second: number) => round(margin.left + (right - margin.left) * Math.min(second, length) / length)
  const y = (value: number) => round(bottom - (bottom - margin.top) * Math.min(value, top) / top)
  const line = (value: (second: Second) => number) =>
    data.seconds.map((second, index) => `${index === 0 ? "M" : "L"}${x(index + 0.5)} ${y(value(second))}`).join("")
  const good = line((second) => second.good)
  const end = x(length - 0.5)

  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" viewBox="0 0 ${width} ${whole}" width="${width}" height="${whole}">`,
    `<title>${escape(data.title)}</title>`,
    data.summary === undefined ? "" : `<desc>${escape(data.summary)}</desc>`,
    options.style === false ? "" : `<style>${options.theme === undefined ? style : themes[options.theme]}</style>`,
    `<rect class="paper" width="${width}" height="${whole}"/>`,
    ...(data.outages ?? []).map(({ from, to }) =>
      `<rect class="outage" x="${x(from)}" y="${margin.top}" width="${round(x(to) - x(from))}" height="${
        bottom - margin.top
      }"/>`
    ),
    ...ticks(top, Math.min(4, height / 45)).map((tick) =>
      `<line class="grid" x1="${margin.left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}"/>` +
      `<text x="${margin.left - 6}" y="${round(y(tick) + 4)}" text-anchor="end">${number(tick)}</text>`
    ),
    ...ticks(length, Math.max(2, Math.floor(width / 110))).map((tick) =>
      `<text x="${x(tick)}" y="${bottom + 16}" text-anchor="${tick === length ? "end" : "middle"}">${tick} s</text>`
    ),
    `<path class="good" d="${good}L${end} ${y(0)}L${x(0.5)} ${y(0)}Z"/>`,
    `<path class="offered" d="${line((second) => second.offered)}"/>`,
    `<path class="sent" d="${line((second) => second.sent)}"/>`,
    data.capacity === undefined || data.capacity > top ? "" : capacityLine(right, y(data.capacity), data.capacity),
    legend(data),
    ribbon ? ribbonOf(data.seconds, x, bottom + 24, right) : "",
    "</svg>"
  ].join("")
}

const capacityLine = (right: number, y: number, capacity: number): string =>
  `<line class="capacity" x1="${margin.left}" x2="${right}" y1="${y}" y2="${y}"/>` +
  `<text class="name" x="${right}" y="${round(y - 4)}" text-anchor="end">capacity ${number(capacity)}</text>`

const legend = ({ outages = [] }: Data): string => {
  const entries = [["offered", "calls", 56], ["sent", "with retries", 96], ["good", "succeed", 74]] as const
  let at = 8
  const marks = entries.map(([name, words, width]) => {
    const mark = `<path class="${name}" d="M${at} 12h14"/><text x="${at + 18}" y="16">${words}</text>`
    at += width
    return mark
  })
  const outage = `<rect class="outage" x="${at}" y="6" width="14" height="12"/><text x="${
    at + 18
  }" y="16">outage</text>`
  return `${marks.join("")}${outages.length === 0 ? "" : outage}`
}

/** Neighbours that look alike are one rectangle. */
const ribbonOf = (
  seconds: ReadonlyArray<Second>,
  x: (second: number) => number,
  y: number,
  right: number
): string => {
  const shades = seconds.map(({ open = 0 }) => Math.round(open * 10) / 10)
  const parts: Array<string> = []
  let told = false
  for (let from = 0, to = 1; from < shades.length; from = to++) {
    const shade = shades[from] ?? 0
    while (to < shades.length && shades[to] === shade) to++
    const width = round(x(to) - x(from))
    if (shade !== 0) {
      parts.push(`<rect class="open" x="${x(from)}" y="${y}" width="${width}" height="14" fill-opacity="${shade}"/>`)
    } else if (from > 0 && width > 100 && !told) {
      told = true
      parts.push(`<text x="${x(from) + 4}" y="${y + 11}">← calls rejected</text>`)
    }
  }
  return `${parts.join("")}<rect class="ribbon" x="${margin.left}" y="${y}" width="${
    right - margin.left
  }" height="14"/>` +
    `<text x="${margin.left - 6}" y="${y + 11}" text-anchor="end">breaker</text>`
}

const highest = ({ capacity = 0, seconds }: Data): number =>
  seconds.reduce((most, { offered, sent }) => Math.max(most, offered, sent), Math.max(1, capacity)) * 1.05

/** About so many round numbers from 0 to the end. */
const ticks = (end: number, count: number): ReadonlyArray<number> => {
  const rough = end / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 2.5, 5].find((factor) => factor * power >= rough) ?? 10) * power
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => Math.round(index * step * 1000) / 1000)
}

const number = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: 1 })

const round = (value: number): number => Math.round(value * 10) / 10
