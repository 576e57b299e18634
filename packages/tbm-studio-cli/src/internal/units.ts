import * as Duration from "effect/Duration"

/** `512 B`, `1.5 kB`, `64.0 MB`: decimal units, as networks count. */
export const bytes = (count: number): string => {
  if (count < 1_000) return `${count} B`
  const at = Math.min(sizeUnits.length - 1, Math.floor(Math.log10(count) / 3) - 1)
  return `${(count / 1_000 ** (at + 1)).toFixed(1)} ${sizeUnits[at]}`
}

const sizeUnits = ["kB", "MB", "GB", "TB"] as const

/** `340 ms`, `2.5 s`, `3 m 20 s`. */
export const duration = (input: Duration.Input): string => {
  const millis = Duration.toMillis(input)
  if (millis < 1_000) return `${Math.round(millis)} ms`
  if (millis < 60_000) return `${(millis / 1_000).toFixed(1)} s`
  return `${Math.floor(millis / 60_000)} m ${Math.round((millis % 60_000) / 1_000)} s`
}

/** `1 upload`, `2 uploads`. */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`
