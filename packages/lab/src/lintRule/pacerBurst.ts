import type { Rule } from "../internal/rule.ts"
import { isJson, number, numberOf } from "../internal/subject.ts"

export const pacerBurst: Rule = {
  name: "pacerBurst",
  level: "advice",
  why: "A window of the other side can see what goes at once and what the rate gives meanwhile, and responds with 429.",
  check: ({ parts: { pacer } }) => {
    if (pacer === undefined) return []
    const rates = isJson(pacer.options["rates"]) ? Object.entries(pacer.options["rates"]) : []
    return [
      { options: pacer.options, path: pacer.path },
      ...rates.flatMap(([name, options]) => isJson(options) ? [{ options, path: [...pacer.path, "rates", name] }] : [])
    ].flatMap(({ options, path }) => {
      const limit = numberOf(options, "limit", 0)
      const burst = numberOf(options, "burst", 0)
      return burst < limit || burst < 2 ? [] : [{
        path: [...path, "burst"],
        message: "The burst is as large as the limit of a window.",
        arithmetic: `${number(burst)} + ${number(limit)} = ${
          number(burst + limit)
        } in one window of the other side, which allows ${number(limit)}`,
        fix: "Write a fraction of the limit, or a lower `limit`."
      }]
    })
  },
  caught: { name: "ledger", pacer: { limit: 100, window: "1 minute", burst: 100 } },
  clean: { name: "ledger", pacer: { limit: 100, window: "1 minute", burst: 10 } }
}
