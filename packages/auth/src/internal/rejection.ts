import * as Time from "@effect-resilience/kernel/Time"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as AuthError from "../AuthError.ts"
import type { Identity, TokenSource } from "./source.ts"

interface Rejection {
  readonly identity: Identity
  readonly error: AuthError.AuthError
  readonly pause: number
  /** By the monotonic clock, in milliseconds. */
  readonly until: number
}

/**
 * Stops asking a source whose credentials were rejected, since accounts lock after failed logins. It asks again when they change,
 * or after a pause where the rejection is not final.
 */
export const stopAfterRejection = (source: TokenSource): TokenSource => {
  let rejection: Rejection | undefined
  return {
    identity: source.identity,
    acquire: (rejected) =>
      Effect.gen(function*() {
        const identity = yield* source.identity
        const now = yield* Time.now
        const before = rejection !== undefined && sameIdentity(rejection.identity, identity) ? rejection : undefined
        if (before !== undefined && now < before.until) return yield* Effect.fail(before.error)
        const grant = yield* Effect.tapError(source.acquire(rejected), (error) =>
          Effect.map(Time.now, (now) => {
            const { reason } = error
            if (reason._tag !== "Rejected") {
              rejection = undefined
              return
            }
            const pause = reason.final === false ? Math.min((before?.pause ?? shortest / 2) * 2, longest) : Infinity
            rejection = { identity, error, pause, until: now + pause }
          }))
        rejection = undefined
        return grant
      }),
    forgetFailures: Effect.suspend(() => {
      rejection = undefined
      return source.forgetFailures ?? Effect.void
    })
  }
}

// At most twice in ten minutes and four times in an hour, which is less than locks accounts.
const shortest = 5 * 60_000
const longest = 60 * 60_000

const sameIdentity = (a: Identity, b: Identity): boolean =>
  a.length === b.length && a.every((part, index) => Equal.equals(part, b[index]))
