import * as ConcurrencyLimit from "@effect-resilience/limit/ConcurrencyLimit"
import { judging } from "../internal/judging.ts"
import * as Part from "../Part.ts"

/** Bounds how many attempts run at once, as round trips suggest. */
export const concurrencyLimit: Part.Part<Omit<ConcurrencyLimit.Options, "name">, ConcurrencyLimit.ConcurrencyLimit> =
  /* @__PURE__ */ Part.make({
    slot: "concurrencyLimit",
    field: /* @__PURE__ */ Part.options(ConcurrencyLimit.fields),
    make: (options, context) => ConcurrencyLimit.make(judging(options, context))
  })
