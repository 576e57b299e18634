import { Account } from "./account.ts"
import { fromUnits, toUnits, unit } from "./units.ts"

export interface Rates {
  readonly ratio: number
  readonly minPerSecond: number
  readonly burst: number
}

/** An account that each call and each second pays into. */
export class Tokens extends Account {
  private readonly ratio: number
  private readonly perMilli: number
  private readonly burst: number
  private balance: number
  // Time pays since `paidSince`, and has paid `paidByTime` of it. Summed up from fractions, it would drift.
  private paidSince: number | undefined = undefined
  private paidByTime = 0
  private readAt = 0

  constructor({ burst, minPerSecond, ratio }: Rates, name: string) {
    super(name)
    this.ratio = toUnits(ratio)
    this.perMilli = minPerSecond * unit / 1000
    this.burst = toUnits(burst)
    this.balance = this.burst
  }

  depositUnsafe(): void {
    this.balance = Math.min(this.burst, this.balance + this.ratio)
  }

  isIdle(nowMillis: number): boolean {
    return this.perMilli === 0 || this.balanceAt(nowMillis) === this.burst
  }

  protected look(nowMillis: number) {
    return { balance: fromUnits(this.balanceAt(nowMillis)) }
  }

  protected pay(nowMillis: number, cost: number): boolean {
    const price = toUnits(cost)
    if (this.balanceAt(nowMillis) < price) return false
    this.balance -= price
    return true
  }

  private balanceAt(nowMillis: number): number {
    if (this.paidSince === undefined || nowMillis < this.readAt) this.payFrom(nowMillis)
    else {
      const due = Math.floor((nowMillis - this.paidSince) * this.perMilli)
      this.balance += due - this.paidByTime
      this.paidByTime = due
      if (this.balance >= this.burst) {
        this.balance = this.burst
        this.payFrom(nowMillis)
      }
    }
    this.readAt = nowMillis
    return this.balance
  }

  private payFrom(nowMillis: number): void {
    this.paidSince = nowMillis
    this.paidByTime = 0
  }
}
