import * as AttemptBudget from "@effect-resilience/retry/AttemptBudget"
import * as Part from "../Part.ts"

/**
 * What the retries and hedges of all calls together may cost.
 *
 * @category parts
 * @since 0.1.0
 */
export const budget: Part.Part<Omit<AttemptBudget.Options, "name">, AttemptBudget.AttemptBudget> = /* @__PURE__ */ Part
  .make({
    slot: "budget",
    field: AttemptBudget.field,
    make: (options, { name }) => AttemptBudget.make({ ...options, name })
  })
