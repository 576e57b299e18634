import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** Parses a duration as people write it: `500ms`, `2s`, `1.5 minutes`, `1h`. */
export const parse = (text: string): Option.Option<Duration.Duration> => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim()) ?? []
  const canonical = unit === undefined ? undefined : unitNames[unit.toLowerCase()]
  return amount === undefined || canonical === undefined
    ? Option.none()
    : Duration.fromInput(`${Number(amount)} ${canonical}`)
}

type UnitName = "millis" | "seconds" | "minutes" | "hours"

const unitNames: { readonly [unit: string]: UnitName } = {
  ms: "millis",
  millis: "millis",
  s: "seconds",
  second: "seconds",
  seconds: "seconds",
  m: "minutes",
  min: "minutes",
  minute: "minutes",
  minutes: "minutes",
  h: "hours",
  hour: "hours",
  hours: "hours"
}

/** A flag with a duration. */
export const flag = (name: string): Flag.Flag<Duration.Duration> =>
  Flag.String(name).pipe(
    Flag.filterMap(parse, () => "Expected a duration such as 500ms, 2s, 10m or 1h"),
    Flag.withMetavar("DURATION")
  )
