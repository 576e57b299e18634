import * as Recovery from "@effect-resilience/errors/Recovery"

/** Of a rejection because there is more work than the dependency is given at once: it passes when callers slow down. */
export const overloaded: Recovery.Recovery = /* @__PURE__ */ Recovery.retryAs("overloaded")
