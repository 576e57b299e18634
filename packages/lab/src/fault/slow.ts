import * as Field from "@effect-resilience/kernel/Field"
import type { Fault } from "../internal/server.ts"

/** Each service that begins takes so many times as long. */
export const slow: Field.Variant<"slow", number, Fault> = /* @__PURE__ */ Field.variant(
  "Lab",
  "slow",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.number({ min: 1 }),
    (factor): Fault => ({ change: (state) => ({ ...state, factor: state.factor * factor }) })
  )
)
