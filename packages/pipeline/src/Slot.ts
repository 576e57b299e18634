/**
 * Where the parts of a pipeline stand: the one place that decides their order.
 *
 * **Details**
 *
 * Outside in:
 *
 * | slot | what stands there, and why there |
 * | --- | --- |
 * | `deadline` | bounds everything, waits and retries included |
 * | `fallback` | replaces what failed in the end, whatever failed |
 * | `call` | metrics and the span of a call: they see its outcome and all its attempts |
 * | `budget` | provides the budget that retries and hedges withdraw from |
 * | `bulkhead` | a call holds one permit for all its attempts, so that retries cannot exceed the limit |
 * | `retry` | what stands inside happens once for each attempt |
 * | `hedge` | a retry sees what all attempts of a hedge came to; each of them passes what stands inside by itself |
 * | `circuitBreaker` | counts each attempt; retries stop when it opens |
 * | `authentication` | an attempt that is not sent needs no token; a replay after a 401 passes the limits again |
 * | `throttle`, `pacer` | decide whether and when an attempt is sent |
 * | `concurrencyLimit` | measures round trips, not waits |
 * | `attemptTimeout` | bounds one attempt, and its failure counts in all that stands outside |
 * | `attempt` | the span of an attempt |
 *
 * **Example** (What stands inside the retry)
 *
 * ```ts import.meta.vitest
 * import { Slot } from "@effect-resilience/pipeline"
 *
 * Slot.order.slice(Slot.order.indexOf("retry") + 1, Slot.order.indexOf("throttle"))
 * // => ["hedge", "circuitBreaker", "authentication"]
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */

/**
 * All slots, outside in.
 *
 * @category constants
 * @since 0.1.0
 */
export const order = [
  "deadline",
  "fallback",
  "call",
  "budget",
  "bulkhead",
  "retry",
  "hedge",
  "circuitBreaker",
  "authentication",
  "throttle",
  "pacer",
  "concurrencyLimit",
  "attemptTimeout",
  "attempt"
] as const

/**
 * A place in a pipeline.
 *
 * @category models
 * @since 0.1.0
 */
export type Slot = typeof order[number]
