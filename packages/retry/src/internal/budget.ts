// What a retry needs of budgets, apart from the module that makes them: a bundler then leaves that out.
import * as Direct from "@effect-resilience/kernel/Direct"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import * as Time from "@effect-resilience/kernel/Time"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/**
 * The account of one dependency, and the policy that puts it in charge of the extra attempts inside an effect. Times are
 * milliseconds of the monotonic clock.
 *
 * A budget that has to know how calls go on, since it gives refunds or counts what is in flight, has `enterUnsafe` and
 * `failedUnsafe`. Others leave them out, and a call of theirs costs nothing when it ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptBudget extends Policy.Policy<never, Snapshot> {
  /** A call begins: its first attempt is made. `context` has the clock. */
  readonly depositUnsafe: (context: Context.Context<never>) => void
  /** Whether an extra attempt may be made now, of this cost, by default 1; pays for it. */
  readonly withdrawUnsafe: (nowMillis: number, cost?: number) => boolean
  /** An attempt failed with `error`. `paid`: it was an extra one. `final`: in a way that allows no other one. */
  readonly failedUnsafe?: ((paid: boolean, error?: unknown, final?: boolean) => void) | undefined
  /** A policy begins to make the attempts of a call. What is returned is the budget inside; it is told of the end. */
  readonly enterUnsafe?: ((context: Context.Context<never>) => Entered) | undefined
  /** Of the budget inside a call: the one that the call was told to. */
  readonly account?: AttemptBudget | undefined
}

/**
 * The budget inside a call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entered extends AttemptBudget {
  /** The policy that entered ends. Only the first end counts. */
  readonly endUnsafe: (exit: Exit.Exit<unknown, unknown>) => void
}

/**
 * A look at a budget.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** How many extra attempts of cost 1 could be made now; `Infinity` where nothing limits them. */
  readonly balance: number
  /** How many were rejected since the budget was made. */
  readonly rejected: number
  /** The attempts in flight, of a budget that counts them. */
  readonly inFlight?: number | undefined
}

/** The policy of an account. */
export const make = (
  account: Pick<AttemptBudget, "name" | "depositUnsafe" | "withdrawUnsafe" | "snapshot" | "account">
): AttemptBudget => {
  const budget: AttemptBudget = {
    ...account,
    kind: "AttemptBudget",
    admitUnsafe: undefined,
    execute: (self) => provide(self, budget)
  }
  return budget
}

/** The deposit of budgets that none can change. */
export const nothing = (): void => {}

export const noop: AttemptBudget = /* @__PURE__ */ make({
  name: "noop",
  depositUnsafe: nothing,
  withdrawUnsafe: () => true,
  snapshot: /* @__PURE__ */ Effect.succeed({ balance: Infinity, rejected: 0 })
})

export const current: Context.Reference<AttemptBudget> = /* @__PURE__ */ Context.Reference<AttemptBudget>(
  "@effect-resilience/retry/AttemptBudget/Current",
  { defaultValue: () => noop }
)

/** Puts a budget in charge. Inside a call that it was told of, it is so already, and the call goes on. */
export const provide = <A, E, R>(self: Effect.Effect<A, E, R>, budget: AttemptBudget): Effect.Effect<A, E, R> =>
  Direct.updateContext(
    self,
    (context) => Context.get(context, current).account === budget ? context : Context.add(context, current, budget)
  )

/**
 * Deposits for a call, unless something around it has. Returns the budget that holds inside; `undefined` where it holds
 * already.
 */
export const deposit = (
  context: Context.Context<never>,
  outer: AttemptBudget = Context.get(context, current)
): AttemptBudget | undefined => {
  if (outer.depositUnsafe === nothing) return undefined
  if (outer.enterUnsafe !== undefined) return outer.enterUnsafe(context)
  outer.depositUnsafe(context)
  const known = insides.get(outer)
  if (known !== undefined) return known
  const inside = make({
    name: outer.name,
    depositUnsafe: nothing,
    withdrawUnsafe: (nowMillis, cost) => outer.withdrawUnsafe(nowMillis, cost),
    snapshot: outer.snapshot,
    account: outer
  })
  insides.set(outer, inside)
  return inside
}

/** Pays for an extra attempt, or tells that the budget rejects it. The account itself counts that. */
export const withdraw = (budget: AttemptBudget, context: Context.Context<never>, cost?: number): boolean => {
  if (budget.withdrawUnsafe(Time.nowUnsafe(context), cost)) return true
  PolicyEvent.emitUnsafe(context, {
    _tag: "Rejected",
    policy: budget.name,
    kind: "AttemptBudget",
    reason: "BudgetExhausted"
  })
  return false
}

const insides = /* @__PURE__ */ new WeakMap<AttemptBudget, AttemptBudget>()

export const isEntered = (budget: AttemptBudget): budget is Entered => "endUnsafe" in budget

/** A call with a budget that is told of its end. */
export const followed = <A, E, R>(
  budget: AttemptBudget,
  call: (inside: AttemptBudget | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  let inside: AttemptBudget | undefined
  // The frame comes first: an interruption can come before the first step of what is inside.
  return Effect.onExitPrimitive(
    Effect.withFiber((fiber) => call(inside = deposit(fiber.context, budget))),
    (exit): undefined => {
      if (inside !== undefined && isEntered(inside)) inside.endUnsafe(exit)
    }
  )
}
