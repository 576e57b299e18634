import * as Recovery from "@effect-resilience/errors/Recovery"
import * as PolicyEvent from "@effect-resilience/kernel/PolicyEvent"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Rejection from "../Rejection.ts"
import type { WindowCounts } from "./tripRule.ts"

/**
 * What a circuit has counted.
 *
 * - `failureRate`, `slowRate`: the shares of these that failed, and that were slow, from 0 to 1; 0 where there are none.
 *
 * A `SharedCircuitBreaker` knows `rejected` only, of its own process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  /** Calls rejected since the breaker was made. */
  readonly rejected: number
  /**
   * Outcomes in the window of the trip policy that looks back furthest. While open, those that opened the circuit; while
   * half-open, those of probes.
   */
  readonly buffered: number | undefined
  readonly failureRate: number | undefined
  readonly slowRate: number | undefined
}

/**
 * The state of a circuit, and what it has counted.
 *
 * - `Partial`: `probability` is that of a rejection, from 0 to 1.
 * - `Open`: `retryAfter` is the rest of the open time; `consecutiveOpenings` counts openings without a stable time in between.
 * - `HalfOpen`: `probing` is how many probes are running.
 * - `Isolated`: `holders` is how many handles of `isolate` are not released.
 * - `MetricsOnly`: `tripped` is how often a trip policy was met since this state began, each time anew.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot =
  & Counts
  & (
    | { readonly _tag: "Closed" }
    | { readonly _tag: "Partial"; readonly probability: number }
    | { readonly _tag: "Open"; readonly retryAfter: Duration.Duration; readonly consecutiveOpenings: number }
    | { readonly _tag: "HalfOpen"; readonly probing: number; readonly consecutiveOpenings: number }
    | { readonly _tag: "Isolated"; readonly holders: number }
    | { readonly _tag: "MetricsOnly"; readonly tripped: number }
    | { readonly _tag: "ForcedClosed" }
  )

/**
 * A change of state. `retryAfter` is how long the circuit stays open; only an opening has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transition {
  /** The name of the breaker. */
  readonly policy: string
  /** The state before. */
  readonly from: Snapshot["_tag"]
  /** The state after. */
  readonly to: Snapshot["_tag"]
  readonly retryAfter: Duration.Duration | undefined
  /** Openings without a stable time in between, this one included. */
  readonly consecutiveOpenings: number
}

/**
 * A right to make one call, which its holder settles once: the first report counts, later ones change nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  /** Reports how the call ended. An interruption says nothing and gives the permit back. */
  readonly record: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
  /** The same for a callback: at once, with the clock, the random numbers and the loggers of the fiber that took the permit. */
  readonly recordUnsafe: (exit: Exit.Exit<unknown, unknown>) => void
  /** Gives the permit back: the call did not begin, or it says nothing. */
  readonly release: Effect.Effect<void>
}

/**
 * A hold that keeps a circuit isolated.
 *
 * @category models
 * @since 0.1.0
 */
export interface Isolation {
  /** Ends this hold. The circuit is isolated until the last one ends. Doing it twice changes nothing. */
  readonly release: Effect.Effect<void>
}

/**
 * The circuit did not let a call through.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends Rejection.TaggedError("CircuitOpen")<{
  /** Why. `"Unknown"` comes from a `SharedCircuitBreaker` that fails closed and cannot read its store. */
  readonly state: "Open" | "HalfOpen" | "Partial" | "Isolated" | "Unknown"
  /** The rest of the open time; unknown in the other states. */
  readonly retryAfter: Duration.Duration | undefined
}> {
  override [Recovery.symbol](): Recovery.Recovery {
    return this.state === "Isolated" ? Recovery.giveUp : super[Recovery.symbol]()
  }
  override get message(): string {
    switch (this.state) {
      case "Open":
        return `The circuit "${this.policy}" is open. Try again in ${
          Duration.format(this.retryAfter ?? Duration.zero)
        }.`
      case "HalfOpen":
        return `The circuit "${this.policy}" is half-open and its probes are under way. Try again later.`
      case "Partial":
        return `The circuit "${this.policy}" lets a share of the calls through, and not this one. Try again later.`
      case "Isolated":
        return `The circuit "${this.policy}" is isolated by hand. Wait for its reset.`
      case "Unknown":
        return `The state of the circuit "${this.policy}" cannot be read. Try again later.`
    }
  }
}

/**
 * What is known when a circuit opens, for `openDurationOf`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opening extends WindowCounts {
  /** The exit that opened it; `undefined` where it was opened by hand. */
  readonly exit: Exit.Exit<unknown, unknown> | undefined
  /** The time that the server named. */
  readonly retryAfter: Duration.Duration | undefined
  /** Openings without a stable time in between, this one included. */
  readonly consecutiveOpenings: number
  /** What the option `openDuration` says. */
  readonly openDuration: Duration.Duration
}

export const transitionsTotal = /* @__PURE__ */ Metric.counter("resilience.circuit.transitions", {
  description: "Changes of state of circuit breakers",
  incremental: true
})

/** Counts a transition under the name that all circuits of a keyed breaker share, and tells it. */
export const tell = (
  { from, policy, retryAfter, to }: Transition,
  name: string,
  context: Context.Context<never>
): void => {
  const attributes = { "resilience.policy": name, "resilience.from": from, "resilience.to": to }
  Metric.withAttributes(transitionsTotal, attributes).updateUnsafe(1, context)
  PolicyEvent.emitUnsafe(context, { _tag: "Transitioned", policy, kind: "CircuitBreaker", from, to, retryAfter })
}

export const log = ({ from, policy, retryAfter, to }: Transition): Effect.Effect<void> => {
  const message = `Circuit "${policy}": ${from} to ${to}`
  return retryAfter === undefined
    ? Effect.logInfo(message)
    : Effect.logWarning(`${message} for ${Duration.format(retryAfter)}`)
}

/** That a circuit would open, if it did not count only. */
export const logTripped = (policy: string): Effect.Effect<void> =>
  Effect.logWarning(`Circuit "${policy}" would have opened, and is MetricsOnly`)
