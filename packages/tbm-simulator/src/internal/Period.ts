/** The time period in an upload's path: `January:2024`, `Jan:FY2024` or `current`, in any case. */

const months = [
  "january",
  "february",
  "march",
  "april",
  "may",
  "june",
  "july",
  "august",
  "september",
  "october",
  "november",
  "december"
]

const granularities = new Set([...months, ...months.map((month) => month.slice(0, 3))])

export const isValid = (period: string): boolean => {
  if (period.toLowerCase() === "current") return true
  const match = /^([a-z]+):(?:FY)?\d{4}$/i.exec(period)
  return match?.[1] !== undefined && granularities.has(match[1].toLowerCase())
}

export const complaint = (period: string): string =>
  `Poorly formatted date string: '${period}'. Ought to be of the form 'granularity':'year'.`
