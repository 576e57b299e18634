import * as Duration from "effect/Duration"

/** `512 B`, `1.5 kB`, `64.0 MB`: decimal units, as networks count. */
export const bytes = (count: number): string => {
  if (count < 1_000) return `${count} B`
  let amount = count / 1_000
  let at = 0
  // What would round to 1000.0 is 1.0 of the next unit.
  while (amount >= 999.95 && at < sizeUnits.length - 1) {
    amount /= 1_000
    at++
  }
  return `${amount.toFixed(1)} ${sizeUnits[at]}`
}

const sizeUnits = ["kB", "MB", "GB", "TB"] as const

/** `340 ms`, `2.5 s`, `40 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export const duration = (input: Duration.Input): string => {
  const millis = Duration.toMillis(input)
  if (Math.round(millis) < 1_000) return `${Math.round(millis)} ms`
  if (millis < 9_950) return `${(millis / 1_000).toFixed(1)} s`
  const seconds = Math.round(millis / 1_000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < hour) return twoUnits(seconds, 60, "min", 1, "s")
  const minutes = Math.round(seconds / 60) * 60
  return minutes < day
    ? twoUnits(minutes, hour, "h", 60, "min")
    : twoUnits(Math.round(seconds / hour) * hour, day, "d", hour, "h")
}

const hour = 3_600
const day = 24 * hour

const twoUnits = (seconds: number, large: number, largeName: string, small: number, smallName: string): string => {
  const rest = (seconds % large) / small
  return `${Math.floor(seconds / large)} ${largeName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`
}

/** `1 upload`, `2 uploads`. */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`
