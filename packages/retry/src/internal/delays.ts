import * as Duration from "effect/Duration"
import type { Backoff } from "../Backoff.ts"

/** In whole milliseconds, for the hot path. */
export const delays = (self: Backoff, random: () => number): () => number => {
  const base = Duration.toMillis(self.base)
  const cap = Duration.toMillis(self.cap)
  const { factor, jitter } = self
  let exponential = base
  let previous = base
  let pollyPrevious = 0
  let retry = 0
  const draw = (): number => {
    const delay = Math.min(cap, exponential)
    exponential = delay * factor
    switch (jitter) {
      case "none":
        return delay
      case "full":
        return random() * delay
      case "equal":
        return delay / 2 + random() * delay / 2
      case "decorrelated":
        return previous = Math.min(cap, base + random() * (previous * 3 - base))
      case "polly": {
        const t = retry++ + random()
        const next = factor ** t * Math.tanh(Math.sqrt(4 * t))
        const difference = next - pollyPrevious
        pollyPrevious = next
        return Math.min(cap, difference / 1.4 * base)
      }
      default:
        return delay * (1 - jitter + random() * 2 * jitter)
    }
  }
  return () => Math.round(draw())
}
