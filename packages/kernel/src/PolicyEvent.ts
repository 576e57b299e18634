/**
 * What policies do that an operator acts on: calls rejected, circuits opened, endpoints ejected.
 *
 * **Details**
 *
 * Every policy tells its events to the observer of the fiber whose call made them happen. The observer is looked up only when
 * something happened, so a call that succeeds pays nothing. `observe` listens to all policies inside an effect, those of
 * libraries too; `Layer.succeed(PolicyEvent.CurrentObserver, observer)` listens in a whole program.
 *
 * What a snapshot counts is told here too: `rejected` grows by one with each `Rejected`. Retries tell what they do as
 * `RetryEvent`, which has an attempt's error. A budget that rejects an attempt says so in both.
 *
 * **Gotchas**
 *
 * An observer runs in the middle of the decision it is told of, so it is a plain function that must be quick and must not
 * throw. One that needs effects puts the events in a queue: `(event) => Queue.offerUnsafe(queue, event)`.
 *
 * **Example** (Counting the rejections of a bulkhead)
 *
 * ```ts import.meta.vitest
 * import { PolicyEvent } from "@effect-resilience/kernel"
 * import { Effect } from "effect"
 *
 * const seen: Array<string> = []
 * const program = PolicyEvent.emit({ _tag: "Rejected", policy: "ledger", kind: "Bulkhead", reason: "QueueFull" }).pipe(
 *   PolicyEvent.observe((event) => seen.push(PolicyEvent.describe(event)))
 * )
 * await Effect.runPromise(program)
 * seen // => ["Bulkhead \"ledger\" rejects: QueueFull"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"

/**
 * What happens in a policy, for logs and metrics.
 *
 * - `Rejected`: a call, or a further attempt of it, does not begin; `reason` is one of a few words.
 * - `Transitioned`: a circuit changed its state. `retryAfter` is how long it stays open.
 * - `Hedged`: attempt number `attempt` of a call begins beside those under way.
 * - `Ejected`: an endpoint gets no more calls for `duration`.
 * - `Returned`: an endpoint that was ejected gets calls again.
 * - `Disagreed`: a shadow decided otherwise than a policy in use; `part` is the key of the part.
 *
 * Their fields:
 *
 * - `from`: the state before, such as `Closed`.
 * - `to`: the state after, such as `Open`.
 * - `endpoint`: the address.
 * - `decision`: what the shadow would have done with the call instead.
 *
 * @category models
 * @since 0.1.0
 */
export type PolicyEvent =
  | Source & { readonly _tag: "Rejected"; readonly reason: string }
  | Source & {
    readonly _tag: "Transitioned"
    readonly from: string
    readonly to: string
    readonly retryAfter: Duration.Duration | undefined
  }
  | Source & { readonly _tag: "Hedged"; readonly attempt: number }
  | Source & {
    readonly _tag: "Ejected"
    readonly endpoint: string
    readonly reason: string
    readonly duration: Duration.Duration
  }
  | Source & { readonly _tag: "Returned"; readonly endpoint: string }
  | Source & {
    readonly _tag: "Disagreed"
    readonly part: string
    readonly decision: "wouldHaveRejected" | "wouldHaveAdmitted"
  }

/**
 * Whose event it is: the name of the policy, and the module that it comes from.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  /** The name of the policy. */
  readonly policy: string
  /** The module that it comes from, such as `Bulkhead`. */
  readonly kind: string
}

/**
 * Listens to policies. `context` is that of the fiber whose call made it happen.
 *
 * @category models
 * @since 0.1.0
 */
export type Observer = (event: PolicyEvent, context: Context.Context<never>) => unknown

/**
 * The listener of the running fiber; by default there is none.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentObserver: Context.Reference<Observer | undefined> = /* @__PURE__ */ Context.Reference<
  Observer | undefined
>("@effect-resilience/kernel/PolicyEvent/CurrentObserver", { defaultValue: () => undefined })

/**
 * Tells the events of every policy inside an effect to `observer`, after those that listen already.
 *
 * @category observing
 * @since 0.1.0
 */
export const observe: {
  (observer: Observer): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, observer: Observer): Effect.Effect<A, E, R>
} = /* @__PURE__ */ dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, observer: Observer): Effect.Effect<A, E, R> =>
    Effect.updateService(self, CurrentObserver, (outer) =>
      outer === undefined ? observer : (event, context) => {
        outer(event, context)
        observer(event, context)
      })
)

/**
 * Tells an event to the observer of a fiber, given its context.
 *
 * @category emitting
 * @since 0.1.0
 */
export const emitUnsafe = (context: Context.Context<never>, event: PolicyEvent): void => {
  Context.get(context, CurrentObserver)?.(event, context)
}

/**
 * Tells an event to the observer of the running fiber.
 *
 * @category emitting
 * @since 0.1.0
 */
export const emit = (event: PolicyEvent): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    emitUnsafe(fiber.context, event)
    return Effect.void
  })

/**
 * A policy that counts what it rejects.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rejecting {
  /** The name of the policy. */
  readonly name: string
  /** The module that it comes from. */
  readonly kind: string
  /** How many calls it has rejected. Counting adds to it. */
  rejected: number
}

/**
 * Counts a rejection and tells it. Policies call it in the branch that rejects, for each call.
 *
 * @category emitting
 * @since 0.1.0
 */
export const rejectUnsafe = (policy: Rejecting, context: Context.Context<never>, reason: string): void => {
  policy.rejected++
  Context.get(context, CurrentObserver)?.(
    { _tag: "Rejected", policy: policy.name, kind: policy.kind, reason },
    context
  )
}

/**
 * One line for people.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (event: PolicyEvent): string => `${event.kind} "${event.policy}" ${happened(event)}`

const happened = (event: PolicyEvent): string => {
  switch (event._tag) {
    case "Rejected":
      return `rejects: ${event.reason}`
    case "Transitioned": {
      const time = event.retryAfter === undefined ? "" : ` for ${Duration.format(event.retryAfter)}`
      return `goes from ${event.from} to ${event.to}${time}`
    }
    case "Hedged":
      return `starts attempt ${event.attempt} beside those under way`
    case "Ejected":
      return `ejects ${event.endpoint} for ${Duration.format(event.duration)}: ${event.reason}`
    case "Returned":
      return `returns calls to ${event.endpoint}`
    case "Disagreed":
      return `would have ${event.decision === "wouldHaveRejected" ? "rejected" : "admitted"} a call: ${event.part}`
  }
}
