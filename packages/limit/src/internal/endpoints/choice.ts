import type { Endpoint } from "./endpoint.ts"
import type { Measure } from "./measure.ts"
import type { Group, Spread } from "./spread.ts"
import { weightOf } from "./spread.ts"

/** A number from 0 to 1, without 1. */
export type Draw = () => number

/** One of the groups, by their shares. Draws nothing where one has all calls. */
export const groupOf = ({ groups }: Spread, draw: Draw): Group | undefined => {
  const [first] = groups
  if (first === undefined || first.share === 1) return first
  let left = draw()
  for (const group of groups) {
    left -= group.share
    if (left < 0) return group
  }
  // Shares are sums of fractions.
  return groups.findLast(({ share }) => share > 0)
}

/**
 * The less loaded of two that chance chooses, by weight: "power of two choices" (Mitzenmacher, 2001). Where both are equally
 * loaded it is the first of them, so that addresses without load get calls by their weights.
 */
export const lessLoadedOfTwo = (
  endpoints: ReadonlyArray<Endpoint>,
  measure: Measure,
  now: number,
  draw: Draw
): Endpoint | undefined => {
  if (endpoints.length < 2) return endpoints[0]
  const weight = weightOf(endpoints)
  const first = drawn(endpoints, weight, draw, undefined)
  if (first === undefined) return undefined
  const second = drawn(endpoints, weight - first.weight, draw, first) ?? first
  return loadOf(second, measure, now) < loadOf(first, measure, now) ? second : first
}

const loadOf = (endpoint: Endpoint, measure: Measure, now: number): number =>
  measure.load(endpoint, endpoint.inFlight / endpoint.weight, now)

const drawn = (
  endpoints: ReadonlyArray<Endpoint>,
  weight: number,
  draw: Draw,
  except: Endpoint | undefined
): Endpoint | undefined => {
  let left = draw() * weight
  let last: Endpoint | undefined
  for (const endpoint of endpoints) {
    if (endpoint === except) continue
    left -= endpoint.weight
    if (left < 0) return endpoint
    last = endpoint
  }
  return last
}
