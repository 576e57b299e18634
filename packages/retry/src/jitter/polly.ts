import { requireArgument } from "@effect-resilience/kernel/Argument"
import { withoutOptions } from "../internal/delays.ts"

/**
 * Smooth and decorrelated, at first about the base in the median; for a constant delay, uniform in 0.75 to 1.25 times it.
 * Source: Polly 8, `RetryHelper`, which knows the factors 1 and 2.
 */
export const polly = /* @__PURE__ */ withoutOptions(({ base, cap, factor }, path) => {
  requireArgument(factor === 1 || factor === 2, `${path}.factor`, "1 or 2 with the jitter polly", factor)
  if (factor === 1) return (_, random) => Math.min(cap, base * (0.75 + random() / 2))
  return (position, random) => {
    const t = position.retries + random()
    const curve = 2 ** t * Math.tanh(Math.sqrt(4 * t))
    const difference = curve - position.previous
    position.previous = curve
    if (base === 0) return 0
    // From t = 1024 on the curve is infinite, and so is the previous one.
    return curve === Infinity ? cap : Math.min(cap, difference / 1.4 * base)
  }
})
