import * as Duration from "effect/Duration"
import type { Backoff } from "../Backoff.ts"

/** Where a run of a backoff stands: how many delays it gave, and what the next one builds upon. */
export interface Position {
  retries: number
  previous: number
}

/** The next delay in whole milliseconds. Moves the position on. */
export const next = (self: Backoff, position: Position, random: () => number): number => {
  const { factor, jitter } = self
  const base = Duration.toMillis(self.base)
  const cap = Duration.toMillis(self.cap)
  const retry = position.retries++
  if (jitter === "decorrelated") {
    const previous = retry === 0 ? base : position.previous
    return Math.round(position.previous = Math.min(cap, base + random() * (previous * 3 - base)))
  }
  if (jitter === "polly") {
    const t = retry + random()
    const curve = factor ** t * Math.tanh(Math.sqrt(4 * t))
    const difference = curve - position.previous
    position.previous = curve
    return Math.round(Math.min(cap, difference / 1.4 * base))
  }
  // base * factor ** retry is NaN for a base of 0 once the power overflows.
  const delay = base === 0 ? 0 : Math.min(cap, base * factor ** retry)
  switch (jitter) {
    case "none":
      return Math.round(delay)
    case "full":
      return Math.round(random() * delay)
    case "equal":
      return Math.round(delay / 2 + random() * delay / 2)
    default:
      return Math.round(delay * (1 - jitter + random() * 2 * jitter))
  }
}
