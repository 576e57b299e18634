import type { Rule } from "../internal/rule.ts"
import { budgetOf, number } from "../internal/subject.ts"

const server = { workers: 20, serviceTime: { exponential: "100 millis" } }

const fleet = { processes: 20, arrivals: { open: { perSecond: 100 } }, server }

export const floorAboveCapacity: Rule = {
  name: "floorAboveCapacity",
  level: "error",
  why:
    "An outage ends by itself only while calls × (1 + ratio) + floor × processes is below what the server can take. Otherwise the extra attempts alone keep it down.",
  check: (subject) => {
    const budget = budgetOf(subject)
    const { parts: { circuitBreaker }, world: { callsPerSecond, capacity } } = subject
    if (budget === undefined || capacity === undefined || (budget.kind ?? "expiring") !== "expiring") return []
    // Any breaker ends such an outage in seconds.
    if (circuitBreaker !== undefined) return []
    const calls = callsPerSecond ?? capacity / 2
    const load = calls * (1 + budget.ratio) + budget.floor
    if (load < capacity) return []
    const most = Math.max(0, (1 - budget.floor / capacity) / (1 + budget.ratio))
    return [{
      path: budget.path,
      message: `The budgets of ${number(budget.fleet)} processes together allow more than the server can take.`,
      arithmetic: `${number(calls)} × ${number(1 + budget.ratio)} + ${number(budget.floor / budget.fleet)} × ${
        number(budget.fleet)
      } = ${number(load)} ≥ ${number(capacity)} a second; at most ${number(most * 100)} % load survives an outage`,
      fix: budget.processes === undefined
        ? `Write \`processes: ${number(budget.fleet)}\`, which divides the floor.`
        : "Lower `minPerSecond`."
    }]
  },
  caught: { ...fleet, policy: { name: "ledger", retry: {}, budget: { ratio: 0.2, minPerSecond: 10 } } },
  clean: { ...fleet, policy: { name: "ledger", retry: {}, budget: { ratio: 0.2, minPerSecond: 10, processes: 20 } } }
}
