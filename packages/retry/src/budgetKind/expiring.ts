import * as Field from "@effect-resilience/kernel/Field"
import * as Time from "@effect-resilience/kernel/Time"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type { Open } from "../internal/account.ts"
import { Account } from "../internal/account.ts"
import { fromUnits, toUnits } from "../internal/units.ts"

export interface ExpiringOptions {
  readonly ratio?: number | undefined
  readonly minPerSecond?: number | undefined
  readonly ttl?: Duration.Input | undefined
  readonly processes?: number | undefined
}

const amount = /* @__PURE__ */ Field.number({ min: 0 })

const fields = {
  ratio: /* @__PURE__ */ Field.withDefault(amount, 0.1),
  minPerSecond: /* @__PURE__ */ Field.withDefault(amount, 0.1),
  ttl: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ min: 1000, finite: true }), "10 seconds"),
  processes: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1 }), 1)
} satisfies Field.Fields<ExpiringOptions>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings): Open => (name) => new Expiring(settings, name)
)

/**
 * Forgets what calls have earned, and what extra attempts have cost, after a while: an hour without failures saves nothing up
 * for the outage.
 *
 * - `ratio`: extra attempts earned by each call; default 0.1.
 * - `minPerSecond`: extra attempts that are allowed whatever was earned, over all processes; default 0.1. They can all be made
 *   at once: those of one `ttl`.
 * - `ttl`: after how long deposits and withdrawals are forgotten, at least 1 second, to a tenth of it; default 10 seconds.
 * - `processes`: how many processes share the dependency; default 1. Divides `minPerSecond`: one whose part of it is less than
 *   1 in a `ttl` makes only the extra attempts that its calls earn.
 *
 * Source: Finagle's `RetryBudget`, which has a `ttl` of 10 seconds, 20 % and 10 a second for each process.
 *
 * @category kinds
 * @since 0.1.0
 */
export const expiring: Field.Variant<"expiring", ExpiringOptions | undefined, Open> = /* @__PURE__ */ Field.variant(
  "AttemptBudget",
  "expiring",
  field
)

const slots = 10

class Expiring extends Account {
  private readonly ratio: number
  private readonly reserve: number
  private readonly slotMillis: number
  // Deposits less withdrawals of each tenth of the `ttl`, and their sum.
  private readonly sums = Array.from({ length: slots }, () => 0)
  private sum = 0
  private slot = -Infinity

  constructor({ minPerSecond, processes, ratio, ttl }: Field.Settings<typeof fields>, name: string) {
    super(name)
    this.ratio = toUnits(ratio)
    this.reserve = toUnits(minPerSecond * Duration.toSeconds(ttl) / processes)
    this.slotMillis = Duration.toMillis(ttl) / slots
  }

  depositUnsafe(context: Context.Context<never>): void {
    this.forget(Time.nowUnsafe(context))
    this.add(this.ratio)
  }

  isIdle(nowMillis: number): boolean {
    this.forget(nowMillis)
    return this.sums.every((sum) => sum === 0)
  }

  protected look(nowMillis: number) {
    this.forget(nowMillis)
    return { balance: fromUnits(Math.max(0, this.reserve + this.sum)) }
  }

  protected pay(nowMillis: number, cost: number): boolean {
    this.forget(nowMillis)
    const price = toUnits(cost)
    if (this.reserve + this.sum < price) return false
    this.add(-price)
    return true
  }

  private add(units: number): void {
    const at = placeOf(this.slot)
    this.sums[at] = (this.sums[at] ?? 0) + units
    this.sum += units
  }

  private forget(nowMillis: number): void {
    const now = Math.floor(nowMillis / this.slotMillis)
    // A clock that goes back leaves things as they are.
    for (let slot = Math.max(this.slot + 1, now - slots + 1); slot <= now; slot++) {
      const at = placeOf(slot)
      this.sum -= this.sums[at] ?? 0
      this.sums[at] = 0
    }
    this.slot = Math.max(this.slot, now)
  }
}

const placeOf = (slot: number): number => (slot % slots + slots) % slots
