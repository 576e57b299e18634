import * as Field from "@effect-resilience/kernel/Field"
import type { Fault } from "../internal/server.ts"

/** A share of the requests, from 0 to 1, is served as long as the others and ends with a failure. */
export const failing: Field.Variant<"failing", number, Fault> = /* @__PURE__ */ Field.variant(
  "Lab",
  "failing",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.number({ min: 0, max: 1 }),
    (failing): Fault => ({ change: (state) => ({ ...state, failing }) })
  )
)
