/**
 * A token as `TokenCache` returns it.
 *
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
