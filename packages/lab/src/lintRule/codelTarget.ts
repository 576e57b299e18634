import type { Rule } from "../internal/rule.ts"
import { isJson, millisOf, number, numberOf, time } from "../internal/subject.ts"

const server = { workers: 2, serviceTime: { exponential: "200 millis" } }

const policy = (discipline: unknown) => ({
  name: "ledger",
  deadline: "5 seconds",
  bulkhead: { permits: 2, queue: 20, discipline }
})

export const codelTarget: Rule = {
  name: "codelTarget",
  level: "error",
  why: "Where no permit comes free within the target, the queue is empty when one does.",
  check: ({ parts: { bulkhead }, world: { serviceMillis } }) => {
    const discipline = bulkhead?.options["discipline"]
    const codel = isJson(discipline) ? discipline["codel"] : discipline === "codel" ? {} : undefined
    if (bulkhead === undefined || codel === undefined || serviceMillis === undefined) return []
    const target = (isJson(codel) ? millisOf(codel["target"]) : undefined) ?? 5
    const permits = numberOf(bulkhead.options, "permits", 1)
    const between = serviceMillis / permits
    return between <= target ? [] : [{
      path: [...bulkhead.path, "discipline"],
      message: "A permit comes free less often than once in the target.",
      arithmetic: `${time(serviceMillis)} / ${number(permits)} permits = ${time(between)} > ${time(target)}`,
      fix: `Write a \`target\` of at least ${time(2 * between)}.`
    }]
  },
  caught: { policy: policy("codel"), server },
  clean: { policy: policy({ codel: { target: "200 millis", interval: "1 second" } }), server }
}
