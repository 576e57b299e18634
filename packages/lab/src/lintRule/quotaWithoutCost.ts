import type { Rule } from "../internal/rule.ts"
import { budgetOf, isJson, number, numberOf } from "../internal/subject.ts"

export const quotaWithoutCost: Rule = {
  name: "quotaWithoutCost",
  level: "error",
  why:
    "A quota is made for costs such as those of the AWS SDKs (14 after a transient failure, 5 after a throttled one). Retries of cost 1 hardly use it up.",
  check: (subject) => {
    const budget = budgetOf(subject)
    const { retry } = subject.parts
    if (budget?.kind !== "quota" || retry === undefined || "cost" in retry.options) return []
    const kinds = isJson(retry.options["kinds"]) ? retry.options["kinds"] : {}
    if (Object.values(kinds).some((kind) => isJson(kind) && "cost" in kind)) return []
    const capacity = numberOf(budget.options, "capacity", 500)
    if (capacity <= 50) return []
    return [{
      path: budget.path,
      message: "The quota is spent by retries that cost 1 each.",
      arithmetic: `${number(capacity)} / 1 = ${number(capacity)} retries in each process before the first is rejected`,
      fix: "Write `cost: 14` for the retry, or a capacity of some tens."
    }]
  },
  caught: { name: "ledger", retry: {}, budget: { quota: {} } },
  clean: { name: "ledger", retry: { cost: 14 }, budget: { quota: {} } }
}
