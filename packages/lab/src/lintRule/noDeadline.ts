import type { Rule } from "../internal/rule.ts"
import { longestWaits, retriesOf, sum, time } from "../internal/subject.ts"

export const noDeadline: Rule = {
  name: "noDeadline",
  level: "advice",
  why: "A limit for each attempt does not bound the call: attempts, waits and queues add up while the caller waits.",
  check: (subject) => {
    const { attempt, operation, parts: { retry }, total } = subject
    const retries = retriesOf(subject)
    if (retry === undefined || total !== undefined || attempt === undefined || !(retries >= 1 && retries < 100)) {
      return []
    }
    if (operation?.options["body"] === "stream") return []
    const longest = (retries + 1) * attempt.millis + sum(longestWaits(retry, retries) ?? [])
    return [{
      path: subject.path,
      message: "Attempts are limited in time, and the call is not.",
      arithmetic: `${retries + 1} × ${time(attempt.millis)} + waits = up to ${time(longest)}`,
      fix: subject.client === undefined
        ? "Add a `deadline`: what the caller waits for."
        : "Write a finite `timeouts.total`."
    }]
  },
  caught: { name: "ledger", attemptTimeout: "10 seconds", retry: { times: 5 }, budget: {} },
  clean: { name: "ledger", deadline: "1 minute", attemptTimeout: "5 seconds", retry: { times: 5 }, budget: {} }
}
