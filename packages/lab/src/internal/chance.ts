import { log } from "./log.ts"

/** A number from 0 to below 1. */
export type Chance = () => number

/** A time with an exponential distribution. */
export const exponential = (meanMillis: number, chance: Chance): number => -meanMillis * log(1 - chance())
