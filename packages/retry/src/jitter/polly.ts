import { requireArgument } from "@effect-resilience/kernel/Argument"
import { grown, withoutOptions } from "../internal/delays.ts"

/**
 * Smooth and decorrelated, at first about the base in the median; for a constant or linear delay, uniform in 0.75 to 1.25 times
 * it. Source: Polly 8, `RetryHelper`, which knows the factors 1 and 2.
 */
export const polly = /* @__PURE__ */ withoutOptions((growth, path) => {
  const { base, cap, factor } = growth
  requireArgument(
    factor === undefined || factor === 1 || factor === 2,
    `${path}.factor`,
    "1 or 2 with the jitter polly",
    factor
  )
  if (factor !== 2) return (position, random) => Math.min(cap, grown(growth, position) * (0.75 + random() / 2))
  return (position, random) => {
    // Where other delays came before, the curve begins at this one.
    const previous = position.previous || curveAt(position.retries)
    const curve = position.previous = curveAt(position.retries + random())
    if (base === 0) return 0
    // From t = 1024 on the curve is infinite, and so is the previous one.
    return curve === Infinity ? cap : Math.min(cap, (curve - previous) / 1.4 * base)
  }
})

const curveAt = (t: number): number => 2 ** t * Math.tanh(Math.sqrt(4 * t))
