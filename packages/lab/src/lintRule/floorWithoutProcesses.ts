import type { Rule } from "../internal/rule.ts"
import { budgetOf, number, numberOf } from "../internal/subject.ts"

export const floorWithoutProcesses: Rule = {
  name: "floorWithoutProcesses",
  level: "advice",
  why: "Each process has this floor for itself, and the server gets it from all of them.",
  check: (subject) => {
    const budget = budgetOf(subject)
    if (budget === undefined || budget.processes !== undefined || subject.world.processes === 1) return []
    const floor = budget.kind === "inFlight"
      ? numberOf(budget.options, "min", 3)
      : budget.kind === undefined || budget.kind === "expiring"
      ? budget.minPerSecond
      : 0
    if (floor < 1) return []
    const processes = subject.world.processes ?? 20
    const unit = budget.kind === "inFlight" ? "attempts at once" : "a second"
    return [{
      path: budget.path,
      message: `Each process may make ${number(floor)} extra attempts ${
        budget.kind === "inFlight" ? "at once" : "a second"
      }, whatever its calls earn.`,
      arithmetic: `${number(floor)} × ${processes} processes = ${number(floor * processes)} ${unit}`,
      fix: "Write how many `processes` share the dependency; the floor is divided by it."
    }]
  },
  caught: { name: "ledger", retry: {}, budget: { minPerSecond: 10 } },
  clean: { name: "ledger", retry: {}, budget: { minPerSecond: 10, processes: 20 } }
}
