import * as Predicate from "effect/Predicate"
import type { Json, World } from "./subject.ts"
import { isJson, millisOf } from "./subject.ts"

/** What the options of a simulation say of the surroundings. */
export const surroundings = ({ arrivals, processes, server }: Json): World => {
  const open = isJson(arrivals) ? arrivals["open"] : undefined
  const { serviceTime, workers }: Json = isJson(server) ? server : {}
  const serviceMillis = meanOf(serviceTime)
  return {
    ...Predicate.isNumber(processes) ? { processes } : {},
    ...isJson(open) && Predicate.isNumber(open["perSecond"]) ? { callsPerSecond: open["perSecond"] } : {},
    ...serviceMillis === undefined ? {} : { serviceMillis },
    ...serviceMillis !== undefined && Predicate.isNumber(workers) ? { capacity: workers * 1000 / serviceMillis } : {}
  }
}

const meanOf = (serviceTime: unknown): number | undefined => {
  if (!isJson(serviceTime)) return undefined
  const { bimodal, constant, exponential } = serviceTime
  if (!isJson(bimodal)) return millisOf(exponential ?? constant)
  const usual = millisOf(bimodal["usual"])
  const slow = millisOf(bimodal["slow"])
  const share = bimodal["share"]
  return usual === undefined || slow === undefined || !Predicate.isNumber(share)
    ? undefined
    : usual * (1 - share) + slow * share
}
