import type { Rule } from "../internal/rule.ts"
import { retriesOf, time } from "../internal/subject.ts"

export const noAttemptLimit: Rule = {
  name: "noAttemptLimit",
  level: "advice",
  why:
    "The outages that hurt are silent. Without a limit of its own, the first attempt waits until the deadline, and no retry begins.",
  check: (subject) => {
    const { attempt, client, total } = subject
    return client !== undefined || attempt !== undefined || total === undefined || retriesOf(subject) === 0 ? [] : [{
      path: subject.path,
      message: `The call is limited to ${time(total.millis)}, and an attempt is not limited.`,
      arithmetic: `a silent server: 1 attempt of ${time(total.millis)}, 0 of ${retriesOf(subject)} retries`,
      fix:
        "Add an `attemptTimeout`: a time that nearly all attempts stay below. The transport may have one; then say the same here."
    }]
  },
  caught: { name: "ledger", deadline: "10 seconds", retry: {}, circuitBreaker: {} },
  clean: { name: "ledger", deadline: "10 seconds", attemptTimeout: "1 second", retry: {}, circuitBreaker: {} }
}
