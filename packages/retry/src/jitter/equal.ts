import { grown, withoutOptions } from "../internal/delays.ts"

/** Half of the delay, plus uniform from 0 to the other half. Source: AWS, *Exponential Backoff and Jitter* (2015). */
export const equal = /* @__PURE__ */ withoutOptions((growth) => (position, random) => {
  const half = grown(growth, position) / 2
  return half + random() * half
})
