import type { Rule } from "../internal/rule.ts"
import { isJson } from "../internal/subject.ts"

const client = (retry: unknown) => ({
  name: "ledger",
  baseUrl: "https://ledger.example.com",
  auth: "tokens",
  pipeline: { retry, budget: {}, circuitBreaker: {} }
})

export const doubleLogin: Rule = {
  name: "doubleLogin",
  level: "error",
  why: "The authentication replays a 401 with a new token itself. A retry around it makes each attempt log in twice.",
  check: ({ client, parts: { retry } }) => {
    const kinds = retry?.options["kinds"]
    return client?.options["auth"] === undefined || retry === undefined || !isJson(kinds) ||
        kinds["expired"] === undefined
      ? []
      : [{
        path: [...retry.path, "kinds", "expired"],
        message: "A 401 is replayed by the authentication, and retried around it.",
        arithmetic: "2 attempts × 2 tokens = 4 requests and 2 logins for one 401",
        fix: "Leave `expired` out."
      }]
  },
  caught: client({ kinds: { expired: {} } }),
  clean: client({ times: 2 })
}
