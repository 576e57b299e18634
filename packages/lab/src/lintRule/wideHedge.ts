import type { Rule } from "../internal/rule.ts"
import { number, numberOf } from "../internal/subject.ts"

export const wideHedge: Rule = {
  name: "wideHedge",
  level: "error",
  why: "A server that is slow because it is full makes all requests late, so all that the share allows are hedged.",
  check: ({ parts: { hedge } }) => {
    const share = hedge === undefined ? 0 : numberOf(hedge.options, "share", 0.05)
    return hedge === undefined || share < 0.5 ? [] : [{
      path: [...hedge.path, "share"],
      message: `A full server gets up to ${number(1 + share)} times its load.`,
      arithmetic: `1 + share = ${number(1 + share)}; it recovers only below ${number(100 / (1 + share))} % load`,
      fix: "Leave it out (0.05), or write at most 0.2."
    }]
  },
  caught: { name: "ledger", hedge: { share: 1 } },
  clean: { name: "ledger", hedge: { share: 0.1 } }
}
