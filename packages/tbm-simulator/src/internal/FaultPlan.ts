/** The rules in force and how far each has come. */
import type * as Random from "effect/Random"
import * as FaultRule from "../FaultRule.ts"

export interface Call {
  readonly operation: FaultRule.Operation | "other"
  readonly method: string
  /** As sent, without the query. */
  readonly path: string
  readonly decodedPath: string
}

export interface FaultPlan {
  /** The rule that strikes this call, if any. Asking is what counts the call. */
  readonly next: (call: Call) => FaultRule.FaultRule | undefined
  /** False where those would be too many, and then none is added. */
  readonly add: (rules: ReadonlyArray<FaultRule.FaultRule>) => boolean
  /** Drops all rules, and tells how many those were. */
  readonly clear: () => number
  readonly size: () => number
}

export const make = (
  initial: ReadonlyArray<FaultRule.FaultRule>,
  random: typeof Random.Random.Service
): FaultPlan => {
  let plan: Array<{ readonly rule: FaultRule.FaultRule; matched: number; fired: number }> = []
  const add = (rules: ReadonlyArray<FaultRule.FaultRule>) => {
    plan = plan.filter(({ fired, rule }) => fired < mostStrikes(rule))
    if (plan.length + rules.length > FaultRule.maxRules) return false
    for (const rule of rules) plan.push({ rule, matched: 0, fired: 0 })
    return true
  }
  add(initial)
  return {
    next(call) {
      let winner: FaultRule.FaultRule | undefined
      for (const entry of plan) {
        const { rule } = entry
        if (!matches(rule, call)) continue
        entry.matched++
        if (winner !== undefined) continue
        if (entry.matched <= (rule.after ?? 0) || entry.fired >= mostStrikes(rule)) continue
        if (rule.probability !== undefined && random.nextDoubleUnsafe() >= rule.probability) continue
        entry.fired++
        winner = rule
      }
      return winner
    },
    add,
    clear() {
      const size = plan.length
      plan = []
      return size
    },
    size: () => plan.length
  }
}

const mostStrikes = ({ times = Number.POSITIVE_INFINITY }: FaultRule.FaultRule): number => times

const matches = ({ fault, match = {} }: FaultRule.FaultRule, call: Call): boolean =>
  (match.operation === undefined || match.operation === call.operation) &&
  (match.method === undefined || match.method.toUpperCase() === call.method) &&
  (match.path === undefined || contains(call.path, match.path) || contains(call.decodedPath, match.path)) &&
  (fault.type !== "corruptMd5" || call.operation === "upload" || call.operation === "part")

/** Whether the pieces between the stars occur in the path, in order. */
const contains = (path: string, pattern: string): boolean => {
  let from = 0
  return pattern.split("*").every((piece) => {
    const at = path.indexOf(piece, from)
    from = at + piece.length
    return at !== -1
  })
}
