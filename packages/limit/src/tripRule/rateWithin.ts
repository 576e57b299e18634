import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import { Slices } from "../internal/slices.ts"
import type { TripRule, TripWindow } from "../internal/tripRule.ts"
import { rule, threshold } from "../internal/tripRule.ts"

interface Options {
  readonly within?: Duration.Input | undefined
  readonly threshold?: number | undefined
  readonly minimumCalls?: number | undefined
}

const fields = {
  within: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.duration({ min: 10, finite: true }), "10 seconds"),
  threshold,
  minimumCalls: /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.integer({ min: 1 }), 10)
} satisfies Field.Fields<Options>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings) => rule(() => new TimeWindow(settings), { timed: true })
)

/**
 * Opens when a share of the calls of the last while failed.
 *
 * - `within`: how far to look back, to a tenth of it; default 10 seconds.
 * - `threshold`: the share, from 0 to 1; default 0.5.
 * - `minimumCalls`: the rule decides nothing until its window holds this many calls; default 10.
 *
 * @category trip policies
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const rateWithin: Field.Variant<"rateWithin", Options | undefined, TripRule> = /* @__PURE__ */ Field.variant(
  "CircuitBreaker",
  "rateWithin",
  field
)

class TimeWindow extends Slices implements TripWindow {
  readonly #settings: Field.Settings<typeof fields>

  constructor(settings: Field.Settings<typeof fields>) {
    super(Duration.toMillis(settings.within))
    this.#settings = settings
  }

  record(failed: boolean, _tookMillis: number, now: number): boolean {
    this.add(now, failed)
    const { totalCalls, totalMarked } = this
    const { minimumCalls, threshold } = this.#settings
    return totalMarked > 0 && totalCalls >= minimumCalls && totalMarked / totalCalls >= threshold
  }
}
