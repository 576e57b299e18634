import type { Rule } from "../internal/rule.ts"
import { budgetOf, number } from "../internal/subject.ts"

const fleet = { processes: 100, server: { workers: 20, serviceTime: { exponential: "100 millis" } } }

export const burstOfFleet: Rule = {
  name: "burstOfFleet",
  level: "advice",
  why: "Budgets begin full. When an outage begins, the bursts of all processes meet one server within seconds.",
  check: (subject) => {
    const budget = budgetOf(subject)
    const { capacity } = subject.world
    if (budget === undefined || capacity === undefined || budget.kind !== undefined) return []
    const all = budget.burst * budget.fleet
    return all <= 2 * capacity ? [] : [{
      path: budget.path,
      message: `The bursts of ${number(budget.fleet)} processes are ${
        number(all / capacity)
      } seconds of work for the server.`,
      arithmetic: `${number(budget.burst)} × ${number(budget.fleet)} = ${number(all)}, of ${number(capacity)} a second`,
      fix: "Write `burst: 1`, or how many `processes` there are."
    }]
  },
  caught: { ...fleet, policy: { name: "ledger", retry: {}, budget: {} } },
  clean: { ...fleet, policy: { name: "ledger", retry: {}, budget: { burst: 3 } } }
}
