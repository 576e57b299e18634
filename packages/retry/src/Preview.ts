/**
 * Shows what a policy does before it does it: how long a call waits that fails every time.
 *
 * **Example** (A table)
 *
 * ```ts import.meta.vitest
 * import { Preview, RetryPolicy } from "@effect-resilience/retry"
 *
 * const [head, first] = Preview.table(Preview.make(RetryPolicy.basic)).split("\n")
 * head // => "retry  min  5 %  25 %  median  75 %  95 %  max  made"
 * first // => "1       1s   1s    1s      1s    1s    1s   1s  100%"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type { Kind } from "@effect-resilience/errors/Recovery"
import { requireArgument } from "@effect-resilience/kernel/Argument"
import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Backoff from "./Backoff.ts"
import { begin, next } from "./internal/delays.ts"
import type { Kinds } from "./internal/policy.ts"
import { fields } from "./internal/policy.ts"

/**
 * How a length of time is distributed over the samples. `histogram` counts them in equal bins from zero to the preview's
 * `scale`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Distribution {
  /** The shortest. */
  readonly min: Duration.Duration
  /** One of twenty is at most this long. */
  readonly p5: Duration.Duration
  /** One of four is at most this long. */
  readonly p25: Duration.Duration
  /** Half are at most this long. */
  readonly median: Duration.Duration
  /** Three of four are at most this long. */
  readonly p75: Duration.Duration
  /** 19 of twenty are at most this long. */
  readonly p95: Duration.Duration
  /** The longest. */
  readonly max: Duration.Duration
  readonly histogram: ReadonlyArray<number>
}

/**
 * How long the calls of a policy wait, by simulated calls.
 *
 * - `retries.made`: the share of calls that come to this retry, from 0 to 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Preview {
  /** How many calls were simulated. */
  readonly samples: number
  /** What their delays were drawn from. */
  readonly seed: string | number
  /** The longest single wait. */
  readonly scale: Duration.Duration
  /**
   * For each retry, the wait before it, and the share of calls that come so far within the policy's `maxDuration`. Attempts
   * themselves take no time here. At most 24 retries are shown.
   */
  readonly retries: ReadonlyArray<Distribution & { readonly made: number }>
  /** All waits of a call together. */
  readonly total: Distribution
}

/**
 * What of a policy decides how long its calls wait.
 *
 * @category models
 * @since 0.1.0
 */
export interface Waits {
  /** Retries at most. */
  readonly times: number
  /** The delays between attempts. */
  readonly backoff: Backoff.Options
  /** No retry starts later than this after the call began. */
  readonly maxDuration: Duration.Input
  /** What differs by the kind of failure; nothing by default. */
  readonly kinds?: Kinds | undefined
}

/**
 * Plays a policy many times. The same seed gives the same preview.
 *
 * - `samples`: how many calls; default 10,000.
 * - `seed`: default 1.
 * - `kind`: of which kind all failures are; default `"transient"`. None is `expired` unless the policy names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  policy: Waits,
  options: {
    readonly samples?: number | undefined
    readonly seed?: string | number | undefined
    readonly kind?: Kind | undefined
  } = {}
): Preview => {
  const { kind = "transient", samples = 10_000, seed = 1 } = options
  requireArgument(samples > 0 && Number.isInteger(samples), "Preview.samples", "an integer of at least 1", samples)
  const random = Effect.runSync(Random.withSeed(Effect.service(Random.Random), seed))
  const { backoff, times } = ofKind(policy, kind)
  const limit = Duration.toMillis(Field.duration().read(policy.maxDuration, "Preview.maxDuration"))
  const waits: Array<Array<number>> = []
  const totals: Array<number> = []
  for (let sample = 0; sample < samples; sample++) {
    const position = begin()
    let total = 0
    while (position.retries < Math.min(times, longest)) {
      const retry = position.retries
      const wait = next(backoff.draw, position, () => random.nextDoubleUnsafe())
      if (total + wait > limit) break
      total += wait
      ;(waits[retry] ??= []).push(wait)
    }
    totals.push(total)
  }
  const rows = waits.map(ascending)
  const scale = Math.max(0, ...rows.map(last))
  return {
    samples,
    seed,
    scale: Duration.millis(scale),
    retries: rows.map((row) => ({ ...distribution(row, scale), made: row.length / samples })),
    total: distribution(ascending(totals))
  }
}

const ofKind = (policy: Waits, kind: Kind) => {
  const settings = fields.kinds.read(policy.kinds, "Preview.kinds")?.[kind]
  return {
    times: Math.min(policy.times, settings?.times ?? (kind === "expired" ? 0 : Infinity)),
    backoff: settings?.backoff ?? Backoff.field.read(policy.backoff, "Preview.backoff")
  }
}

/**
 * The preview as a table of plain text: one line a retry, and the total.
 *
 * @category rendering
 * @since 0.1.0
 */
export const table = (preview: Preview): string => {
  const line = (name: string, row: Distribution, made: string) => [
    name,
    ...[row.min, row.p5, row.p25, row.median, row.p75, row.p95, row.max].map(short),
    made
  ]
  const lines = [
    ["retry", "min", "5 %", "25 %", "median", "75 %", "95 %", "max", "made"],
    ...preview.retries.map((row, index) => line(String(index + 1), row, `${Math.round(row.made * 100)}%`)),
    line("total", preview.total, "")
  ]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0))) ?? []
  return lines.map((cells) =>
    cells.map((cell, column) => column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))
      .join("  ")
  ).join("\n")
}

/**
 * The waits as a plot for a terminal: one line a retry, the time from left to right, the height of a block for how many
 * calls wait so long.
 *
 * @category rendering
 * @since 0.1.0
 */
export const plot = (preview: Preview): string => {
  const lines = preview.retries.map((row, index) =>
    `${String(index + 1).padStart(5)} │${blocks(row.histogram)}│ median ${short(row.median)}`
  )
  const end = short(preview.scale)
  return [...lines, `      └${"─".repeat(bins)}┘`, `       0${end.padStart(bins - 1)}`].join("\n")
}

/**
 * The waits as a picture: an SVG document of its own that follows the reader's light or dark scheme.
 *
 * @category rendering
 * @since 0.1.0
 */
export const svg = (preview: Preview, title: string): string => {
  const rowHeight = 44
  const width = 720
  const left = 60
  const plotWidth = width - left - 110
  const top = 56
  const height = top + preview.retries.length * rowHeight + 40
  const scale = Duration.toMillis(preview.scale) || 1
  const x = (duration: Duration.Duration) => left + Duration.toMillis(duration) / scale * plotWidth
  const rows = preview.retries.map((row, index) => {
    const base = top + (index + 1) * rowHeight - 8
    const highest = Math.max(...row.histogram)
    const area = row.histogram.map((count, bin) => {
      const y = base - count / highest * (rowHeight - 14)
      return `${fixed(left + bin / bins * plotWidth)},${fixed(y)} ${fixed(left + (bin + 1) / bins * plotWidth)},${
        fixed(y)
      }`
    }).join(" ")
    const median = fixed(x(row.median))
    return [
      `<text class="label" x="${left - 10}" y="${base - 4}" text-anchor="end">${index + 1}</text>`,
      `<polygon points="${left},${base} ${area} ${left + plotWidth},${base}"/>`,
      `<line class="median" x1="${median}" x2="${median}" y1="${base - rowHeight + 14}" y2="${base}"/>`,
      `<text x="${left + plotWidth + 10}" y="${base - 4}">${escape(short(row.median))}</text>`
    ].join("\n")
  })
  const foot = top + preview.retries.length * rowHeight + 12
  const total = `waits in all: median ${short(preview.total.median)}, 95 % ${short(preview.total.p95)}, ` +
    `at most ${short(preview.total.max)}`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escape(title)}</title>
<style>
svg { font: 13px system-ui, sans-serif; --ink: #1f2933; --soft: #9aa5b1; --fill: #7aa7e0; --paper: #ffffff }
@media (prefers-color-scheme: dark) { svg { --ink: #e4e7eb; --soft: #7b8794; --fill: #3f6fb0; --paper: #16191d } }
rect { fill: var(--paper) } text { fill: var(--ink) } polygon { fill: var(--fill) }
.label, .axis { fill: var(--soft) } .median { stroke: var(--ink); stroke-width: 1.5 } .base { stroke: var(--soft) }
</style>
<rect width="${width}" height="${height}"/>
<text x="${left}" y="24" font-weight="600">${escape(title)}</text>
<text class="axis" x="${left}" y="42">${escape(total)}</text>
${rows.join("\n")}
<line class="base" x1="${left}" x2="${left + plotWidth}" y1="${foot - 10}" y2="${foot - 10}"/>
<text class="axis" x="${left}" y="${foot + 8}">0</text>
<text class="axis" x="${left + plotWidth}" y="${foot + 8}" text-anchor="end">${escape(short(preview.scale))}</text>
</svg>
`
}

// What a policy without end shows.
const longest = 24

const bins = 60

const ascending = (values: ReadonlyArray<number>): ReadonlyArray<number> => values.toSorted((a, b) => a - b)

const last = (sorted: ReadonlyArray<number>): number => sorted.at(-1) ?? 0

const distribution = (sorted: ReadonlyArray<number>, scale: number = last(sorted)): Distribution => {
  const quantile = (q: number) => Duration.millis(sorted[Math.round((sorted.length - 1) * q)] ?? 0)
  const bin = (value: number) => scale === 0 ? 0 : Math.min(bins - 1, Math.floor(value / scale * bins))
  const histogram = Array.from({ length: bins }, (_, index) => sorted.filter((value) => bin(value) === index).length)
  return {
    min: quantile(0),
    p5: quantile(0.05),
    p25: quantile(0.25),
    median: quantile(0.5),
    p75: quantile(0.75),
    p95: quantile(0.95),
    max: quantile(1),
    histogram
  }
}

const blocks = (histogram: ReadonlyArray<number>): string => {
  const highest = Math.max(...histogram)
  return histogram.map((count) => " ▁▂▃▄▅▆▇█".charAt(Math.ceil(count / highest * 8))).join("")
}

// Three digits are all that a sample can tell.
const short = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis < 1000) return `${millis}ms`
  if (millis < 60_000) return `${Number((millis / 1000).toPrecision(3))}s`
  return `${Number((millis / 60_000).toPrecision(3))}min`
}

const fixed = (value: number): string => value.toFixed(1).replace(/\.0$/, "")

const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
