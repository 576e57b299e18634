import type { Rule } from "../internal/rule.ts"
import { number, retriesOf } from "../internal/subject.ts"

export const breakerOutsideRetry: Rule = {
  name: "breakerOutsideRetry",
  level: "error",
  why:
    "A breaker outside the retries sees one failure where there were several, so it opens late, and an open one inside does not end them.",
  check: (subject) => {
    const retries = retriesOf(subject)
    const outside = subject.outer.findLast(({ parts }) => parts["circuitBreaker"] !== undefined)
    const breaker = outside?.parts["circuitBreaker"]
    if (
      outside === undefined || breaker === undefined || retries === 0 || subject.parts["circuitBreaker"] !== undefined
    ) {
      return []
    }
    return [{
      path: breaker.path,
      message: `The breaker of "${outside.name}" stands outside the retries of "${subject.name}".`,
      arithmetic: `1 failure that it counts is ${number(retries + 1)} requests that failed`,
      fix: `Give "${subject.name}" a \`circuitBreaker\`: a pipeline puts it inside the retries.`
    }]
  },
  caught: {
    layers: [{ name: "gateway", circuitBreaker: {} }, { name: "ledger", retry: { times: 2 }, budget: {} }]
  },
  clean: {
    layers: [{ name: "gateway" }, { name: "ledger", retry: { times: 2 }, budget: {}, circuitBreaker: {} }]
  }
}
