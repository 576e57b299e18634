import { grown, withoutOptions } from "../internal/delays.ts"

/** Uniform from 0 to the delay. Source: AWS, *Exponential Backoff and Jitter* (2015). */
export const full = /* @__PURE__ */ withoutOptions((growth) => (position, random) => random() * grown(growth, position))
