/**
 * A table that turns an API's error messages into remedies.
 *
 * **When to use**
 *
 * Use for an API that says more in its message than in its status. An integration has its own table; the first row that
 * matches wins.
 *
 * **Example** (Explaining a message)
 *
 * ```ts import.meta.vitest
 * import { MessagePattern, Recovery } from "@effect-resilience/errors"
 *
 * const patterns: ReadonlyArray<MessagePattern.MessagePattern> = [{
 *   pattern: /quota of (\w+) exceeded/i,
 *   means: "the monthly quota is used up",
 *   remedy: "Ask for a larger quota, or wait for the next month.",
 *   recovery: Recovery.authorize
 * }]
 *
 * MessagePattern.match(patterns, "Quota of acme exceeded.")?.means // => "the monthly quota is used up"
 * MessagePattern.match(patterns, "something else") // => undefined
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type { Recovery } from "./Recovery.ts"

/**
 * One row: the text to find (a string ignores case), what it means, and what helps. `recovery` replaces the recovery of the
 * status.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessagePattern {
  /** Found anywhere in the server's message. A string ignores case. */
  readonly pattern: string | RegExp
  /** What the message means, in a sentence for people. */
  readonly means: string
  /** What helps, in a sentence for people. */
  readonly remedy: string
  readonly recovery?: Recovery | undefined
}

/**
 * The first row whose pattern occurs in the message.
 *
 * @category matching
 * @since 0.1.0
 */
export const match = (
  patterns: ReadonlyArray<MessagePattern>,
  message: string
): MessagePattern | undefined => {
  const folded = message.toLowerCase()
  return patterns.find(({ pattern }) =>
    typeof pattern === "string" ? folded.includes(pattern.toLowerCase()) : message.search(pattern) >= 0
  )
}
