import { toUnits, unit } from "./units.ts"

/** How an account fills: for each call, for each second, and up to how much. */
export interface Rates {
  readonly ratio: number
  readonly minPerSecond: number
  readonly burst: number
}

/** The arithmetic of an account that each call and each second pays into, in units. */
export class Purse {
  readonly most: number
  private readonly perCall: number
  private readonly perMilli: number
  private balance: number
  // Time pays since `paidSince`, and has paid `paidByTime` of it. Summed up from fractions, it would drift.
  private paidSince: number | undefined = undefined
  private paidByTime = 0
  private readAt = 0

  constructor({ burst, minPerSecond, ratio }: Rates, balance = toUnits(burst)) {
    this.perCall = toUnits(ratio)
    this.perMilli = perMilliOf(minPerSecond)
    this.most = toUnits(burst)
    this.balance = balance
  }

  get isFilledByTime(): boolean {
    return this.perMilli > 0
  }

  deposit(): void {
    this.add(this.perCall)
  }

  add(units: number): void {
    this.balance = Math.min(this.most, this.balance + units)
  }

  /** Takes as much, or nothing. */
  take(nowMillis: number, units: number): boolean {
    if (this.balanceAt(nowMillis) < units) return false
    this.balance -= units
    return true
  }

  balanceAt(nowMillis: number): number {
    if (this.paidSince === undefined || nowMillis < this.readAt) this.payFrom(nowMillis)
    else {
      const due = Math.floor((nowMillis - this.paidSince) * this.perMilli)
      this.balance += due - this.paidByTime
      this.paidByTime = due
      if (this.balance >= this.most) {
        this.balance = this.most
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

export const perMilliOf = (perSecond: number): number => perSecond * unit / 1000
