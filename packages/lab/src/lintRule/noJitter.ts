import type { Rule } from "../internal/rule.ts"
import { isJson, processesOf, retriesOf } from "../internal/subject.ts"

const isPlain = (backoff: unknown): boolean => {
  if (!isJson(backoff)) return false
  const { custom, linear, list } = backoff
  if (custom !== undefined) return true
  if (isJson(linear)) return linear["jitter"] === "none" || linear["jitter"] === 0
  if (list !== undefined) return !isJson(list) || [undefined, "none", 0].includes(list["jitter"] as undefined)
  return backoff["jitter"] === "none" || backoff["jitter"] === 0
}

export const noJitter: Rule = {
  name: "noJitter",
  level: "error",
  why: "Callers that failed together come back together, again and again.",
  check: (subject) => {
    const { parts: { retry } } = subject
    const processes = processesOf(subject)
    if (retry === undefined || retriesOf(subject) === 0 || processes === 1) return []
    const kinds = isJson(retry.options["kinds"]) ? Object.entries(retry.options["kinds"]) : []
    return [
      { backoff: retry.options["backoff"], path: [...retry.path, "backoff"] },
      ...kinds.map(([kind, options]) => ({
        backoff: isJson(options) ? options["backoff"] : undefined,
        path: [...retry.path, "kinds", kind, "backoff"]
      }))
    ].filter(({ backoff }) => isPlain(backoff)).map(({ backoff, path }) => ({
      path,
      message: "These waits have no jitter.",
      arithmetic:
        "100 contending clients need less than half as many calls with full jitter (AWS, *Exponential Backoff and Jitter*)",
      fix: isJson(backoff) && "custom" in backoff
        ? "Let the function draw from `random`, or use a backoff with a jitter."
        : "Leave `jitter` out: the default is full.",
      // A function may draw by itself; and nothing says that there is a fleet.
      level: processes === undefined || (isJson(backoff) && "custom" in backoff) ? "advice" : "error"
    }))
  },
  caught: { name: "ledger", retry: { backoff: { list: ["1 second", "2 seconds"] } }, budget: { processes: 20 } },
  clean: {
    name: "ledger",
    retry: { backoff: { list: { delays: ["1 second", "2 seconds"], jitter: "full" } } },
    budget: { processes: 20 }
  }
}
