import * as Field from "@effect-resilience/kernel/Field"
import * as Duration from "effect/Duration"
import * as chance from "../internal/chance.ts"
import type { Draw } from "../internal/server.ts"

/** Most services are shorter than this mean, and a few are much longer. */
export const exponential: Field.Variant<"exponential", Duration.Input, Draw> = /* @__PURE__ */ Field.variant(
  "Lab",
  "exponential",
  /* @__PURE__ */ Field.map(/* @__PURE__ */ Field.duration({ above: 0, finite: true }), (mean) => {
    const meanMillis = Duration.toMillis(mean)
    return (random) => chance.exponential(meanMillis, random)
  })
)
