import type { Endpoint } from "./endpoint.ts"

/** Addresses that stand for each other. */
export interface Group {
  /** Which part of all calls comes here. */
  readonly share: number
  readonly endpoints: ReadonlyArray<Endpoint>
}

export interface Spread {
  /** In the order in which they are tried: the own zone before the others, by priority. */
  readonly groups: ReadonlyArray<Group>
  /** Whether a priority is so unwell that all its addresses are used. */
  readonly panic: boolean
}

/** Envoy's overprovisioning factor: a level with five sevenths of its addresses still takes all calls. */
const overprovisioning = 1.4

/**
 * Which part of the calls goes to each priority, given the part of each that is healthy:
 * https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority
 */
export const priorityShares = (healthy: ReadonlyArray<number>): ReadonlyArray<number> => {
  const health = healthy.map((part) => Math.min(1, overprovisioning * part))
  const total = Math.min(1, health.reduce((sum, part) => sum + part, 0))
  let left = 1
  return health.map((part, i) => {
    const share = total === 0 ? (i === 0 ? 1 : 0) : Math.min(left, part / total)
    left -= share
    return share
  })
}

/**
 * Whether each priority uses all its addresses, healthy or not: the priorities together are too weak, and this one is below
 * the threshold. https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold
 */
export const panics = (healthy: ReadonlyArray<number>, threshold: number): ReadonlyArray<boolean> => {
  const total = healthy.reduce((sum, part) => sum + Math.min(1, overprovisioning * part), 0)
  return healthy.map((part) => total === 0 || (total < 1 && part < threshold))
}

/**
 * Which part of the calls stays in the caller's zone: as many as keep all addresses equally busy, if callers are spread evenly
 * over the zones. Envoy's zone aware routing, which knows where the callers are.
 */
export const zoneShare = (own: number, all: number, zones: number): number => Math.min(1, own / all * zones)

export const spread = (
  endpoints: ReadonlyArray<Endpoint>,
  zone: string | undefined,
  panicThreshold: number
): Spread => {
  const priorities = [...new Set(endpoints.map(({ priority }) => priority))].sort((a, b) => a - b)
  const levels = priorities.map((priority) => endpoints.filter((endpoint) => endpoint.priority === priority))
  const healthy = levels.map((members) => members.filter(({ isEjected }) => !isEjected))
  const parts = levels.map((members, i) => (healthy[i]?.length ?? 0) / members.length)
  const shares = priorityShares(parts)
  const panic = panics(parts, panicThreshold)
  const groups = levels.flatMap((members, i): ReadonlyArray<Group> => {
    const share = shares[i] ?? 0
    // Envoy does not look at zones in a panic either.
    if (panic[i] === true) return [{ share, endpoints: members }]
    return zone === undefined
      ? [{ share, endpoints: healthy[i] ?? [] }]
      : byZone(members, healthy[i] ?? [], zone, share)
  })
  return { groups: groups.filter(({ endpoints }) => endpoints.length > 0), panic: panic.includes(true) }
}

const byZone = (
  members: ReadonlyArray<Endpoint>,
  healthy: ReadonlyArray<Endpoint>,
  zone: string,
  share: number
): ReadonlyArray<Group> => {
  const own = healthy.filter((endpoint) => endpoint.zone === zone)
  const others = healthy.filter((endpoint) => endpoint.zone !== zone)
  const zones = new Set(members.map((endpoint) => endpoint.zone)).size
  const home = others.length === 0 ? 1 : zoneShare(weightOf(own), weightOf(healthy), zones)
  return [{ share: share * home, endpoints: own }, { share: share * (1 - home), endpoints: others }]
}

export const weightOf = (endpoints: ReadonlyArray<Endpoint>): number =>
  endpoints.reduce((sum, { weight }) => sum + weight, 0)
