import type * as Recovery from "@effect-resilience/errors/Recovery"
import type { RetryEvent, StopReason } from "./events.ts"

/** What a run keeps of a failure. */
export interface Failure<out E> {
  readonly error: E
  readonly recovery: Recovery.Recovery
  readonly delayMillis: number
  earlier: Failure<E> | undefined
}

/** How a call ended. Seldom does somebody ask. */
interface Ending {
  readonly failures: Failure<unknown> | undefined
  readonly stopped: RetryEvent<unknown>
  readonly why: StopReason
}

/**
 * Beside the errors, not in them: an error keeps its type, its tag and what it prints. A module of its own, since a log asks without
 * loading the loop.
 */
export const endings = /* @__PURE__ */ new WeakMap<object, Ending>()
