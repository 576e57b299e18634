import * as ConcurrencyLimit from "@effect-resilience/limit/ConcurrencyLimit"
import * as Effect from "effect/Effect"
import { judging } from "../internal/judging.ts"
import * as Part from "../Part.ts"

/**
 * Bounds how many attempts run at once, as round trips suggest. New options find the limit afresh; attempts that run count.
 *
 * @category parts
 * @since 0.1.0
 */
export const concurrencyLimit: Part.Part<Omit<ConcurrencyLimit.Options, "name">, ConcurrencyLimit.ConcurrencyLimit> =
  /* @__PURE__ */ Part.make({
    slot: "concurrencyLimit",
    field: /* @__PURE__ */ Part.options(ConcurrencyLimit.fields),
    make: (options, context) => ConcurrencyLimit.make(judging(options, context)),
    carry: (present, _, options, context) => Effect.as(present.reload(judging(options, context)), present)
  })
