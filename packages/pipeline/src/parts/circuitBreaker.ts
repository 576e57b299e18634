import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as Effect from "effect/Effect"
import { judging } from "../internal/judging.ts"
import * as Part from "../Part.ts"

type Options = Omit<CircuitBreaker.Options, "name">

/**
 * Stops calling a dependency that fails. New options count afresh; what was set by hand stays.
 *
 * @category parts
 * @since 0.1.0
 */
export const circuitBreaker: Part.Part<Options, CircuitBreaker.CircuitBreaker> = /* @__PURE__ */ Part.make<
  Options,
  CircuitBreaker.CircuitBreaker
>({
  slot: "circuitBreaker",
  field: /* @__PURE__ */ Part.options(CircuitBreaker.fields),
  make: (options, context) => CircuitBreaker.make(judging(options, context)),
  carry: (present, next, options, context) =>
    CircuitBreaker.isLocal(present)
      ? Effect.as(present.reload(judging(options, context)), present)
      : Effect.succeed(next)
})
