import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import type { TripRule } from "../internal/tripRule.ts"
import { countFields, countOf, CountWindow, isSlow, rule } from "../internal/tripRule.ts"

interface Options {
  readonly slowerThan: Duration.Input
  readonly threshold?: number | undefined
  readonly size?: number | undefined
  readonly minimumCalls?: number | undefined
}

const fields = {
  slowerThan: /* @__PURE__ */ Field.duration({ finite: true }),
  ...countFields
} satisfies Field.Fields<Options>

const field = /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.struct(fields), ({ slowerThan, ...settings }, path) => {
  const slowMillis = Duration.toMillis(slowerThan)
  const count = countOf(settings, path)
  return rule(() => new CountWindow(count, isSlow, slowMillis), { timed: true, slowMillis })
})

/**
 * Opens when a share of the last `size` calls took longer than `slowerThan`, whether they succeeded or failed. A slow
 * probe counts as failed.
 *
 * - `slowerThan`: what is slow.
 * - `threshold`: the share, from 0 to 1; default 0.5.
 * - `size`: how many calls to look back on; default 100.
 * - `minimumCalls`: the rule decides nothing until its window holds this many calls; default `size`.
 *
 * @category trip policies
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const slow: Field.Variant<"slow", Options, TripRule> = /* @__PURE__ */ Field.variant(
  "CircuitBreaker",
  "slow",
  field
)
