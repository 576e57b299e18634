import * as Deadline from "@effect-resilience/deadline/Deadline"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Part from "../Part.ts"

const field = /* @__PURE__ */ Field.duration({ above: 0 })

/**
 * Bounds a call with all its attempts and waits.
 *
 * @category parts
 * @since 0.1.0
 */
export const deadline = /* @__PURE__ */ Part.make({
  slot: "deadline",
  field,
  make: (input, { name }) => {
    const duration = field.read(input, name)
    const policy: Policy.Policy<Deadline.DeadlineExceeded, Duration.Duration> = {
      name,
      execute: (self) => Deadline.withDeadline(self, duration),
      admitUnsafe: undefined,
      snapshot: Effect.succeed(duration)
    }
    return Effect.succeed(policy)
  }
})
