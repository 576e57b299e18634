/**
 * A token as `TokenCache` returns it.
 *
 * **Example** (A token that does not show itself)
 *
 * ```ts import.meta.vitest
 * import type { Token } from "@effect-resilience/auth"
 * import { Redacted } from "effect"
 *
 * const describe = ({ generation, value }: Token.Token) => `token ${generation}: ${String(value)}`
 *
 * describe({
 *   value: Redacted.make("secret"),
 *   expiresAt: Infinity,
 *   attributes: {},
 *   generation: 2,
 *   shared: false
 * }) // => "token 2: <redacted>"
 * ```
 *
 * @stability stable
 * @since 0.1.0
 */
import type * as Redacted from "effect/Redacted"

/**
 * A token in use.
 *
 * @category models
 * @since 0.1.0
 */
export interface Token {
  /** The token itself. */
  readonly value: Redacted.Redacted
  /** Epoch milliseconds; `Infinity` where it never ends. */
  readonly expiresAt: number
  /**
   * 1 for the first token of a cache, one more with each login. It distinguishes a token from its successors without showing
   * it.
   */
  readonly generation: number
  /** What else the login said: `Grant.attributes`. */
  readonly attributes: { readonly [name: string]: string }
  /** Whether another process logged in: `Grant.shared`. */
  readonly shared: boolean
}
