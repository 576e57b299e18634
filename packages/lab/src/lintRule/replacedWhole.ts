import type { Rule } from "../internal/rule.ts"
import { retriesOf } from "../internal/subject.ts"

export const replacedWhole: Rule = {
  name: "replacedWhole",
  level: "advice",
  why: "The `pipeline` of a client replaces the default whole. What it does not name is left out, not standard.",
  check: (subject) => {
    const { client, operation, parts } = subject
    if (client === undefined || operation !== undefined || retriesOf(subject) === 0) return []
    const missing = ["budget", "circuitBreaker"].filter((part) => parts[part] === undefined)
    return missing.length === 1
      ? [{
        path: [...client.path, "pipeline"],
        message: `This pipeline retries and has no \`${missing[0]}\`, which the default has.`,
        fix: `Add \`${missing[0]}: {}\`, or write \`{ ...ResilientClient.standard.pipeline, … }\`.`
      }]
      : []
  },
  caught: { name: "ledger", baseUrl: "https://ledger.example.com", pipeline: { retry: { times: 1 }, budget: {} } },
  clean: {
    name: "ledger",
    baseUrl: "https://ledger.example.com",
    pipeline: { retry: { times: 1 }, budget: {}, circuitBreaker: {} }
  }
}
