import type { Rule } from "../internal/rule.ts"
import { number, retriesOf } from "../internal/subject.ts"

const bounds = ["budget", "circuitBreaker", "throttle"]

export const unboundedRetries: Rule = {
  name: "unboundedRetries",
  level: "error",
  why:
    "In an outage all calls fail and all retry. The load that they add keeps the server down after the outage has ended (a metastable failure).",
  check: (subject) => {
    const { retry } = subject.parts
    const retries = retriesOf(subject)
    if (retry === undefined || retries === 0 || bounds.some((part) => subject.parts[part] !== undefined)) return []
    return [{
      path: retry.path,
      message: "Nothing bounds the retries of all calls together.",
      arithmetic: `${number(retries)} retries send ${
        number(retries + 1)
      } requests for each call; the server recovers only below 1 / ${number(retries + 1)} = ${
        number(100 / (retries + 1))
      } % load`,
      fix: subject.client === undefined
        ? "Add a `budget` or a `circuitBreaker`; `Pipeline.standard` has both."
        : "A `pipeline` replaces the default whole. Write `{ ...ResilientClient.standard.pipeline, retry }`, or name `budget` and `circuitBreaker` beside `retry`."
    }]
  },
  caught: { name: "ledger", retry: { times: 3 } },
  clean: { name: "ledger", retry: { times: 3 }, budget: {} }
}
