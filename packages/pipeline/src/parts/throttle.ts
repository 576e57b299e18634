import * as Throttle from "@effect-resilience/limit/Throttle"
import { judging } from "../internal/judging.ts"
import * as Part from "../Part.ts"

/**
 * Sends less to a server that rejects much.
 *
 * @category parts
 * @since 0.1.0
 */
export const throttle: Part.Part<Omit<Throttle.Options, "name">, Throttle.Throttle> = /* @__PURE__ */ Part.make({
  slot: "throttle",
  field: /* @__PURE__ */ Part.options(Throttle.fields),
  make: (options, context) => Throttle.make(judging(options, context))
})
