import * as Hedge from "@effect-resilience/retry/Hedge"
import * as Part from "../Part.ts"

/**
 * Starts a second attempt where the first is late, of calls that are declared idempotent.
 *
 * @category parts
 * @since 0.1.0
 */
export const hedge: Part.Part<Omit<Hedge.Options, "name">, Hedge.Hedge> = /* @__PURE__ */ Part.make({
  slot: "hedge",
  field: /* @__PURE__ */ Part.options(Hedge.fields),
  make: ({ classify, ...options }, context) =>
    Hedge.make({ ...options, name: context.name, classify: classify ?? context.classify })
})
