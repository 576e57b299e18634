import * as Predicate from "effect/Predicate"
import type { Json, World } from "./subject.ts"
import { isJson, millisOf } from "./subject.ts"

/** What the options of a simulation say of the surroundings. */
export const surroundings = ({ arrivals, processes, server }: Json): World => {
  const perSecond = perSecondOf(arrivals)
  const { serviceTime, workers }: Json = isJson(server) ? server : {}
  const serviceMillis = meanOf(serviceTime)
  return {
    ...Predicate.isNumber(processes) ? { processes } : {},
    ...perSecond === undefined ? {} : { callsPerSecond: perSecond },
    ...serviceMillis === undefined ? {} : { serviceMillis },
    ...serviceMillis !== undefined && Predicate.isNumber(workers) ? { capacity: workers * 1000 / serviceMillis } : {}
  }
}

/** How many calls begin in a second on average, where that does not depend on the responses. */
const perSecondOf = (arrivals: unknown): number | undefined => {
  const { bursts, open }: Json = isJson(arrivals) ? arrivals : {}
  if (isJson(open)) return Predicate.isNumber(open["perSecond"]) ? open["perSecond"] : undefined
  if (!isJson(bursts)) return undefined
  const millis = millisOf(bursts["every"])
  return millis === undefined || !Predicate.isNumber(bursts["calls"]) ? undefined : bursts["calls"] * 1000 / millis
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
