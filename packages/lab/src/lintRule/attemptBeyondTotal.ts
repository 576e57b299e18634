import type { Rule } from "../internal/rule.ts"
import { retriesOf, time } from "../internal/subject.ts"

export const attemptBeyondTotal: Rule = {
  name: "attemptBeyondTotal",
  level: "error",
  why: "Where a server is silent, the first attempt uses up the time of the whole call, and no retry begins.",
  check: (subject) => {
    const { attempt, total } = subject
    if (attempt === undefined || total === undefined || attempt.millis < total.millis) return []
    if (!attempt.written && !total.written) return []
    const retries = retriesOf(subject)
    if (retries === 0 && !attempt.written) return []
    const fitting = total.millis / (Math.min(retries, 9) + 1)
    return [{
      path: attempt.written ? attempt.path : total.path,
      message: `An attempt may take ${time(attempt.millis)}, and the whole call ${time(total.millis)}.`,
      arithmetic: `${time(attempt.millis)} ≥ ${time(total.millis)}: 1 attempt of ${retries + 1} fits`,
      fix: `Limit an attempt to a time that nearly all stay below, at most ${time(fitting)}.`,
      level: attempt.written && total.written ? "error" : "advice"
    }]
  },
  caught: { name: "ledger", deadline: "2 seconds", attemptTimeout: "5 seconds" },
  clean: { name: "ledger", deadline: "5 seconds", attemptTimeout: "2 seconds" }
}
