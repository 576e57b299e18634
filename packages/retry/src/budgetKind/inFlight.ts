import * as Field from "@effect-resilience/kernel/Field"
import type { Open } from "../internal/account.ts"
import { Following } from "../internal/following.ts"
import { toUnits, unit } from "../internal/units.ts"

export interface InFlightOptions {
  readonly ratio?: number | undefined
  readonly min?: number | undefined
  readonly processes?: number | undefined
}

const fields = {
  ratio: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 0, max: 1 }), 0.2),
  min: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 0 }), 3),
  processes: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.number({ min: 1 }), 1)
} satisfies Field.Fields<InFlightOptions>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings): Open => (name) => new InFlight(settings, name)
)

/**
 * Bounds the share of the attempts in flight that are extra ones. An attempt counts from the moment that it was paid for, while
 * it waits in backoff too; its cost is always 1.
 *
 * - `ratio`: the share, from 0 to 1; default 0.2.
 * - `min`: how many extra attempts may always be in flight, over all processes; default 3.
 * - `processes`: how many processes share the dependency; default 1. Divides `min`: one whose part is less than 1 makes extra
 *   attempts only while enough others are in flight.
 *
 * **Gotchas**
 *
 * Envoy and failsafe-go mean 3 for each process. Where each has few calls at a time, that is no limit: 20 processes with a call
 * every other second keep a dependency at half load down for good. So tell `processes`.
 *
 * Source: Envoy's retry budget, `budget_percent` 20 and `min_retry_concurrency` 3; failsafe-go has the same defaults.
 *
 * @category kinds
 * @since 0.1.0
 */
export const inFlight: Field.Variant<"inFlight", InFlightOptions | undefined, Open> = /* @__PURE__ */ Field.variant(
  "AttemptBudget",
  "inFlight",
  field
)

class InFlight extends Following {
  private readonly ratio: number
  private readonly min: number

  constructor({ min, processes, ratio }: Field.Settings<typeof fields>, name: string) {
    super(name)
    this.ratio = toUnits(ratio)
    this.min = Math.floor(min / processes)
  }

  isIdle(): boolean {
    return this.attempts === 0
  }

  protected look() {
    return { balance: Math.max(0, this.room()), inFlight: this.attempts }
  }

  protected pay(): boolean {
    return this.room() >= 1
  }

  // The next one is in flight itself.
  private room(): number {
    return Math.max(this.min, Math.floor(this.ratio * (this.attempts + 1) / unit)) - this.paid
  }
}
