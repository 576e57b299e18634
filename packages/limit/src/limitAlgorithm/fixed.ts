import * as Field from "@effect-resilience/kernel/Field"
import type { Start } from "../internal/limitWindow.ts"

/**
 * A limit that stays as it is, for comparison.
 *
 * @category algorithms
 * @since 0.1.0
 */
export const fixed: Field.Variant<"fixed", number, Start> = /* @__PURE__ */ Field.variant(
  "LimitAlgorithm",
  "fixed",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.integer({ min: 1 }),
    (limit): Start => () => ({ limit, record: () => {} })
  )
)
