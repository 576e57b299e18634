import type { Rule } from "../internal/rule.ts"
import { isJson, limitOf, time } from "../internal/subject.ts"

export const limitsContradict: Rule = {
  name: "limitsContradict",
  level: "error",
  why: "Of two limits the shorter one decides, so the other says something that never happens.",
  check: ({ attempt, client, operation, parts: { circuitBreaker, hedge, retry } }) => {
    const described = operation ?? client
    const timeouts = described?.options["timeouts"]
    const within = described !== undefined && isJson(timeouts)
      ? ["connect", "firstByte"].map((name) => limitOf(timeouts, name, [...described.path, "timeouts"]))
      : []
    const slow = [circuitBreaker?.options["tripPolicy"]].flat().flatMap((rule, i, all) =>
      circuitBreaker !== undefined && isJson(rule) && isJson(rule["slow"])
        ? [limitOf(rule["slow"], "slowerThan", [
          ...circuitBreaker.path,
          "tripPolicy",
          ...all.length > 1 ? [i] : [],
          "slow"
        ])]
        : []
    )
    const after = hedge?.options["after"]
    const hedges = hedge === undefined
      ? []
      : [isJson(after) ? limitOf(after, "min", [...hedge.path, "after"]) : limitOf(hedge.options, "after", hedge.path)]
    const cut = [...within, ...slow, ...hedges].flatMap((limit) =>
      attempt !== undefined && limit !== undefined && attempt.written &&
        (limit.millis > attempt.millis || (limit.millis === attempt.millis && !within.includes(limit)))
        ? [{
          path: limit.path,
          message: `\`${limit.path.at(-1)}\` is ${time(limit.millis)}, and an attempt ends after ${
            time(attempt.millis)
          }.`,
          arithmetic: `${time(limit.millis)} ${limit.millis > attempt.millis ? ">" : "="} ${time(attempt.millis)}`,
          fix: `Write less than ${time(attempt.millis)}.`
        }]
        : []
    )
    const clamp = retry && limitOf(retry.options, "clampRetryAfter", retry.path)
    const cap = retry && limitOf(retry.options, "maxRetryAfter", retry.path)
    return clamp !== undefined && cap !== undefined && clamp.millis > cap.millis
      ? [...cut, {
        path: clamp.path,
        message: "`clampRetryAfter` is longer than `maxRetryAfter`, where the retry has stopped already.",
        arithmetic: `${time(clamp.millis)} > ${time(cap.millis)}`,
        fix: `Write at most ${time(cap.millis)}, or leave it out.`
      }]
      : cut
  },
  caught: { name: "ledger", attemptTimeout: "1 second", hedge: { after: "2 seconds" } },
  clean: { name: "ledger", attemptTimeout: "1 second", hedge: { after: "200 millis" } }
}
