import * as Field from "@effect-resilience/kernel/Field"
import type { Open } from "../internal/account.ts"
import { Following } from "../internal/following.ts"
import { fromUnits, toUnits } from "../internal/units.ts"

export interface QuotaOptions {
  readonly capacity?: number | undefined
  readonly perSuccess?: number | undefined
}

const fields = {
  capacity: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0 }), 500),
  perSuccess: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0 }), 1)
} satisfies Field.Fields<QuotaOptions>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings): Open => (name) => new Quota(settings, name)
)

/**
 * A budget whose extra attempts cost what the retry policy says, and give it back where they help: a call that succeeds
 * returns the cost of its last extra attempt, one that needed none pays a little in. Time pays nothing.
 *
 * - `capacity`: the balance at the start, and its cap; default 500.
 * - `perSuccess`: what a call pays in that succeeds at its first attempt; default 1.
 *
 * Source: the retry quota of the AWS SDKs, whose retries cost 14 after a transient failure and 5 after a throttled one (5 and 10
 * until 2026).
 *
 * **Gotchas**
 *
 * The capacity is made for those costs: 500 pay for 35 retries. A policy that names no cost pays 1, and 500 of those bound
 * nothing: 20 processes keep a dependency at half load down for good.
 *
 * @category kinds
 * @since 0.1.0
 */
export const quota: Field.Variant<"quota", QuotaOptions | undefined, Open> = /* @__PURE__ */ Field.variant(
  "AttemptBudget",
  "quota",
  field
)

class Quota extends Following {
  private readonly capacity: number
  private readonly perSuccess: number
  private balance: number

  constructor({ capacity, perSuccess }: Field.Settings<typeof fields>, name: string) {
    super(name)
    this.capacity = toUnits(capacity)
    this.perSuccess = toUnits(perSuccess)
    this.balance = this.capacity
  }

  isIdle(): boolean {
    return this.attempts === 0 && this.balance === this.capacity
  }

  override callEnded(succeeded: boolean, lastCost: number | undefined): void {
    if (!succeeded) return
    const returned = lastCost === undefined ? this.perSuccess : toUnits(lastCost)
    this.balance = Math.min(this.capacity, this.balance + returned)
  }

  protected look() {
    return { balance: fromUnits(this.balance) }
  }

  protected pay(_nowMillis: number, cost: number): boolean {
    const price = toUnits(cost)
    if (this.balance < price) return false
    this.balance -= price
    return true
  }
}
