/** The issued tokens, each with its account and the end of its life. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Random from "effect/Random"
import type * as Account from "../Account.ts"

export interface IssuedToken {
  readonly value: string
  readonly account: Account.Account
  /** Epoch milliseconds. */
  readonly expiresAt: number
}

export interface TokenRegistry {
  readonly issue: (account: Account.Account) => Effect.Effect<IssuedToken>
  /** The token's account; undefined if the token is unknown or has expired. */
  readonly account: (value: string) => Effect.Effect<Account.Account | undefined>
  /** Expires all valid tokens, and returns their number. */
  readonly expireAll: Effect.Effect<number>
  readonly counts: Effect.Effect<{ readonly issued: number; readonly expired: number }>
  /** A token that was never issued. */
  readonly decoy: () => string
}

export const make = (lifetime: Duration.Input, random: typeof Random.Random.Service): TokenRegistry => {
  const millis = Duration.toMillis(lifetime)
  const tokens = new Map<string, IssuedToken>()
  const fresh = () => Array.from({ length: 48 }, () => alphabet[Math.floor(random.nextDoubleUnsafe() * 64)]).join("")
  return {
    issue: (account) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const token = { value: fresh(), account, expiresAt: now + millis }
        tokens.set(token.value, token)
        return token
      }),
    account: (value) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const token = tokens.get(value)
        return token !== undefined && now < token.expiresAt ? token.account : undefined
      }),
    expireAll: Effect.map(Clock.currentTimeMillis, (now) => {
      const valid = Array.from(tokens.values()).filter((token) => now < token.expiresAt)
      for (const token of valid) tokens.set(token.value, { ...token, expiresAt: now })
      return valid.length
    }),
    counts: Effect.map(Clock.currentTimeMillis, (now) => ({
      issued: tokens.size,
      expired: Array.from(tokens.values()).filter((token) => now >= token.expiresAt).length
    })),
    decoy: fresh
  }
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
