/**
 * A token as a cache hands it out, and the grant it came from.
 *
 * @since 0.1.0
 */
import type * as Redacted from "effect/Redacted"

/**
 * What a successful login yields.
 *
 * - `expiresAt`: epoch milliseconds by *our* clock (`Expiry.onOurClock`); `undefined` where the server did not say,
 *   `Infinity` where it never ends.
 * - `attributes`: what else the login said and the calls need: a tenant, an environment, an instance's address. No
 *   secrets: they are shown and stored as they are.
 * - `shared`: whether it came from a store of another process's login, not from a login of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Grant {
  readonly value: Redacted.Redacted
  readonly expiresAt?: number | undefined
  readonly attributes?: { readonly [name: string]: string } | undefined
  readonly shared?: boolean | undefined
}

/**
 * A token in use.
 *
 * - `expiresAt`: epoch milliseconds; `Infinity` where it never ends.
 * - `generation`: 1 for the first token of a cache, one more with each login. It tells a token from its successors
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
