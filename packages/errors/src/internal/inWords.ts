import * as Duration from "effect/Duration"

/** A duration for people, in at most two units: `250 milliseconds`, `1.5 seconds`, `40 seconds`, `1 day 4 hours`. */
export const inWords = (duration: Duration.Duration): string => {
  if (!Duration.isFinite(duration)) return "an unlimited time"
  const millis = Duration.toMillis(duration)
  if (millis < 1000) return count(Math.ceil(millis), "millisecond")
  const seconds = millis < 10_000 ? Math.ceil(millis / 100) / 10 : Math.ceil(millis / 1000)
  if (seconds < 60) return count(seconds, "second")
  const [larger, smaller] = seconds < 3600
    ? ["minute", "second"] as const
    : (seconds < 86_400 ? ["hour", "minute"] as const : ["day", "hour"] as const)
  // Rounded up: a retry that comes too early is rejected again.
  const total = Math.ceil(seconds / inSeconds[smaller])
  const perLarger = inSeconds[larger] / inSeconds[smaller]
  const rest = total % perLarger
  const whole = count(Math.floor(total / perLarger), larger)
  return rest === 0 ? whole : `${whole} ${count(rest, smaller)}`
}

const inSeconds = { second: 1, minute: 60, hour: 3600, day: 86_400 }

const count = (amount: number, unit: string): string => `${amount} ${unit}${amount === 1 ? "" : "s"}`
