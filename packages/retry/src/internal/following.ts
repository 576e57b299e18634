import * as NotAsked from "@effect-resilience/errors/NotAsked"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Attempt from "../Attempt.ts"
import { Account } from "./account.ts"
import type { Entered } from "./budget.ts"

/** Whether a failure speaks against another attempt: the dependency was asked, and the call could be made again. */
const counts = (error: unknown, final: boolean): boolean => !final && !NotAsked.isNotAsked(error)

/** A budget that follows each call from its begin to its end. */
export abstract class Following extends Account {
  /** In flight, or about to be: an extra attempt counts from the moment that it was paid for. */
  attempts = 0
  /** How many of them were paid for. */
  paid = 0

  // Policies enter.
  depositUnsafe(): void {}

  failedUnsafe(_paid: boolean, error?: unknown, final = false): void {
    if (counts(error, final)) this.attemptFailed()
  }

  enterUnsafe(): Entered {
    return new Tab(this, undefined, false)
  }

  /** An attempt that was asked failed in a way that allows another one. */
  attemptFailed(): void {}

  /** `lastCost` is what the last extra attempt of the call has cost, if there was one. */
  callEnded(_succeeded: boolean, _lastCost: number | undefined): void {}
}

// The attempts that one policy makes for one call. They take the place of the attempt of the policy around it, so that an
// attempt counts once, however many policies it goes through.
class Tab implements Entered {
  readonly name: string
  readonly kind = "AttemptBudget"
  readonly admitUnsafe = undefined
  readonly account: Following
  private readonly outer: Tab | undefined
  private readonly call: Tab
  /** The attempt that these take the place of was paid for. */
  private readonly isPaid: boolean
  private attempts = 1
  private paid = 0
  /** Attempts of this policy whose failure a policy inside has counted. */
  private counted = 0
  /** The failure of the last attempt is counted, and may become that of the attempt around. */
  private lastFailed = false
  /** The last result inside is one that a policy would have retried, so it is no success. */
  private lastUnwanted = false
  private ended = false
  private lastCost: number | undefined = undefined

  constructor(account: Following, outer: Tab | undefined, isPaid: boolean) {
    this.name = account.name
    this.account = account
    this.outer = outer
    this.call = outer?.call ?? this
    this.isPaid = isPaid
    if (outer === undefined) account.attempts++
  }

  get snapshot() {
    return this.account.snapshot
  }

  execute<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.account.execute(self)
  }

  depositUnsafe(): void {}

  withdrawUnsafe(nowMillis: number, cost = 1): boolean {
    const { account, call } = this
    if (!account.withdrawUnsafe(nowMillis, cost)) return false
    if (!this.ended) {
      call.lastCost = cost
      this.lastUnwanted = false
      this.attempts++
      this.paid++
      account.attempts++
      account.paid++
    }
    return true
  }

  failedUnsafe(wasPaid: boolean, error?: unknown, final = false): void {
    const { account } = this
    if (this.ended) return
    if (this.attempts > 0) {
      this.attempts--
      account.attempts--
      if (wasPaid) this.paid--
      if (wasPaid || this.isPaid) account.paid--
    }
    this.lastFailed = counts(error, final)
    if (this.counted > 0) this.counted--
    else if (this.lastFailed) account.attemptFailed()
  }

  enterUnsafe(context: Context.Context<never>): Entered {
    return this.ended
      ? new Tab(this.account, undefined, false)
      : new Tab(this.account, this, this.isPaid || Context.get(context, Attempt.Current).attempt > 1)
  }

  endUnsafe(exit: Exit.Exit<unknown, unknown>): void {
    const { account, outer } = this
    if (this.ended) return
    this.ended = true
    account.attempts -= this.attempts
    account.paid -= this.isPaid ? this.attempts : this.paid
    const succeeded = Exit.isSuccess(exit) && this.attempts > 0 && !this.lastUnwanted
    if (outer === undefined) return account.callEnded(succeeded, this.lastCost)
    outer.lastUnwanted = Exit.isSuccess(exit) && !succeeded
    account.attempts++
    if (this.isPaid) account.paid++
    // One that was not told of the failure of its attempt hands on that something inside was.
    if (this.attempts === 0 ? this.lastFailed : this.counted > 0 && Exit.isFailure(exit)) outer.counted++
  }
}
