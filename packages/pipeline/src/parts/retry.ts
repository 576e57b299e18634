import type * as Policy from "@effect-resilience/kernel/Policy"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as fastPath from "../internal/fastPath.ts"
import * as Part from "../Part.ts"

// The time limit of an attempt is a part of its own.
const { attemptTimeout: _, ...fields } = RetryPolicy.fields

interface Retry extends Policy.Policy<never, RetryPolicy.Snapshot>, fastPath.Retried {}

/** Repeats attempts. */
export const retry = /* @__PURE__ */ Part.make<
  Omit<RetryPolicy.Options, "name" | "attemptTimeout">,
  Policy.Policy<never, RetryPolicy.Snapshot>
>({
  slot: "retry",
  field: /* @__PURE__ */ Part.options(fields),
  make: (options, { classify, name }) => {
    const policy = RetryPolicy.make({ ...options, name })
    const judging = { classify }
    const instance: Retry = {
      name,
      execute: (self) => RetryPolicy.retry(self, policy, judging),
      admitUnsafe: undefined,
      snapshot: policy.snapshot,
      // A retry that is limited in time has to see when the first attempt begins.
      [fastPath.retried]: Duration.isFinite(Duration.fromInputUnsafe(policy.maxDuration))
        ? undefined
        : { policy, options: judging }
    }
    return Effect.succeed(instance)
  }
})
