import * as CircuitBreaker from "@effect-resilience/limit/CircuitBreaker"
import * as Effect from "effect/Effect"
import { judging } from "../internal/judging.ts"
import * as Part from "../Part.ts"

/** Stops calling a dependency that fails. A circuit that was isolated by hand stays so, whatever its new options. */
export const circuitBreaker: Part.Part<Omit<CircuitBreaker.Options, "name">, CircuitBreaker.CircuitBreaker> =
  /* @__PURE__ */ Part.make({
    slot: "circuitBreaker",
    field: /* @__PURE__ */ Part.options(CircuitBreaker.fields),
    make: (options, context) => CircuitBreaker.make(judging(options, context)),
    carry: (present, next) =>
      Effect.flatMap(
        present.snapshot,
        ({ _tag }) => _tag === "Isolated" ? Effect.as(next.isolate, next) : Effect.succeed(next)
      )
  })
