// What a retry needs of budgets, apart from the module that makes them: a bundler then leaves that out.
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * The account of one dependency, and the policy that puts it in charge of the extra attempts inside an effect. Times are
 * milliseconds of the monotonic clock.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptBudget extends Policy.Policy<never, Snapshot> {
  /** A first attempt is made. */
  readonly depositUnsafe: () => void
  /** Whether an extra attempt may be made now; pays for it. */
  readonly withdrawUnsafe: (nowMillis: number) => boolean
}

/**
 * A look at a budget.
 *
 * - `balance`: how many extra attempts could be made now; `Infinity` where nothing limits them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly balance: number
}

/** The policy of an account. */
export const make = (
  account: Pick<AttemptBudget, "name" | "depositUnsafe" | "withdrawUnsafe" | "snapshot">
): AttemptBudget => {
  const budget: AttemptBudget = {
    ...account,
    admitUnsafe: undefined,
    execute: (self) => Effect.provideService(self, current, budget)
  }
  return budget
}

/** The deposit of budgets that none can change. */
export const nothing = (): void => {}

export const noop: AttemptBudget = /* @__PURE__ */ make({
  name: "noop",
  depositUnsafe: nothing,
  withdrawUnsafe: () => true,
  snapshot: /* @__PURE__ */ Effect.succeed({ balance: Infinity })
})

export const current: Context.Reference<AttemptBudget> = /* @__PURE__ */ Context.Reference<AttemptBudget>(
  "@effect-resilience/retry/AttemptBudget/Current",
  { defaultValue: () => noop }
)

/**
 * Deposits for a call, unless something around it has. Returns the budget that holds inside, where nothing deposits again;
 * `undefined` where it holds already.
 */
export const deposit = (context: Context.Context<never>): AttemptBudget | undefined => {
  const outer = Context.get(context, current)
  if (outer.depositUnsafe === nothing) return undefined
  outer.depositUnsafe()
  const known = insides.get(outer)
  if (known !== undefined) return known
  const inside = make({
    name: outer.name,
    depositUnsafe: nothing,
    withdrawUnsafe: (nowMillis) => outer.withdrawUnsafe(nowMillis),
    snapshot: outer.snapshot
  })
  insides.set(outer, inside)
  return inside
}

const insides = /* @__PURE__ */ new WeakMap<AttemptBudget, AttemptBudget>()
