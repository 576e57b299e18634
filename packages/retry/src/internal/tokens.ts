import { Account } from "./account.ts"
import type { Rates } from "./purse.ts"
import { Purse } from "./purse.ts"
import { fromUnits, toUnits } from "./units.ts"

/** An account that each call and each second pays into. */
export class Tokens extends Account {
  private readonly purse: Purse

  constructor(rates: Rates, name: string) {
    super(name)
    this.purse = new Purse(rates)
  }

  depositUnsafe(): void {
    this.purse.deposit()
  }

  isIdle(nowMillis: number): boolean {
    return !this.purse.isFilledByTime || this.purse.balanceAt(nowMillis) === this.purse.most
  }

  protected look(nowMillis: number) {
    return { balance: fromUnits(this.purse.balanceAt(nowMillis)) }
  }

  protected pay(nowMillis: number, cost: number): boolean {
    return this.purse.take(nowMillis, toUnits(cost))
  }
}
