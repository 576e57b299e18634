import type { Rule } from "../internal/rule.ts"
import { budgetOf, number, retriesOf } from "../internal/subject.ts"

const gateway = { name: "gateway", retry: { times: 3 }, circuitBreaker: {} }

const ledger = { name: "ledger", retry: { times: 2 }, circuitBreaker: {} }

export const attemptsMultiply: Rule = {
  name: "attemptsMultiply",
  level: "error",
  why:
    "Each attempt of an outer layer is a call to the next one, which makes all its own attempts. The innermost service gets the product.",
  check: (subject) => {
    const layers = [...subject.outer, subject].filter((layer) => retriesOf(layer) > 0)
    const { retry } = subject.parts
    if (layers.length < 2 || retry === undefined || retriesOf(subject) === 0) return []
    const attempts = layers.map((layer) => retriesOf(layer) + 1)
    const product = attempts.reduce((all, one) => all * one, 1)
    const lasting = layers.map((layer, i) => {
      const budget = budgetOf(layer)
      return budget === undefined ? attempts[i] ?? 1 : 1 + budget.ratio
    })
    const inOutage = lasting.reduce((all, one) => all * one, 1)
    return [{
      path: retry.path,
      message: `${layers.map(({ name }) => `"${name}"`).join(" and ")} all retry: one call becomes up to ${
        number(product)
      } requests.`,
      arithmetic: `${attempts.map(number).join(" × ")} = ${
        number(product)
      } requests where all fail; in a lasting outage ${lasting.map(number).join(" × ")} = ${
        number(inOutage)
      } for each call`,
      fix: "Retry in one layer, the one that knows what may be repeated, and leave `retry` out of the others.",
      level: inOutage > 2 ? "error" : "advice"
    }]
  },
  caught: { layers: [gateway, ledger] },
  clean: { layers: [{ name: "gateway", circuitBreaker: {} }, ledger] }
}
