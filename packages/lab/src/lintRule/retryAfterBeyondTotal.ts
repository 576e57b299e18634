import type { Rule } from "../internal/rule.ts"
import { limitOf, time } from "../internal/subject.ts"

export const retryAfterBeyondTotal: Rule = {
  name: "retryAfterBeyondTotal",
  level: "error",
  why:
    "A server that asks for a pause longer than the deadline is asked again by the next call all the same, and this one has ended.",
  check: ({ parts: { pacer, retry }, total }) => {
    if (total === undefined) return []
    return [
      retry && limitOf(retry.options, "maxRetryAfter", retry.path),
      pacer && limitOf(pacer.options, "maxPause", pacer.path)
    ]
      .flatMap((cap) => cap !== undefined && cap.millis >= total.millis ? [cap] : [])
      .map(({ millis, path }) => ({
        path,
        message: `A server may ask for a pause of up to ${time(millis)}, and a call lasts ${
          time(total.millis)
        } at most.`,
        arithmetic: `${time(millis)} ≥ ${time(total.millis)}: the wait that this allows never ends in time`,
        fix: `Write less than ${time(total.millis)}, or make the deadline longer.`
      }))
  },
  caught: { name: "ledger", deadline: "10 seconds", retry: { maxRetryAfter: "30 seconds" }, budget: {} },
  clean: {
    name: "ledger",
    deadline: "10 seconds",
    attemptTimeout: "1 second",
    retry: { maxRetryAfter: "5 seconds" },
    budget: {}
  }
}
