import * as Duration from "effect/Duration"

/** The milliseconds of a duration that is finite and not negative. */
export const millis = (name: string, input: Duration.Input): number => {
  const value = Duration.toMillis(Duration.fromInputUnsafe(input))
  return within(name, value, 0, Number.MAX_VALUE)
}

/** A number between two bounds, both included. */
export const within = (name: string, value: number, least: number, most: number): number => {
  if (value >= least && value <= most) return value
  throw new RangeError(`${name} is ${value}: it must be ${bounds(least, most)}`)
}

/** A whole number, at least `least`. */
export const whole = (name: string, value: number, least: number): number => {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new RangeError(`${name} is ${value}: it must be a whole number, ${bounds(least, Number.MAX_VALUE)}`)
}

const bounds = (least: number, most: number): string =>
  most === Number.MAX_VALUE ? `finite and at least ${least}` : `from ${least} to ${most}`
