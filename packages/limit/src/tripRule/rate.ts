import * as Field from "@effect-resilience/kernel/Field"
import type { TripRule } from "../internal/tripRule.ts"
import { countFields, countOf, CountWindow, isFailed, rule } from "../internal/tripRule.ts"

interface Options {
  readonly threshold?: number | undefined
  readonly size?: number | undefined
  readonly minimumCalls?: number | undefined
}

const fields = countFields satisfies Field.Fields<Options>

const field = /* @__PURE__ */ Field.map(
  /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct(fields), {}),
  (settings, path) => {
    const count = countOf(settings, path)
    return rule(() => new CountWindow(count, isFailed, Infinity), { shared: { _tag: "Rate", ...count } })
  }
)

/**
 * Opens when a share of the last `size` calls failed.
 *
 * - `threshold`: the share, from 0 to 1; default 0.5.
 * - `size`: how many calls to look back on; default 100.
 * - `minimumCalls`: the rule decides nothing until its window holds this many calls; default `size`.
 *
 * @category trip policies
 * @stability rests on effect/persistence
 * @since 0.1.0
 */
export const rate: Field.Variant<"rate", Options | undefined, TripRule> = /* @__PURE__ */ Field.variant(
  "CircuitBreaker",
  "rate",
  field
)
