import * as Timeout from "@effect-resilience/deadline/Timeout"
import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { through } from "../internal/fastPath.ts"
import * as marks from "../internal/marks.ts"
import * as Part from "../Part.ts"

const field = /* @__PURE__ */ Field.duration({ above: 0 })

/**
 * Bounds each attempt.
 *
 * @category parts
 * @since 0.1.0
 */
export const attemptTimeout = /* @__PURE__ */ Part.make<
  Duration.Input,
  Policy.Policy<Timeout.TimedOut, Duration.Duration>
>({
  slot: "attemptTimeout",
  field,
  make: (input, { name }) => {
    const timeout = field.read(input, name)
    const policy: Policy.Policy<Timeout.TimedOut, Duration.Duration> & marks.Timed = {
      name,
      execute: (self) => Timeout.withTimeout(self, timeout),
      admitUnsafe: undefined,
      snapshot: Effect.succeed(timeout),
      [marks.timed]: { timeout, through }
    }
    return Effect.succeed(policy)
  }
})
