import type { Rule } from "../internal/rule.ts"
import { isJson, number, retriesOf } from "../internal/subject.ts"

export const freeRetries: Rule = {
  name: "freeRetries",
  level: "error",
  why: "A budget bounds what is paid for. Retries without a cost, after a 429 above all, go on however many there are.",
  check: (subject) => {
    const { parts: { budget, retry } } = subject
    if (budget === undefined || retry === undefined) return []
    const kinds = isJson(retry.options["kinds"]) ? retry.options["kinds"] : {}
    const costs = [
      { cost: retry.options["cost"], path: [...retry.path, "cost"] },
      ...["transient", "throttled", "overloaded"].map((kind) => {
        const options = kinds[kind]
        return { cost: isJson(options) ? options["cost"] : undefined, path: [...retry.path, "kinds", kind, "cost"] }
      })
    ]
    return costs.filter(({ cost }) => cost === 0).map(({ path }) => ({
      path,
      message: "These retries cost nothing, so the budget does not bound them.",
      arithmetic: `${number(retriesOf(subject))} retries × cost 0 = 0: each call sends ${
        number(retriesOf(subject) + 1)
      } requests throughout an outage`,
      fix: "Leave the cost out (1), or write one above 0."
    }))
  },
  caught: { name: "ledger", retry: { kinds: { throttled: { cost: 0 } } }, budget: {} },
  clean: { name: "ledger", retry: { kinds: { throttled: { cost: 0.5 } } }, budget: {} }
}
