/**
 * The time period of a table: `January:2024`, `Jan:FY2024` or `current`.
 *
 * **Example** (Reading a period)
 *
 * ```ts import.meta.vitest
 * import { Period } from "@effect-resilience/tbm-studio"
 * import { Result } from "effect"
 *
 * Result.getOrThrow(Period.parse("january%3A2024")) // => "January:2024"
 * Result.getOrThrow(Period.parse("JAN:fy2024")) // => "Jan:FY2024"
 * Result.isFailure(Period.parse("SOMEDATE:2010")) // => true
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Recovery from "@effect-resilience/errors/Recovery"
import * as ErrorMessage from "@effect-resilience/kernel/ErrorMessage"
import * as Hint from "@effect-resilience/kernel/Hint"
import * as Brand from "effect/Brand"
import * as Result from "effect/Result"

/**
 * A period, spelled as the API documents it.
 *
 * @category models
 * @since 0.1.0
 */
export type Period = string & Brand.Brand<"@effect-resilience/tbm-studio/Period">

/**
 * The text is not a period. The message names the period that was probably meant, such as `Jan:2024` for `Jan-24`, which is what
 * spreadsheets make of it.
 *
 * - `text`: the text.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPeriod extends ErrorMessage.TaggedError("InvalidPeriod")<{ readonly text: string }> {
  get [NotAsked.symbol](): true {
    return true
  }
  [Recovery.symbol](): Recovery.Recovery {
    return Recovery.correct
  }
  override get message(): string {
    const meant = nearest(this.text)
    return `The period ${
      JSON.stringify(this.text)
    } is not valid: use Month:Year, for example January:2024 or Jan:FY2024, ` +
      `or current.${meant === undefined ? "" : ` Did you mean ${meant}?`}`
  }
}

/**
 * Parses a period in any letter case. Its colon may be URL-encoded.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Period, InvalidPeriod> => {
  const known = parsed.get(text)
  if (known !== undefined) return known
  const result = parseAnew(text)
  if (Result.isSuccess(result) && text.length <= longestRemembered) {
    if (parsed.size === mostRemembered) parsed.clear()
    // A copy, since a slice of a string retains the whole string.
    parsed.set([...text].join(""), result)
  }
  return result
}

/**
 * One key for all spellings of a period. It shows whether two uploads go to the same period.
 *
 * @category accessors
 * @since 0.1.0
 */
export const key = (period: Period): string => {
  const colon = period.indexOf(":")
  return colon < 0 ? period : period.slice(0, 3) + period.slice(colon)
}

/**
 * The one spelling for people, with the month's whole name: `January:2024` for `Jan:2024`, and for its key. Other text stays
 * as it is.
 *
 * **Example** (One spelling for three)
 *
 * ```ts import.meta.vitest
 * import { Period } from "@effect-resilience/tbm-studio"
 *
 * Period.format("Jan:FY2024") // => "January:FY2024"
 * Period.format("January:FY2024") // => "January:FY2024"
 * Period.format("current in 2024-05") // => "current in 2024-05"
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (period: string): string => {
  const colon = period.indexOf(":")
  const name = colon < 0 ? undefined : namesBySpelling.get(period.slice(0, colon).toLowerCase())
  return name === undefined ? period : name + period.slice(colon)
}

// A manifest may have a hundred thousand rows, but only a few periods.
const parsed = new Map<string, Result.Result<Period, InvalidPeriod>>()
const mostRemembered = 1_000
const longestRemembered = 32

const parseAnew = (text: string): Result.Result<Period, InvalidPeriod> => {
  const decoded = text.trim().replace(/%3a/i, ":")
  if (decoded.toLowerCase() === "current") return Result.succeed(make("current"))
  const [, month, fiscal, year] = /^([a-z]+):(fy)?(\d{4})$/i.exec(decoded) ?? []
  if (month === undefined || year === undefined) return Result.fail(new InvalidPeriod({ text }))
  const name = namesBySpelling.get(month.toLowerCase())
  if (name === undefined) return Result.fail(new InvalidPeriod({ text }))
  const spelled = month.length === 3 ? name.slice(0, 3) : name
  return Result.succeed(make(`${spelled}:${fiscal === undefined ? "" : "FY"}${year}`))
}

const make = Brand.nominal<Period>()

/**
 * The names of the months, from January.
 *
 * @category constants
 * @since 0.1.0
 */
export const months: ReadonlyArray<string> = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December"
]

const namesBySpelling = new Map(
  months.flatMap((name) => [[name.toLowerCase(), name], [name.slice(0, 3).toLowerCase(), name]] as const)
)

// People write another order or separator, a number for the month, or two digits for the year.
const nearest = (text: string): Period | undefined => {
  const trimmed = text.trim()
  const [, isoYear, isoMonth] = /^(\d{4})[-/.]?(\d{2})(?:[-/.]\d{2}(?:[T ].*)?)?$/.exec(trimmed) ?? []
  const [, fiscalFirst, yearFirst, monthLast] = /^(fy)?(\d{4})[\s:;,._/-]*(\p{L}+)$/iu.exec(trimmed) ?? []
  const [, monthFirst, fiscalLast, yearLast] =
    /^(\p{L}+|\d{1,2}(?=.+\d{4}))[\s:;,._/-]*(fy)?\s*(\d{4}|\d{2})$/iu.exec(trimmed) ?? []
  const month = monthOf(isoMonth ?? monthLast ?? monthFirst ?? "")
  const year = isoYear ?? yearFirst ?? yearLast
  if (month === undefined || year === undefined) return trimmed === "" ? undefined : nearestCurrent(trimmed)
  const fiscal = fiscalFirst ?? fiscalLast
  return make(`${month}:${fiscal === undefined ? "" : "FY"}${year.length === 2 ? `20${year}` : year}`)
}

const nearestCurrent = (text: string) => Hint.nearest(text, ["current"]) === undefined ? undefined : make("current")

const monthOf = (text: string): string | undefined => {
  if (/^\d+$/.test(text)) return months[Number(text) - 1]
  const name = namesBySpelling.get(text.toLowerCase())
  if (name === undefined) {
    // Of three letters, another month may differ by one only.
    return text.length < 4
      ? undefined
      : months.find((name) => name.toLowerCase().startsWith(text.toLowerCase())) ?? Hint.nearest(text, months)
  }
  return text.length === 3 ? name.slice(0, 3) : name
}
