/** The worlds around a scenario, by load and length of the outage, and the boundary of recovery among them. */
import type { Facts, World } from "./protocol.ts"
import type { Lane } from "./scenario.ts"

/** How long a world is looked at after its outage, and how much of that must be well, in seconds. */
export const watched = 60

export const window = 10

const loads = [10, 20, 30, 40, 50, 60, 70, 80, 90]

const lengths = [1, 2, 5, 10, 20]

/** The loads in percent and the lengths in seconds that are tried; the scenario's own are among them. */
export interface Axes {
  readonly load: number
  readonly length: number
  readonly loads: ReadonlyArray<number>
  readonly lengths: ReadonlyArray<number>
}

const withOwn = (values: ReadonlyArray<number>, own: number): ReadonlyArray<number> =>
  [...new Set([...values, own])].toSorted((a, b) => a - b)

/** The axes, or why there is no map. */
export const axesOf = (world: World, { capacity, offered, outages }: Facts): Axes | string => {
  const [outage, second] = outages
  if (outage === undefined) return "There is no map: without an outage there is nothing to recover from."
  if (second !== undefined) return "There is no map: it is drawn for one outage, and this world has several."
  if (!("open" in world.arrivals)) return "There is no map: it is drawn for calls that come at a rate."
  const load = Math.round(offered / capacity * 100)
  const length = outage.to - outage.from
  return { load, length, loads: withOwn(loads, load), lengths: withOwn(lengths, length) }
}

export const points = (axes: Axes): ReadonlyArray<{ readonly load: number; readonly length: number }> =>
  axes.lengths.flatMap((length) => axes.loads.map((load) => ({ load, length })))

export const key = (lane: Lane, load: number, length: number): string => `${lane} ${load} ${length}`

/** The world at another load and with an outage of another length. */
export const elsewhere = (world: World, { capacity, outages }: Facts, load: number, length: number): World => ({
  ...world,
  arrivals: { open: { perSecond: capacity * load / 100 } },
  duration: `${(outages[0]?.from ?? 0) + length + watched} seconds`,
  outages: [world.outages ?? []].flat().map((outage) => ({ ...outage, for: `${length} seconds` }))
})

/**
 * Where the boundary runs through the row and the column of the scenario, in a sentence. `recovered` has the seconds, `null` for never,
 * and nothing where that is not known yet.
 */
export const boundary = (
  { length, lengths, load, loads }: Axes,
  recovered: (load: number, length: number) => number | null | undefined
): string => {
  const column = lengths.map((length) => recovered(load, length))
  const row = loads.map((load) => recovered(load, length))
  if ([...column, ...row].includes(undefined)) return ""
  return `At a load of ${load} %, ${side(column, lengths, "s", "outage")}. After an outage of ${length} s, ${
    side(row, loads, "%", "load")
  }.`
}

const side = (
  recovered: ReadonlyArray<number | null | undefined>,
  values: ReadonlyArray<number>,
  unit: string,
  what: string
): string => {
  const first = recovered.indexOf(null)
  if (first === -1) return `calls succeed again ${what === "load" ? "at any load" : "after any outage"} on this map`
  const last = values[first - 1]
  return last === undefined
    ? `calls never succeed again ${what === "load" ? "at any load" : "after any outage"} on this map`
    : what === "load"
    ? `calls succeed again up to a load of ${last} ${unit}, and at ${values[first]} ${unit} never`
    : `calls succeed again after ${last} ${unit} of outage, and after ${values[first]} ${unit} never`
}
