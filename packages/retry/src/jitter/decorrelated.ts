import { requireArgument } from "@effect-resilience/kernel/Argument"
import { withoutOptions } from "../internal/delays.ts"

/** Uniform from the base to three times the previous delay. Source: AWS, *Exponential Backoff and Jitter* (2015). */
export const decorrelated = /* @__PURE__ */ withoutOptions(({ base, cap, factor }, path) => {
  requireArgument(factor !== undefined, `${path}.jitter`, "one that keeps these delays", "decorrelated")
  return (position, random) => {
    // The first time, and where other delays came before.
    const previous = position.previous || base
    return position.previous = Math.min(cap, base + random() * (previous * 3 - base))
  }
})
