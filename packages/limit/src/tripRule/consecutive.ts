import * as Field from "@effect-resilience/kernel/Field"
import type { SavedWindow, TripRule, TripWindow, WindowCounts } from "../internal/tripRule.ts"
import { rule } from "../internal/tripRule.ts"

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.integer({ min: 1 }),
  (failures) =>
    rule(() => new Streak(failures), {
      ignoresFirstSuccesses: true,
      shared: { _tag: "Consecutive", failures }
    })
)

/**
 * Opens after so many failures without a success between them, in order of completion.
 *
 * @category trip policies
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const consecutive: Field.Variant<"consecutive", number, TripRule> = /* @__PURE__ */ Field.variant(
  "CircuitBreaker",
  "consecutive",
  field
)

class Streak implements TripWindow {
  #streak = 0
  readonly #failures: number

  constructor(failures: number) {
    this.#failures = failures
  }

  record(failed: boolean): boolean {
    this.#streak = failed ? this.#streak + 1 : 0
    return this.#streak >= this.#failures
  }

  countsAt(): WindowCounts {
    return { buffered: this.#streak, failureRate: this.#streak === 0 ? 0 : 1, slowRate: 0 }
  }

  save(): SavedWindow {
    return { streak: [this.#streak] }
  }

  restore({ streak }: SavedWindow) {
    this.#streak = streak?.[0] ?? 0
  }
}
