import * as Bulkhead from "@effect-resilience/limit/Bulkhead"
import * as Effect from "effect/Effect"
import * as Part from "../Part.ts"

/**
 * Bounds how many calls run at once. Calls that run hold permits of the present one, so it takes the new options.
 *
 * @category parts
 * @since 0.1.0
 */
export const bulkhead: Part.Part<Omit<Bulkhead.Options, "name">, Bulkhead.Bulkhead> = /* @__PURE__ */ Part.make({
  slot: "bulkhead",
  field: /* @__PURE__ */ Part.options(Bulkhead.fields),
  make: (options, { name }) => Bulkhead.make({ ...options, name }),
  carry: (present, _, options) => Effect.as(present.reload(options), present)
})
