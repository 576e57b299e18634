/**
 * A token as `TokenCache` returns it.
 *
 * @since 0.1.0
 */
import type * as Redacted from "effect/Redacted"

/**
 * A token in use.
 *
 * - `expiresAt`: epoch milliseconds; `Infinity` where it never ends.
 * - `generation`: 1 for the first token of a cache, one more with each login. It distinguishes a token from its successors
 *   without showing it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Token {
  readonly value: Redacted.Redacted
  readonly expiresAt: number
  readonly generation: number
  readonly attributes: { readonly [name: string]: string }
  readonly shared: boolean
}
