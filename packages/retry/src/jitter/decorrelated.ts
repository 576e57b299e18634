import { withoutOptions } from "../internal/delays.ts"

/** Uniform from the base to three times the previous delay. Source: AWS, *Exponential Backoff and Jitter* (2015). */
export const decorrelated = /* @__PURE__ */ withoutOptions(({ base, cap }) => (position, random) => {
  const previous = position.retries === 0 ? base : position.previous
  return position.previous = Math.min(cap, base + random() * (previous * 3 - base))
})
