/** The rules in force, each with its counts. */
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
  /** Counts the call for all rules, and returns the rule that fires, if any. */
  readonly next: (call: Call) => FaultRule.FaultRule | undefined
  /** Adds all rules, or none and returns false if there would be too many. */
  readonly add: (rules: ReadonlyArray<FaultRule.FaultRule>) => boolean
  readonly clear: () => void
}

export const make = (
  initial: ReadonlyArray<FaultRule.FaultRule>,
  random: typeof Random.Random.Service
): FaultPlan => {
  let plan: Array<{ readonly rule: FaultRule.FaultRule; matched: number; fired: number }> = []
  const add = (rules: ReadonlyArray<FaultRule.FaultRule>) => {
    plan = plan.filter(({ fired, rule }) => fired < maxFirings(rule))
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
        if (entry.matched <= (rule.after ?? 0) || entry.fired >= maxFirings(rule)) continue
        if (rule.probability !== undefined && random.nextDoubleUnsafe() >= rule.probability) continue
        entry.fired++
        winner = rule
      }
      return winner
    },
    add,
    clear() {
      plan = []
    }
  }
}

const maxFirings = ({ times = Number.POSITIVE_INFINITY }: FaultRule.FaultRule): number => times

const matches = ({ fault, match = {} }: FaultRule.FaultRule, call: Call): boolean =>
  (match.operation === undefined || match.operation === call.operation) &&
  (match.method === undefined || match.method.toUpperCase() === call.method) &&
  (match.path === undefined || contains(call.path, match.path) || contains(call.decodedPath, match.path)) &&
  (fault.type !== "corruptMd5" || call.operation === "upload" || call.operation === "part")

/** True if the pieces between the stars occur in the path, in order. */
const contains = (path: string, pattern: string): boolean => {
  let from = 0
  return pattern.split("*").every((piece) => {
    const at = path.indexOf(piece, from)
    from = at + piece.length
    return at !== -1
  })
}
