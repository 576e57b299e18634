import type { Rule } from "../internal/rule.ts"
import { isJson } from "../internal/subject.ts"

const client = (tripPolicy: unknown) => ({
  name: "ledger",
  baseUrl: ["https://a.example.com", "https://b.example.com"],
  pipeline: { retry: { times: 2 }, budget: {}, circuitBreaker: { tripPolicy } }
})

export const sharedBreaker: Rule = {
  name: "sharedBreaker",
  level: "advice",
  why: "One breaker for many servers: one that fails cuts off the others.",
  check: ({ client, operation, parts: { circuitBreaker } }) => {
    const urls = client?.options["baseUrl"]
    if (!Array.isArray(urls) || urls.length < 2 || circuitBreaker === undefined || operation !== undefined) return []
    const rules = [circuitBreaker.options["tripPolicy"]].flat()
    if (rules.some((rule) => rule === "proportional" || (isJson(rule) && "proportional" in rule))) return []
    return [{
      path: circuitBreaker.path,
      message: `One breaker stands before ${urls.length} addresses.`,
      arithmetic: `1 of ${urls.length} addresses that fails makes a failure rate of ${Math.round(100 / urls.length)} %`,
      fix:
        "Write `tripPolicy: \"proportional\"`, which never rejects all, and leave single addresses to `endpoints.ejection`."
    }]
  },
  caught: client({ consecutive: 5 }),
  clean: client("proportional")
}
