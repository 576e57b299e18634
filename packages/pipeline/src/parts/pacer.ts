import * as Pacer from "@effect-resilience/limit/Pacer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { judging } from "../internal/judging.ts"
import * as Part from "../Part.ts"

/**
 * Spaces attempts out. It counts where the surrounding `RateLimiter` does, else in memory.
 *
 * @category parts
 * @since 0.1.0
 */
export const pacer: Part.Part<Omit<Pacer.Options, "name">, Pacer.Pacer> = /* @__PURE__ */ Part.make({
  slot: "pacer",
  field: /* @__PURE__ */ Part.options(Pacer.fields),
  make: (options, context) =>
    Effect.flatMap(
      context.once("RateLimiter", limiter),
      (limiter) => Effect.provideService(Pacer.make(judging(options, context)), RateLimiter.RateLimiter, limiter)
    )
})

const limiter = /* @__PURE__ */ Effect.flatMap(
  /* @__PURE__ */ Effect.serviceOption(RateLimiter.RateLimiter),
  Option.match({
    onNone: () =>
      Effect.scoped(Effect.map(Layer.build(Pacer.layerLimiterMemory), Context.get(RateLimiter.RateLimiter))),
    onSome: Effect.succeed
  })
)
