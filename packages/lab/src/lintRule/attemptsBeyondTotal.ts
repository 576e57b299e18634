import type { Rule } from "../internal/rule.ts"
import { longestWaits, retriesOf, sum, time } from "../internal/subject.ts"

export const attemptsBeyondTotal: Rule = {
  name: "attemptsBeyondTotal",
  level: "advice",
  why: "The last retries of a call to a silent server never begin, or are cut off before they can succeed.",
  check: (subject) => {
    const { attempt, parts: { retry }, total } = subject
    const retries = retriesOf(subject)
    if (retry === undefined || attempt === undefined || total === undefined || !(retries >= 1 && retries < 100)) {
      return []
    }
    if (attempt.millis >= total.millis) return []
    const waits = longestWaits(retry, retries)
    if (waits === undefined) return []
    const begins = retries * attempt.millis + sum(waits)
    if (total.millis - begins >= attempt.millis / 2) return []
    const fitting = Math.max(0, Math.floor((total.millis - sum(waits)) / (retries + 1)))
    return [{
      path: retry.path,
      message: `${retries + 1} attempts do not fit into the ${time(total.millis)} of a call.`,
      arithmetic: `${retries} × ${time(attempt.millis)} + waits of up to ${
        time(sum(waits))
      }: the last attempt begins after ${time(begins)}`,
      fix: fitting > 0
        ? `Limit an attempt to ${time(fitting)}, or make fewer retries.`
        : "Make fewer retries, or wait less between them."
    }]
  },
  caught: { name: "ledger", deadline: "10 seconds", attemptTimeout: "5 seconds", retry: { times: 3 }, budget: {} },
  clean: { name: "ledger", deadline: "10 seconds", attemptTimeout: "1 second", retry: { times: 3 }, budget: {} }
}
