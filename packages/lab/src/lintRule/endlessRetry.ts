import type { Rule } from "../internal/rule.ts"
import { limitOf, longestWaits, number, retriesOf, time } from "../internal/subject.ts"

export const endlessRetry: Rule = {
  name: "endlessRetry",
  level: "error",
  why: "A server that responds with 429 for ever is asked for ever, and callers pile up in front of it.",
  check: (subject) => {
    const { parts: { retry }, total } = subject
    if (retry === undefined || retriesOf(subject) < Infinity || total !== undefined) return []
    if (limitOf(retry.options, "maxDuration", retry.path) !== undefined) return []
    const longest = Math.max(1, longestWaits(retry, 100)?.at(-1) ?? 1000)
    return [{
      path: [...retry.path, "times"],
      message: "Retries have neither a number nor a time at which they end.",
      arithmetic: `waits of up to ${time(longest)}: ${
        number(3_600_000 / longest)
      } requests an hour or more for each call`,
      fix: "Set `times`, `maxDuration` or a `deadline`."
    }]
  },
  caught: { name: "ledger", retry: { times: null }, budget: {} },
  clean: { name: "ledger", deadline: "1 minute", attemptTimeout: "5 seconds", retry: { times: null }, budget: {} }
}
