import * as Duration from "effect/Duration"
import type { Backoff } from "../Backoff.ts"

/** Where a run of a backoff stands: how many delays it gave, and what the next one builds upon. */
export interface Position {
  retries: number
  previous: number
}

/** What Polly ends at where its formula overflows: .NET's longest `TimeSpan`, which every clock can wait for. */
export const longestMillis = 922_337_203_685_477

/** The next delay in whole milliseconds: finite and not negative, whatever `random` draws. Moves the position on. */
export const next = (self: Backoff, position: Position, random: () => number): number => {
  const { jitter } = self
  const cap = Math.min(longestMillis, Duration.toMillis(self.cap))
  const base = Math.min(cap, Duration.toMillis(self.base))
  const delay = Math.round(draw(self, base, cap, position, random))
  return delay > 0 ? Math.min(typeof jitter === "number" ? Math.round(cap * (1 + jitter)) : cap, delay) : 0
}

const draw = (
  { factor, jitter }: Backoff,
  base: number,
  cap: number,
  position: Position,
  random: () => number
): number => {
  const retry = position.retries++
  if (jitter === "decorrelated") {
    const previous = retry === 0 ? base : position.previous
    return position.previous = Math.min(cap, base + random() * (previous * 3 - base))
  }
  if (jitter === "polly") return factor === 1 ? base * (0.75 + random() / 2) : polly(base, cap, retry, position, random)
  // base * factor ** retry is NaN for a base of 0 once the power overflows.
  const delay = base === 0 ? 0 : Math.min(cap, base * factor ** retry)
  switch (jitter) {
    case "none":
      return delay
    case "full":
      return random() * delay
    case "equal":
      return delay / 2 + random() * delay / 2
    default:
      return delay * (1 - jitter + random() * 2 * jitter)
  }
}

const polly = (base: number, cap: number, retry: number, position: Position, random: () => number): number => {
  const t = retry + random()
  const curve = 2 ** t * Math.tanh(Math.sqrt(4 * t))
  const difference = curve - position.previous
  position.previous = curve
  if (base === 0) return 0
  // From t = 1024 on the curve is infinite, and so is the previous one.
  return curve === Infinity ? cap : difference / 1.4 * base
}
