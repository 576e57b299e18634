import * as Field from "@effect-resilience/kernel/Field"
import type * as Policy from "@effect-resilience/kernel/Policy"
import * as RetryPolicy from "@effect-resilience/retry/RetryPolicy"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as marks from "../internal/marks.ts"
import * as Part from "../Part.ts"

// The time limit of an attempt is a part of its own.
const { attemptTimeout: _, ...policyFields } = RetryPolicy.fields

const fields = {
  ...policyFields,
  // What a call adds otherwise. JSON names these functions.
  when: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.fn<RetryPolicy.When<unknown>>()),
  retryWhen: /* @__PURE__ */ Field.optional(/* @__PURE__ */ Field.fn<RetryPolicy.RetryWhen<unknown>>())
}

interface Retry extends Policy.Policy<never, RetryPolicy.Snapshot>, marks.Retried {}

/**
 * Repeats attempts.
 *
 * @category parts
 * @since 0.1.0
 */
export const retry = /* @__PURE__ */ Part.make<
  Omit<RetryPolicy.Options, "name" | "attemptTimeout"> & {
    readonly when?: RetryPolicy.When<unknown> | undefined
    readonly retryWhen?: RetryPolicy.RetryWhen<unknown> | undefined
  },
  Policy.Policy<never, RetryPolicy.Snapshot>
>({
  slot: "retry",
  field: /* @__PURE__ */ Part.options(fields),
  make: ({ retryWhen, when, ...options }, { classify, name }) => {
    const policy = RetryPolicy.make({ ...options, name })
    const judging = { classify, when }
    // A retry that is limited in time has to see when the first attempt begins, and one of results how it ends.
    const isPlain = retryWhen === undefined && !Duration.isFinite(Duration.fromInputUnsafe(policy.maxDuration))
    const instance: Retry = {
      name,
      execute: (self) =>
        retryWhen === undefined
          ? RetryPolicy.retry(self, policy, judging)
          : RetryPolicy.retry(self, policy, { ...judging, retryWhen }),
      admitUnsafe: undefined,
      snapshot: policy.snapshot,
      [marks.retried]: isPlain ? { policy, options: judging } : undefined
    }
    return Effect.succeed(instance)
  }
})
