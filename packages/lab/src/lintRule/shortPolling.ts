import type { Rule } from "../internal/rule.ts"
import { isJson } from "../internal/subject.ts"

export const shortPolling: Rule = {
  name: "shortPolling",
  level: "advice",
  why: "`retryWhen` that waits for a job looks as often as `times` says, and each look takes from the budget.",
  check: ({ parts: { retry } }) =>
    retry === undefined || retry.options["retryWhen"] === undefined || "times" in retry.options ? [] : [{
      path: [...retry.path, "retryWhen"],
      message: "The fourth look is the last, and each look costs as much as a retry.",
      arithmetic: `1 + times 3 = 4 looks, 3 × cost ${isJson(retry.options) ? String(retry.options["cost"] ?? 1) : 1}`,
      fix: "Write `times` and `maxDuration` for the job, or poll with a policy of its own."
    }],
  caught: { name: "jobs", retry: { retryWhen: "isPending" }, circuitBreaker: {} },
  clean: { name: "jobs", retry: { retryWhen: "isPending", times: 20 }, circuitBreaker: {} }
}
