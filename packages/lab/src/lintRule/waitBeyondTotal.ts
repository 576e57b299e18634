import type { Rule } from "../internal/rule.ts"
import { limitOf, time } from "../internal/subject.ts"

const waits = [
  ["bulkhead", "queueTimeout"],
  ["concurrencyLimit", "queueTimeout"],
  ["pacer", "maxWait"],
  ["retry", "maxDuration"]
] as const

export const waitBeyondTotal: Rule = {
  name: "waitBeyondTotal",
  level: "error",
  why: "The deadline ends the call first, so this limit never applies.",
  check: ({ parts, total }) =>
    waits.flatMap(([name, option]) => {
      const part = parts[name]
      const limit = part && limitOf(part.options, option, part.path)
      return limit === undefined || total === undefined || limit.millis < total.millis ? [] : [{
        path: limit.path,
        message: `\`${name}.${option}\` is ${time(limit.millis)}, and the whole call lasts ${
          time(total.millis)
        } at most.`,
        arithmetic: `${time(limit.millis)} ≥ ${time(total.millis)}`,
        fix: "Write less than the deadline, with room for an attempt, or leave it out."
      }]
    }),
  caught: { name: "ledger", deadline: "2 seconds", bulkhead: { permits: 9, queue: 3, queueTimeout: "5 seconds" } },
  clean: { name: "ledger", deadline: "2 seconds", bulkhead: { permits: 9, queue: 3, queueTimeout: "1 second" } }
}
