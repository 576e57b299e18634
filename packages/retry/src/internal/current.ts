// What a retry reads of its surroundings, apart from the modules that work with it: a bundler then leaves those out.
import * as Context from "effect/Context"
import type { AttemptBudget } from "../AttemptBudget.ts"
import type { Observer } from "../RetryEvent.ts"

/** The deposit of budgets that none can change. */
export const nothing = (): void => {}

export const unlimited: AttemptBudget = {
  name: "unlimited",
  depositUnsafe: nothing,
  withdrawUnsafe: () => true
}

export const budget: Context.Reference<AttemptBudget> = /* @__PURE__ */ Context.Reference<AttemptBudget>(
  "@effect-resilience/retry/AttemptBudget/Current",
  { defaultValue: () => unlimited }
)

/**
 * Deposits for a call, unless something around it has. Returns the budget that holds inside, where nothing deposits again;
 * `undefined` where it holds already.
 */
export const deposit = (context: Context.Context<never>): AttemptBudget | undefined => {
  const outer = Context.get(context, budget)
  if (outer.depositUnsafe === nothing) return undefined
  outer.depositUnsafe()
  const known = insides.get(outer)
  if (known !== undefined) return known
  const inside: AttemptBudget = {
    name: outer.name,
    depositUnsafe: nothing,
    withdrawUnsafe: (nowMillis) => outer.withdrawUnsafe(nowMillis),
    levelUnsafe: outer.levelUnsafe === undefined ? undefined : (nowMillis) => outer.levelUnsafe?.(nowMillis) ?? Infinity
  }
  insides.set(outer, inside)
  return inside
}

const insides = /* @__PURE__ */ new WeakMap<AttemptBudget, AttemptBudget>()

export const observer: Context.Reference<Observer | undefined> = /* @__PURE__ */ Context.Reference<
  Observer | undefined
>("@effect-resilience/retry/RetryEvent/CurrentObserver", { defaultValue: () => undefined })
