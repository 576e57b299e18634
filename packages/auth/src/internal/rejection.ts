import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as AuthError from "../AuthError.ts"
import type { Identity, TokenSource } from "../TokenSource.ts"

/** Asks a source no more once it has rejected its credentials, until they change: accounts lock after failed logins. */
export const rememberRejection = (source: TokenSource): TokenSource => {
  let rejected: { readonly identity: Identity; readonly error: AuthError.AuthError } | undefined
  return {
    identity: source.identity,
    acquire: (refused) =>
      Effect.flatMap(source.identity, (identity) => {
        if (rejected !== undefined && sameIdentity(rejected.identity, identity)) return Effect.fail(rejected.error)
        return Effect.tapError(source.acquire(refused), (error) =>
          Effect.sync(() => {
            rejected = error.reason._tag === "Rejected" ? { identity, error } : undefined
          }))
      })
  }
}

const sameIdentity = (a: Identity, b: Identity): boolean =>
  a.length === b.length && a.every((part, index) => Equal.equals(part, b[index]))
