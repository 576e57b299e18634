import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as AuthError from "../AuthError.ts"
import type { Grant } from "../Grant.ts"

/**
 * Where tokens come from.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenSource {
  /**
   * Obtains a token. `rejected` is the token that the caller has and does not want again, since it was rejected or is about to
   * expire. A source that keeps tokens must not return it.
   */
  readonly acquire: (rejected: Redacted.Redacted | undefined) => Effect.Effect<Grant, AuthError.AuthError>
  /** Whose token it is. Equal identities may share a token; an identity that changes means new credentials. */
  readonly identity: Effect.Effect<Identity, AuthError.AuthError>
  /** Makes the source log in again with credentials that were rejected. */
  readonly forgetFailures?: Effect.Effect<void> | undefined
}

/**
 * What distinguishes one set of credentials from another: addresses, names, and the secrets themselves, which are only
 * compared or hashed with a key.
 *
 * @category models
 * @since 0.1.0
 */
export type Identity = ReadonlyArray<string | Redacted.Redacted>
