import type { Rule } from "../internal/rule.ts"
import { millisOf, number, numberOf, time } from "../internal/subject.ts"

export const endlessThrottle: Rule = {
  name: "endlessThrottle",
  level: "error",
  why:
    "After an outage, calls to a server that is well again are rejected for minutes, since hardly one passes that could show it.",
  check: ({ parts: { throttle }, world: { callsPerSecond = 100 } }) => {
    if (throttle === undefined || numberOf(throttle.options, "maxProbability", 0.8) <= 0.95) return []
    const window = millisOf(throttle.options["window"]) ?? 10_000
    const k = numberOf(throttle.options, "multiplier", numberOf(throttle.options, "k", 2))
    // x = K (1 − e^−x), by iteration.
    const x = Array.from({ length: 50 }).reduce<number>((x) => k * (1 - Math.exp(-x)), k)
    const calls = callsPerSecond * window / 1000
    const recovery = window * Math.log(Math.max(Math.E, calls / 2)) / Math.max(0.1, x)
    return [{
      path: [...throttle.path, "maxProbability"],
      message: "The throttle may reject nearly all calls.",
      arithmetic: `window × ln(calls in it / 2) / x with x = K(1 − e^−x): ${time(window)} × ln(${
        number(calls / 2)
      }) / ${number(x)} = ${time(recovery)} after the outage`,
      fix: "Leave it out (0.8), and write a `window` of some seconds."
    }]
  },
  caught: { name: "ledger", throttle: { window: "2 minutes", maxProbability: 1 } },
  clean: { name: "ledger", throttle: { window: "10 seconds" } }
}
