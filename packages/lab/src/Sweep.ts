/**
 * Many simulations: policies, outages, loads, processes and seeds against each other, as a table.
 *
 * **When to use**
 *
 * Use `run` anywhere. Where there are threads, `@effect-resilience/lab/SweepThreads` runs the same cells on several of them.
 *
 * **Example** (Two policies in two outages)
 *
 * ```ts import.meta.vitest
 * import { Outages, Sweep } from "@effect-resilience/lab"
 * import { Pipeline } from "@effect-resilience/pipeline"
 *
 * const cells = Sweep.cells({
 *   world: {
 *     arrivals: { open: { perSecond: 14 } },
 *     server: { workers: 2, serviceTime: { exponential: "100 millis" } }
 *   },
 *   policies: {
 *     plain: { name: "ledger", attemptTimeout: "1 second" },
 *     standard: { ...Pipeline.standard, name: "ledger", attemptTimeout: "1 second" }
 *   },
 *   outages: { short: Outages.standard.down }
 * })
 * Sweep.run(cells).map(({ key, verdict }) => `${key}: ${verdict.passes ? "no storm" : "storm"}`)
 * // => ["plain · short · 1 · seed 0: no storm", "standard · short · 1 · seed 0: no storm"]
 * ```
 *
 * @stability experimental, rests on effect/http
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Lab from "./Lab.ts"
import type * as LabResult from "./LabResult.ts"
import * as Outages from "./Outages.ts"
import * as Verdict from "./Verdict.ts"

/**
 * A simulation that is data altogether, so that a thread or a file can take it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Data extends Omit<Lab.Options, "policy" | "tiers" | "others"> {
  /** The policies as a description; none by default. */
  readonly policy?: Lab.PolicyData
}

/**
 * A cell: a simulation, what is expected of it, and its name in the table.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cell {
  /** Names the cell in the table; unique. */
  readonly key: string
  /** The simulation. */
  readonly options: Data
  /** What is expected of it. */
  readonly expectation: Verdict.Expectation
}

/**
 * What a cell came to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  /** The key of the cell. */
  readonly key: string
  /** The numbers of the whole simulation. */
  readonly total: LabResult.Counts
  /** How long good calls took. */
  readonly latency: LabResult.Latency
  /** Whether it was as expected. */
  readonly verdict: Verdict.Verdict
}

/**
 * What to vary. The cells are all combinations.
 *
 * @category models
 * @since 0.1.0
 */
export interface Variation {
  /** What they share. */
  readonly world: Omit<Data, "policy" | "duration" | "outages" | "processes" | "seed">
  /** By names for them. */
  readonly policies: { readonly [name: string]: Lab.PolicyData }
  /** By names for them; default `Outages.standard`. */
  readonly outages?: { readonly [name: string]: Outages.Known } | undefined
  /** Default 1. */
  readonly processes?: ReadonlyArray<number> | undefined
  /** Default 0. */
  readonly seeds?: ReadonlyArray<number> | undefined
  /** Default that of `Verdict.judge`; each outage says itself within what time calls should succeed again. */
  readonly expectation?: Omit<Verdict.Expectation, "recoverWithin"> | undefined
}

/**
 * All combinations.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cells = (
  { expectation = {}, outages = Outages.standard, policies, processes = [1], seeds = [0], world }: Variation
): ReadonlyArray<Cell> =>
  Object.entries(policies).flatMap(([policyName, policy]) =>
    Object.entries(outages).flatMap(([outageName, outage]) =>
      processes.flatMap((processes) =>
        seeds.map((seed): Cell => ({
          key: `${policyName} · ${outageName} · ${processes} · seed ${seed}`,
          options: { ...world, ...Outages.during(outage), policy, processes, seed },
          expectation: { ...expectation, recoverWithin: outage.within }
        }))
      )
    )
  )

/**
 * Runs one cell.
 *
 * @category running
 * @since 0.1.0
 */
export const runCell = ({ expectation, key, options }: Cell): Row => {
  const result = Lab.simulate(options)
  const { latency, total } = result
  return { key, total, latency, verdict: Verdict.judge(result, expectation) }
}

/**
 * Runs cells one after the other, in this thread.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (cells: ReadonlyArray<Cell>): ReadonlyArray<Row> => cells.map(runCell)

/**
 * Rows as a table in Markdown, one line a cell.
 *
 * @category formatting
 * @since 0.1.0
 */
export const table = (rows: ReadonlyArray<Row>): string => {
  const lines = rows.map(({ key, latency, total, verdict }) => [
    key,
    (100 * total.good / Math.max(1, total.offered)).toFixed(1),
    Math.max(0, ...verdict.outages.map(({ amplification }) => amplification)).toFixed(2),
    verdict.outages.some(({ recoveredMillis }) => recoveredMillis === undefined)
      ? "never"
      : Duration.format(
        Duration.millis(Math.max(0, ...verdict.outages.map(({ recoveredMillis = 0 }) => recoveredMillis)))
      ),
    latency.p99.toFixed(0),
    verdict.passes ? "" : "storm"
  ])
  const all = [["cell", "good %", "requests a call", "recovers in", "p99 ms", ""], ...lines]
  const widths = all[0]?.map((_, column) => Math.max(3, ...all.map((line) => line[column]?.length ?? 0))) ?? []
  const written = all.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`)
  return [written[0], `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...written.slice(1)].join("\n")
}
