import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as Attempt from "@effect-resilience/retry/Attempt"
import * as Effect from "effect/Effect"
import * as Part from "../Part.ts"

/**
 * Makes a span for each call, and one for each attempt.
 *
 * @category parts
 * @since 0.1.0
 */
export const spans = /* @__PURE__ */ Part.make({
  slot: "call",
  field: Field.boolean,
  make: (enabled, { name }) => Effect.succeed(enabled ? callSpan(name) : undefined),
  besides: ({ name }) => [{ slot: "attempt", policy: attemptSpan(name) }]
})

const callSpan = (name: string): Policy.Policy => ({
  name,
  execute: (self) => Effect.withSpan(self, name),
  admitUnsafe: undefined,
  snapshot: Effect.void
})

const attemptSpan = (name: string): Policy.Policy => ({
  ...callSpan(name),
  execute: (self) =>
    Effect.withFiber((fiber) => {
      const { attempt, hedge } = fiber.getRef(Attempt.Current)
      return Effect.withSpan(self, `${name} attempt`, {
        kind: "client",
        attributes: hedge === 0 ? { attempt } : { attempt, hedge }
      })
    })
})
