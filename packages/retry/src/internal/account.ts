import * as Time from "@effect-resilience/kernel/Time"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { AttemptBudget, Snapshot } from "./budget.ts"
import { provide } from "./budget.ts"

/** What all kinds of budget have in common: a name, the service, and the count of what was rejected. */
export abstract class Account implements AttemptBudget {
  readonly name: string
  readonly kind = "AttemptBudget"
  readonly admitUnsafe = undefined
  private rejected = 0

  constructor(name: string) {
    this.name = name
  }

  get snapshot(): Effect.Effect<Snapshot> {
    return Effect.map(Time.now, (nowMillis) => ({ ...this.look(nowMillis), rejected: this.rejected }))
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return provide(self, this)
  }

  withdrawUnsafe(nowMillis: number, cost = 1): boolean {
    if (this.pay(nowMillis, cost)) return true
    this.rejected++
    return false
  }

  abstract depositUnsafe(context: Context.Context<never>): void

  /** Whether the account can be forgotten: a new one would be the same. */
  abstract isIdle(nowMillis: number): boolean

  protected abstract look(nowMillis: number): Omit<Snapshot, "rejected">

  /** Takes what an extra attempt costs, if it is there. */
  protected abstract pay(nowMillis: number, cost: number): boolean
}

/** Opens the account of a name. */
export type Open = (name: string) => Account
