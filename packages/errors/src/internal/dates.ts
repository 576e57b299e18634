import * as Duration from "effect/Duration"

// IMF-fixdate and the two obsolete forms that RFC 9110 still asks recipients to accept, with the zones, the case and the
// short days that real servers write. `Date.parse` alone is too lenient: it reads "-5" as a month.
const httpDate = /^[a-z]{3,9}, \d{1,2}[ -][a-z]{3}[ -](?:\d{4}|\d{2}) \d{2}:\d{2}:\d{2} (?:GMT|UTC|Z|[+-]\d{4})$/i
const asctimeDate = /^[a-z]{3} [a-z]{3} [ \d]?\d \d{2}:\d{2}:\d{2} \d{4}$/i
// RFC 3339.
const isoDate = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i

/** The epoch milliseconds of a date; `NaN` for any other text. */
export const parseDate = (text: string): number => {
  if (httpDate.test(text) || isoDate.test(text)) return Date.parse(text)
  return asctimeDate.test(text) ? Date.parse(`${text} GMT`) : Number.NaN
}

/** How long it is until then; `undefined` where a time is `NaN`. What is past is now. */
export const until = (epochMillis: number, nowMillis: number): Duration.Duration | undefined => {
  const left = epochMillis - nowMillis
  return Number.isNaN(left) ? undefined : Duration.millis(Math.max(0, left))
}

/** The longer of two times, of which either may be missing. */
export const longer = (
  a: Duration.Duration | undefined,
  b: Duration.Duration | undefined
): Duration.Duration | undefined => a === undefined || (b !== undefined && Duration.isGreaterThan(b, a)) ? b : a

interface Headers {
  readonly [name: string]: string | undefined
}

/**
 * The time on the server's clock, to which its dates refer: its `Date` header, plus the response's age in a cache.
 * `nowMillis` if the response has no `Date`.
 */
export const serverTime = (headers: Headers, nowMillis: number): number => {
  const date = parseDate(headers["date"]?.trim() ?? "")
  const age = headers["age"]?.trim() ?? ""
  return Number.isNaN(date) ? nowMillis : date + (/^\d{1,9}$/.test(age) ? Number(age) * 1000 : 0)
}
