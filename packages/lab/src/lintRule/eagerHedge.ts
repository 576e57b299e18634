import type { Rule } from "../internal/rule.ts"
import { isJson, millisOf, number, numberOf } from "../internal/subject.ts"

export const eagerHedge: Rule = {
  name: "eagerHedge",
  level: "error",
  why:
    "A hedge that does not wait for the slow ones sends most requests twice, and spends its share on those that need none.",
  check: ({ parts: { hedge } }) => {
    if (hedge === undefined) return []
    const { after } = hedge.options
    const percentile = isJson(after) ? numberOf(after, "percentile", 0.95) : millisOf(after) === 0 ? 0 : 1
    return percentile >= 0.5 ? [] : [{
      path: [...hedge.path, "after"],
      message: "The hedge begins before half of the requests have their response.",
      arithmetic: `1 − ${number(percentile)} = ${number((1 - percentile) * 100)} % of the calls would be sent twice`,
      fix: "Leave it out: the default waits for the 95th percentile."
    }]
  },
  caught: { name: "ledger", hedge: { after: { percentile: 0.3 } } },
  clean: { name: "ledger", hedge: { after: { percentile: 0.9 } } }
}
