import type { Rule } from "../internal/rule.ts"
import { budgetOf, isJson, number, numberOf } from "../internal/subject.ts"

export const costAboveBurst: Rule = {
  name: "costAboveBurst",
  level: "error",
  why: "A budget never holds more than its burst, so a retry that costs more is never paid for.",
  check: (subject) => {
    const budget = budgetOf(subject)
    const { retry } = subject.parts
    if (budget === undefined || retry === undefined || ![undefined, "quota"].includes(budget.kind)) return []
    const most = budget.kind === "quota" ? numberOf(budget.options, "capacity", 500) : budget.burst
    const kinds = isJson(retry.options["kinds"]) ? retry.options["kinds"] : {}
    const costs = [
      { options: retry.options, path: retry.path },
      ...Object.entries(kinds).flatMap(([kind, options]) =>
        isJson(options) ? [{ options, path: [...retry.path, "kinds", kind] }] : []
      )
    ]
    return costs.map(({ options, path }) => ({ cost: numberOf(options, "cost", 1), path: [...path, "cost"] }))
      .filter(({ cost }) => cost > most)
      .map(({ cost, path }) => ({
        path,
        message: "No retry is ever paid for.",
        arithmetic: `cost ${number(cost)} > ${number(most)}, the most that the budget of a process can hold`,
        fix: `Write a cost of at most ${number(most)}, or a larger burst.`
      }))
  },
  caught: { name: "ledger", retry: { cost: 5 }, budget: { burst: 3 } },
  clean: { name: "ledger", retry: { cost: 2 }, budget: { burst: 3 } }
}
