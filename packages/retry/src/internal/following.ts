import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Account } from "./account.ts"
import type { Entered } from "./budget.ts"

/** A budget that follows each call from its begin to its end. */
export abstract class Following extends Account {
  /** In flight, or about to be: an extra attempt counts from the moment that it was paid for. */
  attempts = 0
  /** How many of them were paid for. */
  paid = 0

  // Policies enter.
  depositUnsafe(): void {}

  failedUnsafe(_paid: boolean): void {
    this.attemptFailed()
  }

  enterUnsafe(): Entered {
    return new Tab(this, undefined)
  }

  /** An attempt failed in a way that allows another one. */
  attemptFailed(): void {}

  /** `lastCost` is what the last extra attempt of the call has cost, 0 where there was none. */
  callEnded(_succeeded: boolean, _lastCost: number): void {}
}

// What a policy owes the budget for the attempts of one call. The outermost policy's tab is the call's: attempts are counted
// there, so that one that fails through several policies fails once.
class Tab implements Entered {
  readonly name: string
  readonly kind = "AttemptBudget"
  readonly admitUnsafe = undefined
  private readonly budget: Following
  private readonly call: Tab
  /** Extra attempts of this policy that have not ended. */
  private held = 0
  private ended = false
  // Of the call.
  private attempts = 0
  private paid = 0
  private lastCost = 0

  constructor(budget: Following, call: Tab | undefined) {
    this.name = budget.name
    this.budget = budget
    this.call = call ?? this
    if (this.call.attempts === 0) this.call.count(1, 0)
  }

  get snapshot() {
    return this.budget.snapshot
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.budget.execute(self)
  }

  depositUnsafe(): void {}

  withdrawUnsafe(nowMillis: number, cost = 1): boolean {
    if (!this.budget.withdrawUnsafe(nowMillis, cost)) return false
    if (!this.ended) {
      this.held++
      this.call.lastCost = cost
      this.call.count(1, 1)
    }
    return true
  }

  failedUnsafe(paid: boolean): void {
    const { budget, call } = this
    const released = paid && this.held > 0 ? 1 : 0
    this.held -= released
    const isNew = call.attempts > 0
    call.count(isNew ? -1 : 0, -released)
    if (isNew) budget.attemptFailed()
  }

  enterUnsafe(): Entered {
    return new Tab(this.budget, this.call.ended ? undefined : this.call)
  }

  endUnsafe(exit: Exit.Exit<unknown, unknown>): void {
    if (this.ended) return
    this.ended = true
    this.call.count(0, -this.held)
    this.held = 0
    if (this.call !== this) return
    this.count(-this.attempts, -this.paid)
    this.budget.callEnded(Exit.isSuccess(exit), this.lastCost)
  }

  // A retry within a retry has paid twice for the attempt that is in flight.
  private count(attempts: number, paid: number): void {
    const before = Math.min(this.attempts, this.paid)
    this.attempts += attempts
    this.paid += paid
    this.budget.attempts += attempts
    this.budget.paid += Math.min(this.attempts, this.paid) - before
  }
}
