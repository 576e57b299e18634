import * as Field from "@effect-resilience/kernel/Field"
import type { Fault } from "../internal/server.ts"

/** The server is silent: requests wait in its queue, and none is served. */
export const down: Field.Variant<"down", {} | undefined, Fault> = /* @__PURE__ */ Field.variant(
  "Lab",
  "down",
  /* @__PURE__ */ Field.map(
    /* @__PURE__ */ Field.withDefault(/* @__PURE__ */ Field.struct({}), {}),
    (): Fault => ({ change: (state) => ({ ...state, workers: 0 }) })
  )
)
