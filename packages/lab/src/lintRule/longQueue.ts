import type { Rule } from "../internal/rule.ts"
import { limitOf, number, numberOf, time } from "../internal/subject.ts"

export const longQueue: Rule = {
  name: "longQueue",
  level: "error",
  why: "Work that waits longer than its caller is wasted, and in an overload all that is done is such work.",
  check: ({ attempt, parts, total }) =>
    ["bulkhead", "concurrencyLimit"].flatMap((name) => {
      const part = parts[name]
      const queue = part === undefined ? 0 : numberOf(part.options, "queue", 0)
      if (part === undefined || queue === 0) return []
      const path = [...part.path, "queue"]
      if (queue === Infinity) {
        return [{
          path,
          message: "The queue has no end.",
          fix: "Write how many may wait: what is served within the deadline."
        }]
      }
      const bound = limitOf(part.options, "queueTimeout", part.path) ?? total
      if (bound === undefined) {
        return [{
          path,
          message: "A call in the queue waits for ever.",
          fix: "Write a `queueTimeout`, or a deadline.",
          level: "advice" as const
        }]
      }
      const permits = numberOf(part.options, "permits", Infinity)
      if (attempt === undefined || permits === Infinity || part.options["discipline"] !== undefined) return []
      const wait = queue / permits * attempt.millis
      return wait <= bound.millis ? [] : [{
        path,
        message: "Where the dependency is slow, the end of the queue waits longer than its callers.",
        arithmetic: `${number(queue)} calls / ${number(permits)} permits × ${time(attempt.millis)} = ${time(wait)} > ${
          time(bound.millis)
        }`,
        fix: `Let at most ${
          number(Math.floor(bound.millis / attempt.millis * permits))
        } wait, or write \`discipline: "codel"\`.`,
        level: "advice" as const
      }]
    }),
  caught: { name: "ledger", deadline: "5 seconds", bulkhead: { permits: 10, queue: null } },
  clean: { name: "ledger", deadline: "5 seconds", attemptTimeout: "1 second", bulkhead: { permits: 10, queue: 20 } }
}
